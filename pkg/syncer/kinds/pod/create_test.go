// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

// virtualNodeObject is the node of the tests' tenant.
func virtualNodeObject() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "virtual-node-0", Labels: map[string]string{"kubernetes.io/os": "linux", "size": "7"}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.10"}}},
	}
}

// makePod returns a pod of the tests' tenant with one container.
func makePod(change func(*corev1.PodSpec)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0", UID: "pod-uid",
			Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": "costs $(HOME) $5"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "web:1"}}},
	}
	if change != nil {
		change(&pod.Spec)
	}
	return pod
}

func testTranslator() *translator {
	return &translator{rules: policy.PodFields(), statusRules: policy.PodStatusFields()}
}

func diffOf(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// superNames maps namespaces of the tests' tenant.
func superNames(tenantNamespaces []string) []string {
	var super []string
	for _, namespace := range tenantNamespaces {
		super = append(super, kindtest.Env(nil, nil).Names.Namespace(namespace))
	}
	return super
}

// created translates a pod; warned are the fields it was warned about.
func created(t *testing.T, tenant *corev1.Pod, objects ...client.Object) (spec corev1.PodSpec, warned []string, err error) {
	t.Helper()
	reader := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).Build()
	env := kindtest.Env(reader, func(field, _ string) { warned = append(warned, field) })
	env.Super = fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(&schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Value: 100,
	}).Build()
	super := &corev1.Pod{}
	err = testTranslator().create(t.Context(), env, tenant, super)
	return super.Spec, warned, err
}

func TestRejections(t *testing.T) {
	runc, custom := "runc", "custom"
	volume := func(source corev1.VolumeSource) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) { s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: source}} }
	}
	projected := func(source corev1.VolumeProjection) func(*corev1.PodSpec) {
		return volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{source}}})
	}
	reserved := corev1.LocalObjectReference{Name: "vc-reserved-pod-x"}
	cases := map[string]struct {
		change func(*corev1.PodSpec)
		want   string
	}{
		"hostPath":         {volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}), "spec.volumes[0].hostPath"},
		"gitRepo":          {volume(corev1.VolumeSource{GitRepo: &corev1.GitRepoVolumeSource{}}), "spec.volumes[0].gitRepo"},
		"nfs":              {volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}), "spec.volumes[0].nfs"},
		"csi":              {volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{}}), "spec.volumes[0].csi"},
		"reserved claim":   {volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: reserved.Name}}), "spec.volumes[0].persistentVolumeClaim.claimName"},
		"trust bundle":     {projected(corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{}}), "spec.volumes[0].projected.sources[0].clusterTrustBundle"},
		"pod certificate":  {projected(corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{}}), "spec.volumes[0].projected.sources[0].podCertificate"},
		"hostNetwork":      {func(s *corev1.PodSpec) { s.HostNetwork = true }, "spec.hostNetwork"},
		"hostPID":          {func(s *corev1.PodSpec) { s.HostPID = true }, "spec.hostPID"},
		"hostIPC":          {func(s *corev1.PodSpec) { s.HostIPC = true }, "spec.hostIPC"},
		"nodeName":         {func(s *corev1.PodSpec) { s.NodeName = "super-node" }, "spec.nodeName"},
		"schedulerName":    {func(s *corev1.PodSpec) { s.SchedulerName = custom }, "spec.schedulerName"},
		"runtimeClassName": {func(s *corev1.PodSpec) { s.RuntimeClassName = &runc }, "spec.runtimeClassName"},
		"windows":          {func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Windows} }, "spec.os.name"},
		"windowsOptions": {func(s *corev1.PodSpec) {
			s.SecurityContext = &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{}}
		}, "spec.securityContext.windowsOptions"},
		"resource claims": {func(s *corev1.PodSpec) { s.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} }, "spec.resourceClaims"},
		"block device":    {func(s *corev1.PodSpec) { s.Containers[0].VolumeDevices = []corev1.VolumeDevice{{Name: "d"}} }, "spec.containers[0].volumeDevices"},
		"probe of a host": {func(s *corev1.PodSpec) {
			s.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "169.254.169.254"}}}
		}, "spec.containers[0].livenessProbe.httpGet.host"},
		"unknown field": {func(s *corev1.PodSpec) {
			s.Containers[0].Env = []corev1.EnvVar{fieldEnv("X", "status.nominatedNodeName")}
		}, "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath"},
		"a host name that is too long": {func(s *corev1.PodSpec) {
			yes := true
			s.Subdomain, s.SetHostnameAsFQDN = strings.Repeat("a", 60), &yes
		}, "spec.setHostnameAsFQDN"},
		"reserved secret":     {volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: reserved.Name}}), "spec.volumes[0].secret.secretName"},
		"reserved, projected": {projected(corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: reserved}}), "spec.volumes[0].projected.sources[0].secret.name"},
		"reserved, map":       {volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: reserved}}), "spec.volumes[0].configMap.name"},
		"reserved, pull":      {func(s *corev1.PodSpec) { s.ImagePullSecrets = []corev1.LocalObjectReference{reserved} }, "spec.imagePullSecrets[0].name"},
		"reserved, envFrom": {func(s *corev1.PodSpec) {
			s.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: reserved}}}
		}, "spec.containers[0].envFrom[0].secretRef.name"},
		"reserved, env": {func(s *corev1.PodSpec) {
			s.Containers[0].Env = []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: reserved}}}}
		}, "spec.containers[0].env[0].valueFrom.secretKeyRef.name"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := created(t, makePod(tc.change), virtualNodeObject())
			if reject := kind.AsReject(err); reject == nil || reject.Field != tc.want || reject.Remedy == "" {
				t.Errorf("error %v, want a rejection of %s", err, tc.want)
			}
		})
	}
}

// TestPriority: only what the class shares counts between tenants, and a class
// of the tenant's own of the same name is the tenant's own.
func TestPriority(t *testing.T) {
	for name, tc := range map[string]struct {
		class string
		value int32
		want  string
	}{
		"none":                   {"", 0, ""},
		"shared":                 {"gold", 100, "gold"},
		"the tenant's own":       {"mine", 1_000_000, ""},
		"its own hides a shared": {"gold", 1_000_000, ""},
		"the super cluster's":    {"system-node-critical", 2_000_001_000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec, _, err := created(t, makePod(func(s *corev1.PodSpec) { s.PriorityClassName, s.Priority = tc.class, &tc.value }))
			if err != nil || spec.PriorityClassName != tc.want || spec.Priority != nil || spec.PreemptionPolicy != nil {
				t.Errorf("class %q, number %v, policy %v, error %v", spec.PriorityClassName, spec.Priority, spec.PreemptionPolicy, err)
			}
		})
	}
}

func TestSandboxAndIdentity(t *testing.T) {
	kata, mount := "kata", true
	cases := map[string]struct {
		change func(*corev1.PodSpec)
		want   string
	}{
		"the default":      {nil, "gvisor"},
		"an allowed class": {func(s *corev1.PodSpec) { s.RuntimeClassName = &kata }, "kata"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec, _, err := created(t, makePod(func(s *corev1.PodSpec) {
				s.ServiceAccountName, s.DeprecatedServiceAccount, s.AutomountServiceAccountToken = "admin", "admin", &mount
				s.PriorityClassName = "system-node-critical"
				s.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
				if tc.change != nil {
					tc.change(s)
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			if *spec.RuntimeClassName != tc.want {
				t.Errorf("runtime class %q", *spec.RuntimeClassName)
			}
			if spec.ServiceAccountName != "" || spec.DeprecatedServiceAccount != "" || *spec.AutomountServiceAccountToken {
				t.Errorf("service account %q, mounted %v", spec.ServiceAccountName, *spec.AutomountServiceAccountToken)
			}
			if spec.PriorityClassName != "" || spec.Tolerations != nil || *spec.EnableServiceLinks {
				t.Errorf("priority %q, tolerations %v", spec.PriorityClassName, spec.Tolerations)
			}
		})
	}
}

func TestDNS(t *testing.T) {
	five, two := "5", "2"
	ours := corev1.PodDNSConfig{
		Nameservers: []string{"10.112.4.10"}, Searches: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"},
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &five}},
	}
	given := &corev1.PodDNSConfig{
		Nameservers: []string{"1.1.1.1", "8.8.8.8", "9.9.9.9"}, Searches: []string{"example.com"},
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}},
	}
	added := ours
	added.Nameservers = []string{"10.112.4.10", "1.1.1.1", "8.8.8.8"}
	added.Searches = append(append([]string{}, ours.Searches...), "example.com")
	added.Options = given.Options
	cases := map[string]struct {
		policy corev1.DNSPolicy
		given  *corev1.PodDNSConfig
		want   corev1.PodDNSConfig
	}{
		"ClusterFirst":              {corev1.DNSClusterFirst, nil, ours},
		"Default is not the node's": {corev1.DNSDefault, nil, ours},
		"added to ours":             {corev1.DNSClusterFirst, given, added},
		"None":                      {corev1.DNSNone, given, *given},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec, _, err := created(t, makePod(func(s *corev1.PodSpec) { s.DNSPolicy, s.DNSConfig = tc.policy, tc.given }))
			if err != nil {
				t.Fatal(err)
			}
			if spec.DNSPolicy != corev1.DNSNone {
				t.Errorf("policy %s", spec.DNSPolicy)
			}
			if diff := cmp.Diff(tc.want, *spec.DNSConfig); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestHostname: a kubelet makes a pod's full name from its super namespace, so
// it is never the one to make it.
func TestHostname(t *testing.T) {
	yes, no := true, false
	own := "db.example.com"
	full := "db-0.db.shop.svc.cluster.local"
	cases := map[string]struct {
		change   func(*corev1.PodSpec)
		hostname string
		override *string
	}{
		"none":               {nil, "", nil},
		"of a stateful set":  {func(s *corev1.PodSpec) { s.Hostname, s.Subdomain = "db-0", "db" }, "db-0", nil},
		"full":               {func(s *corev1.PodSpec) { s.Hostname, s.Subdomain, s.SetHostnameAsFQDN = "db-0", "db", &yes }, "db-0", &full},
		"explicitly not":     {func(s *corev1.PodSpec) { s.Hostname, s.Subdomain, s.SetHostnameAsFQDN = "db-0", "db", &no }, "db-0", nil},
		"full, no subdomain": {func(s *corev1.PodSpec) { s.Hostname, s.SetHostnameAsFQDN = "db-0", &yes }, "db-0", nil},
		"chosen":             {func(s *corev1.PodSpec) { s.HostnameOverride = &own }, "", &own},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec, _, err := created(t, makePod(tc.change))
			if err != nil {
				t.Fatal(err)
			}
			if spec.Subdomain != "" || spec.SetHostnameAsFQDN != nil {
				t.Errorf("subdomain %q, full %v: the kubelet adds the super namespace", spec.Subdomain, spec.SetHostnameAsFQDN)
			}
			if diff := cmp.Diff(tc.override, spec.HostnameOverride); spec.Hostname != tc.hostname || diff != "" {
				t.Errorf("hostname %q, override (-want +got):\n%s", spec.Hostname, diff)
			}
		})
	}
}

func TestVolumesAndAttachment(t *testing.T) {
	seconds, mode := int64(3600), int32(0o400)
	field := func(path string) *corev1.ObjectFieldSelector { return &corev1.ObjectFieldSelector{FieldPath: path} }
	tenant := makePod(func(s *corev1.PodSpec) {
		s.ServiceAccountName = "robot"
		s.Volumes = []corev1.Volume{
			{Name: "access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "vault", ExpirationSeconds: &seconds, Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
			}}}},
			{Name: "info", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{DefaultMode: &mode, Items: []corev1.DownwardAPIVolumeFile{
				{Path: "labels", FieldRef: field("metadata.labels")},
				{Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.cpu"}},
				{Path: "note", FieldRef: field("metadata.annotations['note']")},
			}}}},
		}
	})
	spec, _, err := created(t, tenant)
	if err != nil {
		t.Fatal(err)
	}
	secret := corev1.LocalObjectReference{Name: names.PodSecret("pod-uid")}
	want := []corev1.Volume{
		{Name: "access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{Secret: &corev1.SecretProjection{LocalObjectReference: secret, Items: []corev1.KeyToPath{{Key: "volume-0-source-0-item-0", Path: "token"}}}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "vc-reserved-kube-root-ca.crt"}}},
		}}}},
		{Name: "info", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
			{Secret: &corev1.SecretProjection{LocalObjectReference: secret, Items: []corev1.KeyToPath{
				{Key: "volume-1-source-0-item-0", Path: "labels"}, {Key: "volume-1-source-0-item-2", Path: "note"},
			}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.cpu"}},
			}}},
		}}}},
	}
	if diff := cmp.Diff(want, spec.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	attachment, err := attach(t.Context(), kind.Env{}, tenant, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&kind.Attachment{
		Name:   secret.Name,
		Data:   map[string][]byte{"volume-1-source-0-item-0": []byte(`app="web"`), "volume-1-source-0-item-2": []byte("costs $(HOME) $5")},
		Tokens: map[string]kind.Token{"volume-0-source-0-item-0": {Namespace: "shop", ServiceAccount: "robot", Audience: "vault", ExpirationSeconds: &seconds, Pod: "web-0", PodUID: "pod-uid"}},
	}, attachment); diff != "" {
		t.Errorf("attachment (-want +got):\n%s", diff)
	}
	if none, err := attach(t.Context(), kind.Env{}, makePod(nil), nil); none != nil || err != nil {
		t.Errorf("a pod without such volumes gets %v, %v", none, err)
	}
}
