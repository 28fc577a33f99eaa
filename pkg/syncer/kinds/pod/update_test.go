// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

// updated runs Down for a super pod that exists.
func updated(t *testing.T, tenant, super *corev1.Pod) (warned []string) {
	t.Helper()
	reader := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(virtualNodeObject()).Build()
	env := kindtest.Env(reader, func(field, _ string) { warned = append(warned, field) })
	super.UID = "super"
	if err := testTranslator().down(t.Context(), env, tenant, super); err != nil {
		t.Fatal(err)
	}
	return warned
}

func debugger(change func(*corev1.EphemeralContainerCommon)) corev1.EphemeralContainer {
	c := corev1.EphemeralContainer{TargetContainerName: "main", EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger", Image: "busybox"}}
	if change != nil {
		change(&c.EphemeralContainerCommon)
	}
	return c
}

// TestDebugContainers: they pass the rules of all containers, and once there
// they are left alone.
func TestDebugContainers(t *testing.T) {
	yes := true
	const at = "spec.ephemeralContainers[0]."
	cases := map[string]struct {
		change func(*corev1.EphemeralContainerCommon)
		warned string
	}{
		"plain": {},
		"privileged": {func(c *corev1.EphemeralContainerCommon) {
			c.SecurityContext = &corev1.SecurityContext{Privileged: &yes}
		}, at + "securityContext.privileged"},
		"a capability": {func(c *corev1.EphemeralContainerCommon) {
			c.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"sys_admin"}}}
		}, at + "securityContext.capabilities.add[0]"},
		"a port of the node": {func(c *corev1.EphemeralContainerCommon) { c.Ports = []corev1.ContainerPort{{HostPort: 1}} }, at + "ports[0].hostPort"},
		"a block device":     {func(c *corev1.EphemeralContainerCommon) { c.VolumeDevices = []corev1.VolumeDevice{{Name: "d"}} }, at + "volumeDevices"},
		"a reserved secret": {func(c *corev1.EphemeralContainerCommon) {
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "vc-reserved-pod-x"}}}}
		}, at + "envFrom[0].secretRef.name"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenant, super := makePod(func(s *corev1.PodSpec) { s.EphemeralContainers = []corev1.EphemeralContainer{debugger(tc.change)} }), makePod(nil)
			warned := updated(t, tenant, super)
			if tc.warned != "" {
				diffOf(t, []string{tc.warned}, warned)
				diffOf(t, 0, len(super.Spec.EphemeralContainers))
				return
			}
			if len(warned) > 0 || len(super.Spec.EphemeralContainers) != 1 {
				t.Fatalf("warned %v, containers %+v", warned, super.Spec.EphemeralContainers)
			}
			first := super.DeepCopy()
			updated(t, tenant, super)
			diffOf(t, first, super)
		})
	}
}

// TestDebugContainerOfKubectl asks for what kubectl debug asks for by default.
func TestDebugContainerOfKubectl(t *testing.T) {
	ptrace := debugger(func(c *corev1.EphemeralContainerCommon) {
		c.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_PTRACE"}}}
	})
	tenant, super := makePod(func(s *corev1.PodSpec) { s.EphemeralContainers = []corev1.EphemeralContainer{ptrace} }), makePod(nil)
	diffOf(t, []string{"spec.ephemeralContainers[0].securityContext.capabilities.add[0]"}, updated(t, tenant, super))
	if got := super.Spec.EphemeralContainers; len(got) != 1 || len(got[0].SecurityContext.Capabilities.Add) != 0 {
		t.Errorf("containers %+v", got)
	}
	diffOf(t, []corev1.Capability{"SYS_PTRACE"}, tenant.Spec.EphemeralContainers[0].SecurityContext.Capabilities.Add)
}

func TestDebugContainersSeeTheTenantsValues(t *testing.T) {
	tenant := makePod(func(s *corev1.PodSpec) {
		s.EphemeralContainers = []corev1.EphemeralContainer{debugger(func(c *corev1.EphemeralContainerCommon) {
			c.Env = []corev1.EnvVar{fieldEnv("NAMESPACE", "metadata.namespace"), fieldEnv("NODE", "spec.nodeName")}
		})}
	})
	super := makePod(nil)
	super.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "of-the-operator"}}}
	updated(t, tenant, super)
	got := super.Spec.EphemeralContainers
	if len(got) != 2 || got[0].Name != "of-the-operator" || got[1].TargetContainerName != "main" {
		t.Fatalf("containers %+v", got)
	}
	env := map[string]string{}
	for _, variable := range got[1].Env {
		env[variable.Name] = variable.Value
	}
	if env["NAMESPACE"] != "shop" || env["NODE"] != "virtual-node-0" || env["KUBERNETES_SERVICE_HOST"] != "10.112.4.1" {
		t.Errorf("environment %v", env)
	}
}

func TestResize(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		out := corev1.ResourceList{}
		for name, quantity := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
			if quantity != "" {
				out[name] = resource.MustParse(quantity)
			}
		}
		return out
	}
	for name, tc := range map[string]struct{ tenant, super, want corev1.ResourceList }{
		"the same, written differently": {list("1", ""), list("1000m", ""), list("1000m", "")},
		"a default of super stays":      {list("1", ""), list("1", "1Gi"), list("1", "1Gi")},
		"another value":                 {list("2", ""), list("1", "1Gi"), list("2", "1Gi")},
		"a resource that is new":        {list("1", "1Gi"), list("1", ""), list("1", "1Gi")},
		"nothing is asked":              {nil, list("1", ""), list("1", "")},
	} {
		t.Run(name, func(t *testing.T) {
			tenant := makePod(func(s *corev1.PodSpec) { s.Containers[0].Resources.Requests = tc.tenant })
			super := makePod(func(s *corev1.PodSpec) {
				s.Containers[0].Resources.Requests = tc.super
				s.Containers = append([]corev1.Container{{Name: "injected"}}, s.Containers...)
			})
			updated(t, tenant, super)
			diffOf(t, tc.want, super.Spec.Containers[1].Resources.Requests)
		})
	}
}

// TestGates: what a readiness gate of the tenant's waits for reaches super,
// and nothing that a kubelet says can be said in its place.
func TestGates(t *testing.T) {
	const gate = "example.com/balanced"
	moment := metav1.NewTime(time.Unix(2_000_000, 0))
	given := func(conditionType corev1.PodConditionType, status corev1.ConditionStatus) corev1.PodCondition {
		return corev1.PodCondition{Type: conditionType, Status: status, Reason: "Mine", Message: "mine", LastTransitionTime: moment}
	}
	passed := func(status corev1.ConditionStatus) corev1.PodCondition {
		return corev1.PodCondition{Type: gate, Status: status, LastTransitionTime: moment}
	}
	cases := map[string]struct {
		gates         []corev1.PodConditionType
		tenant, super []corev1.PodCondition
		want          []corev1.PodCondition
	}{
		"no gates":                      {nil, []corev1.PodCondition{given(gate, "True")}, nil, nil},
		"opened":                        {[]corev1.PodConditionType{gate}, []corev1.PodCondition{given(gate, "True")}, nil, []corev1.PodCondition{passed("True")}},
		"closed again":                  {[]corev1.PodConditionType{gate}, []corev1.PodCondition{given(gate, "False")}, []corev1.PodCondition{passed("True")}, []corev1.PodCondition{passed("False")}},
		"not set yet":                   {[]corev1.PodConditionType{gate}, nil, nil, nil},
		"a kubelet's word":              {[]corev1.PodConditionType{"Ready"}, []corev1.PodCondition{given("Ready", "True")}, nil, nil},
		"a word that is no gate's":      {[]corev1.PodConditionType{gate}, []corev1.PodCondition{given("example.com/other", "True")}, nil, nil},
		"an evicted pod that is no one": {[]corev1.PodConditionType{"DisruptionTarget"}, []corev1.PodCondition{given("DisruptionTarget", "True")}, nil, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenant, super := makePod(nil), makePod(nil)
			for _, gate := range tc.gates {
				tenant.Spec.ReadinessGates = append(tenant.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: gate})
			}
			tenant.Status.Conditions, super.Status.Conditions = tc.tenant, tc.super
			updated(t, tenant, super)
			diffOf(t, tc.want, super.Status.Conditions)
		})
	}
}

// TestSubresources: each moves its part and nothing else.
func TestSubresources(t *testing.T) {
	from := makePod(func(s *corev1.PodSpec) {
		s.Containers[0].Image = "web:2"
		s.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
		s.EphemeralContainers = []corev1.EphemeralContainer{debugger(nil)}
	})
	from.Status.Conditions = []corev1.PodCondition{condition("example.com/x", "True")}
	want := map[string]func(*corev1.Pod){
		"ephemeralcontainers": func(p *corev1.Pod) { p.Spec.EphemeralContainers = from.Spec.EphemeralContainers },
		"resize":              func(p *corev1.Pod) { p.Spec.Containers[0].Resources = from.Spec.Containers[0].Resources },
		"status":              func(p *corev1.Pod) { p.Status = from.Status },
	}
	for _, part := range subresources() {
		t.Run(part.Name, func(t *testing.T) {
			got, expected := makePod(nil), makePod(nil)
			part.Copy(from, got)
			want[part.Name](expected)
			diffOf(t, expected, got)
		})
	}
}
