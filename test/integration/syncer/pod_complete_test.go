// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestPods: what a pod may ask for while it lives, how it ends, and what its
// tenant reads about it.
func TestPods(t *testing.T) {
	e := newEnvironment(t)
	e.runFakeKubelet(t)
	tn := e.addTenant(t, "pods", "10.112.0.0/22")
	e.startSyncer(t)
	e.waitSynced(t, tn)
	tn.waitServiceAccount(t, "default")
	for _, part := range []struct {
		name string
		test func(*testing.T, *environment, *tenant)
	}{
		{"debug containers", testDebugContainer},
		{"resize", testResize},
		{"readiness gates", testReadinessGates},
		{"no place on the node", testUnplaced},
		{"affinity", testAffinity},
		{"grace", testGraceMatrix},
		{"a second deletion shortens", testShorterGrace},
		{"eviction through the tenant's budget", testEviction},
		{"eviction by the super cluster", testSuperEviction},
		{"a super node is lost", testNodeLoss},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, e, tn) })
	}
}

// eventuallySuper waits until the super pod is as wanted.
func (e *environment) eventuallySuper(t *testing.T, superPod *corev1.Pod, what string, wanted func(*corev1.Pod) bool) {
	t.Helper()
	eventuallyPod(t, e.superClient, superPod, what, wanted)
}

func eventuallyPod(t *testing.T, c client.Client, pod *corev1.Pod, what string, wanted func(*corev1.Pod) bool) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if !wanted(pod) {
			return fmt.Errorf("spec %+v, status %+v", pod.Spec, pod.Status)
		}
		return nil
	})
}

// setStatus plays a kubelet or a controller of either side.
func setStatus(t *testing.T, c client.Client, pod *corev1.Pod, change func(*corev1.PodStatus)) {
	t.Helper()
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
	before := pod.DeepCopy()
	change(&pod.Status)
	must(t, c.Status().Patch(t.Context(), pod, client.StrategicMergeFrom(before)))
}

func conditionIs(pod *corev1.Pod, conditionType corev1.PodConditionType, status corev1.ConditionStatus) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == conditionType {
			return condition.Status == status
		}
	}
	return false
}

func testDebugContainer(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "debug", "web")
	before := tenantPod.DeepCopy()
	privileged := true
	tenantPod.Spec.EphemeralContainers = []corev1.EphemeralContainer{
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "good", Image: "busybox", Env: []corev1.EnvVar{
			{Name: "WHERE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}},
		}}},
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "bad", Image: "busybox", SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
		}},
	}
	must(t, tn.client.SubResource("ephemeralcontainers").Patch(t.Context(), tenantPod, client.StrategicMergeFrom(before)))
	e.eventuallySuper(t, superPod, "the debug container", func(p *corev1.Pod) bool { return len(p.Spec.EphemeralContainers) == 1 })
	good := superPod.Spec.EphemeralContainers[0]
	where := ""
	for _, variable := range good.Env {
		if variable.Name == "WHERE" {
			where = variable.Value
		}
	}
	if good.Name != "good" || where != "debug" {
		t.Errorf("container %s in %q", good.Name, where)
	}
	eventually(t, "the event", func(ctx context.Context) error {
		return eventWith(ctx, tn, tenantPod, "SyncIgnored", "spec.ephemeralContainers[1].securityContext.privileged: ")
	})
	setStatus(t, e.superClient, superPod, func(s *corev1.PodStatus) {
		s.EphemeralContainerStatuses = []corev1.ContainerStatus{
			{Name: "good", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
			{Name: "injected", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
		}
	})
	eventuallyPod(t, tn.client, tenantPod, "its status", func(p *corev1.Pod) bool {
		statuses := p.Status.EphemeralContainerStatuses
		return len(statuses) == 1 && statuses[0].Name == "good" && statuses[0].State.Running != nil
	})
}

// eventWith checks that the pod has exactly one event of the reason whose
// message begins so.
func eventWith(ctx context.Context, tn *tenant, pod *corev1.Pod, reason, prefix string) error {
	var events corev1.EventList
	if err := tn.client.List(ctx, &events, client.InNamespace(pod.Namespace)); err != nil {
		return err
	}
	found := 0
	var messages []string
	for _, event := range events.Items {
		if event.InvolvedObject.UID == pod.UID && event.Reason == reason {
			messages = append(messages, event.Message)
			if len(event.Message) >= len(prefix) && event.Message[:len(prefix)] == prefix {
				found++
			}
		}
	}
	if found != 1 {
		return fmt.Errorf("events of reason %s: %q, want one that begins with %q", reason, messages, prefix)
	}
	return nil
}

func testResize(t *testing.T, e *environment, tn *tenant) {
	must(t, tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "resize"}}))
	tn.waitServiceAccount(t, "resize")
	pod := makePod("resize", "web")
	cpu := func(quantity string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(quantity)}
	}
	pod.Spec.Containers[0].Resources.Requests = cpu("100m")
	must(t, tn.client.Create(t.Context(), pod))
	tenantPod := tn.waitRunning(t, "resize", "web")
	superPod := &corev1.Pod{}
	must(t, e.superClient.Get(t.Context(), tn.superKey("resize", "web"), superPod))
	// API servers compare with the node and want a kubelet that can resize.
	for nodeName, c := range map[string]client.Client{superNode: e.superClient, "virtual-node-0": tn.client} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
		must(t, c.Status().Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(`{"status":{"allocatable":{"cpu":"8"}}}`))))
	}
	setStatus(t, e.superClient, superPod, func(s *corev1.PodStatus) {
		s.ContainerStatuses[0].Resources = &corev1.ResourceRequirements{Requests: cpu("100m")}
	})
	eventuallyPod(t, tn.client, tenantPod, "the kubelet's skill", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[0].Resources != nil })
	before := tenantPod.DeepCopy()
	tenantPod.Spec.Containers[0].Resources.Requests = cpu("200m")
	must(t, tn.client.SubResource("resize").Patch(t.Context(), tenantPod, client.StrategicMergeFrom(before)))
	e.eventuallySuper(t, superPod, "the new request", func(p *corev1.Pod) bool {
		return p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() == 200
	})
	setStatus(t, e.superClient, superPod, func(s *corev1.PodStatus) {
		s.ObservedGeneration = superPod.Generation
		s.Conditions = append(s.Conditions, corev1.PodCondition{
			Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: "Deferred", Message: "Node didn't have enough resource: cpu, requested: 200, used: 3900, capacity: 4000",
		})
	})
	eventuallyPod(t, tn.client, tenantPod, "the resize pending", func(p *corev1.Pod) bool {
		return conditionIs(p, corev1.PodResizePending, corev1.ConditionTrue) && p.Status.ObservedGeneration == p.Generation
	})
	setStatus(t, e.superClient, superPod, func(s *corev1.PodStatus) {
		var kept []corev1.PodCondition
		for _, condition := range s.Conditions {
			if condition.Type != corev1.PodResizePending {
				kept = append(kept, condition)
			}
		}
		s.Conditions = kept
		s.ContainerStatuses[0].Resources = &corev1.ResourceRequirements{Requests: cpu("200m")}
		s.ContainerStatuses[0].AllocatedResources = cpu("200m")
	})
	eventuallyPod(t, tn.client, tenantPod, "the resize done", func(p *corev1.Pod) bool {
		return !conditionIs(p, corev1.PodResizePending, corev1.ConditionTrue) &&
			p.Status.ContainerStatuses[0].AllocatedResources.Cpu().MilliValue() == 200
	})
}

func testReadinessGates(t *testing.T, e *environment, tn *tenant) {
	const gate = "example.com/balanced"
	must(t, tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "gates"}}))
	tn.waitServiceAccount(t, "gates")
	pod := makePod("gates", "web")
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: gate}}
	must(t, tn.client.Create(t.Context(), pod))
	tenantPod := tn.waitRunning(t, "gates", "web")
	eventuallyPod(t, tn.client, tenantPod, "not ready", func(p *corev1.Pod) bool {
		return conditionIs(p, corev1.PodReady, corev1.ConditionFalse)
	})
	superPod := &corev1.Pod{}
	must(t, e.superClient.Get(t.Context(), tn.superKey("gates", "web"), superPod))
	if len(superPod.Spec.ReadinessGates) != 1 {
		t.Errorf("gates of the super pod: %v", superPod.Spec.ReadinessGates)
	}
	setStatus(t, tn.client, tenantPod, func(s *corev1.PodStatus) {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: gate, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	})
	e.eventuallySuper(t, superPod, "the gate in super", func(p *corev1.Pod) bool { return conditionIs(p, gate, corev1.ConditionTrue) })
	eventuallyPod(t, tn.client, tenantPod, "ready", func(p *corev1.Pod) bool {
		return conditionIs(p, corev1.PodReady, corev1.ConditionTrue) && conditionIs(p, gate, corev1.ConditionTrue)
	})
}

// testUnplaced: a pod that the tenant's node does not take stays Pending like
// on any cluster, and is placed when the node does.
func testUnplaced(t *testing.T, _ *environment, tn *tenant) {
	pod := makePod("default", "picky")
	pod.Spec.NodeSelector = map[string]string{"disk": "ssd"}
	must(t, tn.client.Create(t.Context(), pod))
	eventually(t, "FailedScheduling", func(ctx context.Context) error {
		return eventWith(ctx, tn, pod, "FailedScheduling", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
	})
	eventuallyPod(t, tn.client, pod, "unscheduled", func(p *corev1.Pod) bool {
		return conditionIs(p, corev1.PodScheduled, corev1.ConditionFalse) && p.Spec.NodeName == "" && p.Status.Phase == corev1.PodPending
	})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "virtual-node-0"}}
	must(t, tn.client.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"disk":"ssd"}}}`))))
	tn.waitRunning(t, "default", "picky")
	must(t, tn.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
	if !conditionIs(pod, corev1.PodScheduled, corev1.ConditionTrue) {
		t.Errorf("conditions %+v", pod.Status.Conditions)
	}
}

// testAffinity: the super cluster's API server takes what is made of the
// tenant's affinity and spread constraints.
func testAffinity(t *testing.T, e *environment, tn *tenant) {
	app := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "spread"}}
	pod := makePod("default", "spread")
	pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: app, NamespaceSelector: &metav1.LabelSelector{}, MatchLabelKeys: []string{"version"},
		}},
	}}
	pod.Labels["version"] = "1"
	pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: app, MatchLabelKeys: []string{"version"},
	}}
	must(t, tn.client.Create(t.Context(), pod))
	tn.waitRunning(t, "default", "spread")
	superPod := &corev1.Pod{}
	must(t, e.superClient.Get(t.Context(), tn.superKey("default", "spread"), superPod))
	term := superPod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0]
	var namespaces corev1.NamespaceList
	must(t, tn.client.List(t.Context(), &namespaces))
	if term.NamespaceSelector != nil || len(term.Namespaces) != len(namespaces.Items) {
		t.Errorf("the term looks at %v and %v; the tenant has %d namespaces", term.NamespaceSelector, term.Namespaces, len(namespaces.Items))
	}
	for _, expressions := range [][]metav1.LabelSelectorRequirement{
		term.LabelSelector.MatchExpressions, superPod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchExpressions,
	} {
		if len(expressions) != 1 || expressions[0].Key != "version" {
			t.Errorf("selector %+v, want the label key once", expressions)
		}
	}
}
