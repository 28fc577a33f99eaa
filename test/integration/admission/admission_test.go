// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// TestAdmission starts one API server for all of its parts: they make nothing
// that another part sees.
func TestAdmission(t *testing.T) {
	super := controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper})
	controlplanetest.InstallCRDs(t, super.Config)
	scheme := runtime.NewScheme()
	if err := tenancyv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	superClient, err := client.New(super.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("VirtualCluster", func(t *testing.T) { testVirtualClusters(t, superClient) })
	t.Run("VirtualCluster is immutable where it must be", func(t *testing.T) { testVirtualClusterUpdates(t, superClient) })
	t.Run("VirtualCluster that is protected", func(t *testing.T) { testDeletionProtection(t, superClient, super.Config) })
	t.Run("VirtualClusterClass", func(t *testing.T) { testClasses(t, superClient) })
	t.Run("VirtualClusterClass is immutable where it must be", func(t *testing.T) { testClassUpdates(t, superClient) })
}

// check compares the outcome with the text that the refusal must contain; "" means accepted.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want a refusal that says %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("refused with %q, want %q in it", err, want)
	}
}

func testVirtualClusters(t *testing.T, superClient client.Client) {
	outside := func(change func(*tenancyv1alpha1.VirtualClusterSpec)) tenancyv1alpha1.VirtualClusterSpec {
		spec := tenancyv1alpha1.VirtualClusterSpec{ControlPlane: externalControlPlane()}
		change(&spec)
		return spec
	}
	const theirs = "who runs that cluster decides"
	cases := map[string]struct {
		name string
		spec tenancyv1alpha1.VirtualClusterSpec
		want string
	}{
		"only a name":            {name: "demo"},
		"a name of 40":           {name: strings.Repeat("a", 40)},
		"a name of 41":           {name: strings.Repeat("a", 41), want: "at most 40 characters"},
		"a name with a dot":      {name: "a.b", want: "DNS label"},
		"a name with a digit":    {name: "1a", want: "starts with a letter"},
		"a version":              {name: "version", spec: tenancyv1alpha1.VirtualClusterSpec{Version: "v1.37.1"}},
		"a version without v":    {name: "novee", spec: tenancyv1alpha1.VirtualClusterSpec{Version: "1.37.1"}, want: "spec.version"},
		"a version that is none": {name: "latest", spec: tenancyv1alpha1.VirtualClusterSpec{Version: "latest"}, want: "spec.version"},
		"external":               {name: "outside", spec: outside(func(*tenancyv1alpha1.VirtualClusterSpec) {})},
		"external with a version": {name: "external", want: theirs, spec: outside(func(s *tenancyv1alpha1.VirtualClusterSpec) {
			s.Version = "v1.37.1"
		})},
		"external with replicas": {name: "external", want: theirs, spec: outside(func(s *tenancyv1alpha1.VirtualClusterSpec) {
			s.ControlPlane.Replicas = ptr.To[int32](3)
		})},
		"external with a volume": {name: "external", want: theirs, spec: outside(func(s *tenancyv1alpha1.VirtualClusterSpec) {
			s.ControlPlane.Storage = &tenancyv1alpha1.VirtualClusterStorage{StorageClassName: "disks"}
		})},
		"external and exposed": {name: "external", want: theirs, spec: outside(func(s *tenancyv1alpha1.VirtualClusterSpec) {
			s.ControlPlane.Expose = &tenancyv1alpha1.VirtualClusterExposure{Type: tenancyv1alpha1.ExposeNodePort}
		})},
		"a class name too long": {name: "class", spec: tenancyv1alpha1.VirtualClusterSpec{ClassName: strings.Repeat("c", 64)}, want: "spec.className"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: tc.name}, Spec: tc.spec}
			check(t, superClient.Create(t.Context(), vc), tc.want)
			if tc.want == "" && tc.spec.ClassName == "" && vc.Spec.ClassName != "default" {
				t.Errorf("got class %q, want the default", vc.Spec.ClassName)
			}
		})
	}
}

func testVirtualClusterUpdates(t *testing.T, superClient client.Client) {
	vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "updated"}}
	check(t, superClient.Create(t.Context(), vc), "")
	upgraded := vc.DeepCopy()
	upgraded.Spec.Version = "v1.37.2"
	check(t, superClient.Patch(t.Context(), upgraded, client.MergeFrom(vc)), "")
	moved := upgraded.DeepCopy()
	moved.Spec.ClassName = "gold"
	check(t, superClient.Patch(t.Context(), moved, client.MergeFrom(upgraded)), "className cannot be changed")

	const lost = "controlPlane.storage cannot be changed"
	for _, step := range []struct {
		controlPlane *tenancyv1alpha1.VirtualClusterControlPlane
		want         string
	}{
		{externalControlPlane(), "controlPlane.external cannot be added or removed"},
		{&tenancyv1alpha1.VirtualClusterControlPlane{Storage: &tenancyv1alpha1.VirtualClusterStorage{StorageClassName: "disks"}}, lost},
	} {
		changed := upgraded.DeepCopy()
		changed.Spec.Version, changed.Spec.ControlPlane = "", step.controlPlane
		check(t, superClient.Patch(t.Context(), changed, client.MergeFrom(upgraded)), step.want)
	}
	stored := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "stored"}}
	stored.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{Storage: &tenancyv1alpha1.VirtualClusterStorage{StorageClassName: "disks"}}
	check(t, superClient.Create(t.Context(), stored), "")
	other := stored.DeepCopy()
	other.Spec.ControlPlane.Storage.StorageClassName = "others"
	check(t, superClient.Patch(t.Context(), other, client.MergeFrom(stored)), lost)

	// A slice that cannot be read would stop the allocation of any other, and
	// one that is moved could be given twice.
	for _, step := range []struct{ slice, want string }{
		{"garbage", "must be a CIDR"},
		{"10.112.4.1/22", "must be a CIDR"},
		{"10.112.4.0/22", ""},
		{"10.112.8.0/22", "serviceCIDR cannot be changed"},
	} {
		allocated := upgraded.DeepCopy()
		allocated.Status.Network = &tenancyv1alpha1.NetworkStatus{ServiceCIDR: step.slice}
		check(t, superClient.Status().Patch(t.Context(), allocated, client.MergeFrom(upgraded)), step.want)
	}
}

func externalControlPlane() *tenancyv1alpha1.VirtualClusterControlPlane {
	return &tenancyv1alpha1.VirtualClusterControlPlane{External: &tenancyv1alpha1.ExternalControlPlane{
		KubeconfigSecretRef: tenancyv1alpha1.KubeconfigSecretReference{Name: "given"},
	}}
}

// validClass returns a class that is accepted.
func validClass(name string) *tenancyv1alpha1.VirtualClusterClass {
	return &tenancyv1alpha1.VirtualClusterClass{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: tenancyv1alpha1.VirtualClusterClassSpec{
			Versions: []tenancyv1alpha1.ClassVersion{{Name: "v1.37.1", Image: "registry.example/control-plane:v1.37.1", Default: true}},
			Network:  tenancyv1alpha1.ClassNetwork{ServiceCIDR: "10.112.0.0/12"},
			Sandbox:  tenancyv1alpha1.ClassSandbox{Default: "gvisor", Allowed: []string{"gvisor"}},
		},
	}
}

func testClasses(t *testing.T, superClient client.Client) {
	cases := map[string]struct {
		change func(*tenancyv1alpha1.VirtualClusterClassSpec)
		want   string
	}{
		"as it is": {change: func(*tenancyv1alpha1.VirtualClusterClassSpec) {}},
		"no version": {want: "spec.versions", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Versions = nil
		}},
		"no default version": {want: "exactly one version must have default: true", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Versions[0].Default = false
		}},
		"two default versions": {want: "exactly one version must have default: true", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Versions = append(s.Versions, tenancyv1alpha1.ClassVersion{Name: "v1.36.4", Image: "x", Default: true})
		}},
		"the same version twice": {want: "Duplicate value", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Versions = append(s.Versions, tenancyv1alpha1.ClassVersion{Name: "v1.37.1", Image: "x"})
		}},
		"a range that is none": {want: "must be an IPv4 CIDR", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Network.ServiceCIDR = "10.112.0.0"
		}},
		"a range of IPv6": {want: "must be an IPv4 CIDR", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Network.ServiceCIDR = "fd00::/108"
		}},
		"a slice as large as the range": {want: "serviceSliceBits must be longer", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Network.ServiceCIDR, s.Network.ServiceSliceBits = "10.112.0.0/22", 22
		}},
		"a default that is not allowed": {want: "default must be one of allowed", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Sandbox.Default = "runc"
		}},
		"an unknown exposure": {want: "Unsupported value", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.ControlPlane.Exposure.Type = "Internet"
		}},
	}
	for name, tc := range boundCases() {
		cases[name] = tc
	}
	for name, tc := range ruleCases() {
		cases["rule: "+name] = struct {
			change func(*tenancyv1alpha1.VirtualClusterClassSpec)
			want   string
		}{want: tc.want, change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) { s.Syncing.CustomResources = tc.rules }}
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			class := validClass("class")
			tc.change(&class.Spec)
			check(t, superClient.Create(t.Context(), class, client.DryRunAll), tc.want)
		})
	}
}

// boundCases are classes that go beyond a bound.
func boundCases() map[string]struct {
	change func(*tenancyv1alpha1.VirtualClusterClassSpec)
	want   string
} {
	cases := map[string]struct {
		change func(*tenancyv1alpha1.VirtualClusterClassSpec)
		want   string
	}{
		"a type of exposure that is not allowed": {want: "allowed must name type too", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.ControlPlane.Exposure.Allowed = []tenancyv1alpha1.ExposureType{tenancyv1alpha1.ExposeNodePort}
		}},
		"a gateway without a domain": {want: "set gateway.domain", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.ControlPlane.Exposure.Allowed = []tenancyv1alpha1.ExposureType{tenancyv1alpha1.ExposeClusterIP, tenancyv1alpha1.ExposeGateway}
		}},
		"a default quota of nothing": {want: "quotas are of cpu, memory", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Quota.Default = corev1.ResourceList{"requests.cpu": resource.MustParse("1")}
		}},
		"a greatest quota of nothing": {want: "quotas are of cpu, memory", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Quota.Max = corev1.ResourceList{"requests.cpu": resource.MustParse("1")}
		}},
		"a default debt": {want: "a quota cannot be negative", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Quota.Default = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("-1")}
		}},
		"a greatest debt": {want: "a quota cannot be negative", change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) {
			s.Quota.Max = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("-1")}
		}},
	}
	for name, bound := range map[string]struct {
		least, most time.Duration
		set         func(*tenancyv1alpha1.VirtualClusterClassSpec, *metav1.Duration)
	}{
		"leafDuration": {10 * time.Minute, 43800 * time.Hour, func(s *tenancyv1alpha1.VirtualClusterClassSpec, d *metav1.Duration) {
			s.ControlPlane.Certificates.LeafDuration = d
		}},
		"overlap": {time.Minute, 8760 * time.Hour, func(s *tenancyv1alpha1.VirtualClusterClassSpec, d *metav1.Duration) {
			s.ControlPlane.Certificates.Overlap = d
		}},
		"timeout": {10 * time.Second, time.Hour, func(s *tenancyv1alpha1.VirtualClusterClassSpec, d *metav1.Duration) {
			s.ControlPlane.Upgrade.Timeout = d
		}},
	} {
		for _, duration := range []time.Duration{bound.least - time.Second, bound.least, bound.most, bound.most + time.Second} {
			want := ""
			if duration < bound.least || duration > bound.most {
				want = name + " must be between"
			}
			cases[name+" of "+duration.String()] = struct {
				change func(*tenancyv1alpha1.VirtualClusterClassSpec)
				want   string
			}{want: want, change: func(s *tenancyv1alpha1.VirtualClusterClassSpec) { bound.set(s, &metav1.Duration{Duration: duration}) }}
		}
	}
	return cases
}

func testClassUpdates(t *testing.T, superClient client.Client) {
	class := validClass("updated")
	check(t, superClient.Create(t.Context(), class), "")
	moved := class.DeepCopy()
	moved.Spec.Network.ServiceCIDR = "10.128.0.0/12"
	check(t, superClient.Patch(t.Context(), moved, client.MergeFrom(class)), "serviceCIDR cannot be changed")
}

// ruleCases are rules for custom resources and what is said about them.
func ruleCases() map[string]struct {
	rules []tenancyv1alpha1.CustomResourceRule
	want  string
} {
	type rule = tenancyv1alpha1.CustomResourceRule
	with := func(change func(*rule)) []rule {
		r := rule{
			Name: "a", Group: "example.com", Version: "v1", Kind: "Widget", Direction: tenancyv1alpha1.DirectionDown,
			Copy: []tenancyv1alpha1.FieldPath{".spec"}, Report: []tenancyv1alpha1.FieldPath{".status"},
		}
		change(&r)
		return []rule{r}
	}
	preset := rule{Name: "p", Preset: tenancyv1alpha1.PresetHTTPRoute, Version: "v1beta1"}
	return map[string]struct {
		rules []rule
		want  string
	}{
		"whole":                     {rules: with(func(*rule) {})},
		"preset":                    {rules: []rule{preset}},
		"preset and kind":           {want: "name either a preset or a kind", rules: with(func(r *rule) { r.Preset = tenancyv1alpha1.PresetHTTPRoute })},
		"neither":                   {want: "name either a preset or a kind", rules: []rule{{Name: "a"}}},
		"preset with fields":        {want: "a preset allows none of them", rules: []rule{{Name: "a", Preset: tenancyv1alpha1.PresetHTTPRoute, Copy: []tenancyv1alpha1.FieldPath{".spec"}}}},
		"no fields":                 {want: "a kind needs group, version, direction and copy", rules: with(func(r *rule) { r.Copy = nil })},
		"report of what goes up":    {want: "nothing is reported of what goes up", rules: with(func(r *rule) { r.Direction = tenancyv1alpha1.DirectionUp })},
		"a built-in kind":           {want: "group", rules: with(func(r *rule) { r.Group = "apps" })},
		"the platform's own":        {want: "the platform's own kinds are not synced", rules: with(func(r *rule) { r.Group = "tenancy.virtualcluster.io" })},
		"metadata":                  {want: "not the rule's to move", rules: with(func(r *rule) { r.Copy = []tenancyv1alpha1.FieldPath{".metadata.finalizers"} })},
		"metadata that is reported": {want: "not the rule's to move", rules: with(func(r *rule) { r.Report = []tenancyv1alpha1.FieldPath{".metadata"} })},
		"namespaces in metadata": {want: "not the rule's to move", rules: with(func(r *rule) {
			r.References = tenancyv1alpha1.CustomResourceReferences{Namespaces: []tenancyv1alpha1.FieldPath{".metadata.namespace"}}
		})},
		"unrelated in metadata": {want: "not the rule's to move", rules: with(func(r *rule) {
			r.References = tenancyv1alpha1.CustomResourceReferences{Unrelated: []tenancyv1alpha1.FieldPath{".kind"}}
		})},
		"not a path":                 {want: "copy", rules: with(func(r *rule) { r.Copy = []tenancyv1alpha1.FieldPath{"spec"} })},
		"an unknown preset":          {want: "Unsupported value", rules: []rule{{Name: "a", Preset: "Pods"}}},
		"two of one name":            {want: "Duplicate value", rules: append(with(func(*rule) {}), with(func(r *rule) { r.Kind = "Gadget" })...)},
		"a refusal without a remedy": {want: "message", rules: with(func(r *rule) { r.Refuse = []tenancyv1alpha1.CustomResourceRefusal{{Rule: "true", Field: "spec"}} })},
	}
}
