// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func testSpec(upstreams ...string) Spec {
	return Spec{
		ServiceCIDR: netip.MustParsePrefix("10.112.4.0/22"),
		Class: tenancyv1alpha1.ClassDNS{
			Image: "example.test/coredns:v1", Replicas: 2, UpstreamNameservers: upstreams,
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("170Mi")}},
		},
	}
}

func mustObjects(t *testing.T, s Spec) []client.Object {
	t.Helper()
	objects, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// TestGolden compares everything that is made with testdata, which
// UPDATE_GOLDEN=true writes anew: a tenant's DNS changes in a review or not at all.
func TestGolden(t *testing.T) {
	for name, spec := range map[string]Spec{"alone": testSpec(), "upstreams": testSpec("192.0.2.53", "2001:db8::53")} {
		t.Run(name, func(t *testing.T) {
			var documents []string
			for _, object := range mustObjects(t, spec) {
				document, err := yaml.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				documents = append(documents, string(document))
			}
			got, file := strings.Join(documents, "---\n"), filepath.Join("testdata", name+".yaml")
			if os.Getenv("UPDATE_GOLDEN") == "true" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEveryObjectIsKnownAsOurs: what has no label is never removed.
func TestEveryObjectIsKnownAsOurs(t *testing.T) {
	objects := mustObjects(t, testSpec())
	for _, object := range objects {
		if object.GetLabels()[tenancyv1alpha1.LabelManagedBy] != tenancyv1alpha1.ManagedByManager {
			t.Errorf("%T %s: labels %v", object, object.GetName(), object.GetLabels())
		}
		_, isRole := object.(*rbacv1.ClusterRole)
		_, isBinding := object.(*rbacv1.ClusterRoleBinding)
		if want := object.GetNamespace() == metav1.NamespaceSystem; want == (isRole || isBinding) {
			t.Errorf("%T %s: namespace %q", object, object.GetName(), object.GetNamespace())
		}
	}
	if _, isDeployment := objects[len(objects)-1].(*appsv1.Deployment); !isDeployment {
		t.Errorf("the Deployment is not the last: pods start before what they need")
	}
}

// TestPodIsRestricted checks Pod Security level "restricted": the pod needs no
// port below 1024 and no capability.
func TestPodIsRestricted(t *testing.T) {
	pod := testSpec().deployment().Spec.Template.Spec
	if !ptr.Deref(pod.SecurityContext.RunAsNonRoot, false) || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod security context = %+v", pod.SecurityContext)
	}
	container := pod.Containers[0]
	security := container.SecurityContext
	if ptr.Deref(security.AllowPrivilegeEscalation, true) || !ptr.Deref(security.ReadOnlyRootFilesystem, false) ||
		!slices.Equal(security.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(security.Capabilities.Add) > 0 {
		t.Errorf("container security context = %+v", security)
	}
	for _, port := range container.Ports {
		if port.ContainerPort < 1024 {
			t.Errorf("port %d needs a privilege", port.ContainerPort)
		}
	}
}

// TestServiceLeadsToThePod: by label, and by the names of its ports.
func TestServiceLeadsToThePod(t *testing.T) {
	service, err := testSpec().service()
	if err != nil {
		t.Fatal(err)
	}
	template := testSpec().deployment().Spec.Template
	if diff := cmp.Diff(template.Labels, service.Spec.Selector); diff != "" {
		t.Errorf("the selector is not the pod's labels: %s", diff)
	}
	for _, port := range service.Spec.Ports {
		if !slices.ContainsFunc(template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
			return p.Name == port.TargetPort.StrVal && p.Protocol == port.Protocol
		}) {
			t.Errorf("port %s leads nowhere", port.Name)
		}
	}
}

func TestAddress(t *testing.T) {
	cases := map[string]struct{ cidr, want string }{
		"a slice":     {"10.112.4.0/22", "10.112.4.10"},
		"host bits":   {"10.112.4.77/24", "10.112.4.10"},
		"the smaller": {"10.112.4.16/28", "10.112.4.26"},
		"too small":   {"10.112.4.0/29", ""},
		"IPv6":        {"fd00::/112", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Address(netip.MustParsePrefix(tc.cidr))
			if (err == nil) != (tc.want != "") || err == nil && got.String() != tc.want {
				t.Errorf("Address = %s, %v; want %q", got, err, tc.want)
			}
		})
	}
	if _, err := (Spec{}).Objects(); err == nil {
		t.Error("no error without a service range")
	}
}

// TestReverseOfTheSliceIsLocal: also where a class gives addresses that are not private.
func TestReverseOfTheSliceIsLocal(t *testing.T) {
	spec := testSpec("192.0.2.53")
	if zones := spec.localZones(); slices.Contains(zones, "10.112.4.0/22") || !slices.Contains(zones, "10.0.0.0/8") {
		t.Errorf("zones = %v", zones)
	}
	spec.ServiceCIDR = netip.MustParsePrefix("198.18.4.0/22")
	if zones := spec.localZones(); !slices.Contains(zones, "198.18.4.0/22") {
		t.Errorf("zones = %v", zones)
	}
}
