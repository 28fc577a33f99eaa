// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func testSpec() Spec {
	return Spec{
		TenantID:       "0f1e2d3c-0000-4000-8000-000000000001",
		VirtualCluster: types.NamespacedName{Namespace: "customers", Name: "demo"},
		Version:        tenancyv1alpha1.ClassVersion{Name: "v1.37.1", Image: "example.test/control-plane:v1.37.1"},
		ControlPlane: tenancyv1alpha1.ClassControlPlane{
			Storage: tenancyv1alpha1.ClassStorage{Size: resource.MustParse("2Gi")},
		},
		ServiceCIDR: "10.112.4.0/22",
	}
}

// TestEveryObjectIsTheTenants checks what every object of a tenant must have,
// so that it is found and removed.
func TestEveryObjectIsTheTenants(t *testing.T) {
	s := testSpec()
	statefulSet := s.StatefulSet("hash")
	objects := map[string]struct {
		object    client.Object
		namespace string
	}{
		"namespace":         {s.Namespace(), ""},
		"service":           {s.Service(), s.NamespaceName()},
		"peers service":     {s.PeersService(), s.NamespaceName()},
		"membership":        {s.MembershipConfigMap(), s.NamespaceName()},
		"budget":            {s.DisruptionBudget(), s.NamespaceName()},
		"network policy":    {s.NetworkPolicy(), s.NamespaceName()},
		"statefulset":       {statefulSet, s.NamespaceName()},
		"pod template":      {&corev1.Pod{ObjectMeta: statefulSet.Spec.Template.ObjectMeta}, ""},
		"volume claim":      {&statefulSet.Spec.VolumeClaimTemplates[0], ""},
		"authorities":       {s.Authorities(1, nil), s.NamespaceName()},
		"pki":               {s.PKI(nil), s.NamespaceName()},
		"syncer kubeconfig": {s.SyncerKubeconfig(nil), s.NamespaceName()},
		"agent kubeconfig":  {s.AgentKubeconfig(nil, nil), s.NamespaceName()},
		"user kubeconfig":   {s.UserKubeconfig(nil), "customers"},
	}
	for name, tc := range objects {
		t.Run(name, func(t *testing.T) {
			labels := tc.object.GetLabels()
			if labels[tenancyv1alpha1.LabelTenantID] != string(s.TenantID) || labels[tenancyv1alpha1.LabelManagedBy] != tenancyv1alpha1.ManagedByManager {
				t.Errorf("labels = %v", labels)
			}
			if tc.object.GetNamespace() != tc.namespace {
				t.Errorf("namespace = %q, want %q", tc.object.GetNamespace(), tc.namespace)
			}
		})
	}
}

// TestPodIsRestricted checks Pod Security level "restricted" field by field:
// the namespace enforces it, so a slip here means no control plane at all.
func TestPodIsRestricted(t *testing.T) {
	s := testSpec()
	if got := s.Namespace().Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("the namespace enforces %q", got)
	}
	pod := s.StatefulSet("hash").Spec.Template.Spec
	if !ptr.Deref(pod.SecurityContext.RunAsNonRoot, false) || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod security context = %+v", pod.SecurityContext)
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Errorf("the pod shares a namespace of the host")
	}
	if ptr.Deref(pod.AutomountServiceAccountToken, true) || ptr.Deref(pod.EnableServiceLinks, true) {
		t.Errorf("the pod is told about the cluster it runs in")
	}
	for _, volume := range pod.Volumes {
		if volume.Secret == nil && volume.EmptyDir == nil && volume.ConfigMap == nil {
			t.Errorf("volume %q is of a kind that is not restricted", volume.Name)
		}
		if volume.Secret != nil && ptr.Deref(volume.Secret.DefaultMode, 0o777) != 0o440 {
			t.Errorf("volume %q: mode %o", volume.Name, *volume.Secret.DefaultMode)
		}
	}
	for _, container := range pod.Containers {
		security := container.SecurityContext
		if ptr.Deref(security.AllowPrivilegeEscalation, true) || !ptr.Deref(security.ReadOnlyRootFilesystem, false) ||
			!slices.Contains(security.Capabilities.Drop, "ALL") || len(security.Capabilities.Add) > 0 {
			t.Errorf("container security context = %+v", security)
		}
	}
}

func TestStatefulSet(t *testing.T) {
	s := testSpec()
	s.ControlPlane.Storage.StorageClassName = "fast"
	statefulSet := s.StatefulSet("hash")
	container := statefulSet.Spec.Template.Spec.Containers[0]
	want := []string{
		"control-plane", "--role=tenant", "--data-dir=/var/lib/virtualcluster/data", "--pki-dir=/etc/virtualcluster/pki",
		"--service-cluster-ip-range=10.112.4.0/22", "--advertise-address=$(POD_IP)", "--secure-port=6443",
		"--replicas=1", "--member=$(POD_NAME)", "--membership-dir=/etc/virtualcluster/membership",
	}
	if diff := cmp.Diff(want, container.Args); diff != "" {
		t.Errorf("args (-want +got):\n%s", diff)
	}
	if container.Image != "example.test/control-plane:v1.37.1" {
		t.Errorf("image = %q", container.Image)
	}
	for _, mount := range container.VolumeMounts {
		if mount.Name == volumePKI && !mount.ReadOnly {
			t.Errorf("the certificates are mounted writable")
		}
	}
	if got := statefulSet.Spec.Template.Annotations[AnnotationPKIHash]; got != "hash" {
		t.Errorf("%s = %q", AnnotationPKIHash, got)
	}
	claim := statefulSet.Spec.VolumeClaimTemplates[0].Spec
	if size := claim.Resources.Requests[corev1.ResourceStorage]; size.String() != "2Gi" || ptr.Deref(claim.StorageClassName, "") != "fast" {
		t.Errorf("volume claim = %+v", claim)
	}
	if got := testSpec().StatefulSet("").Spec.VolumeClaimTemplates[0].Spec.StorageClassName; got != nil {
		t.Errorf("storageClassName = %q: without one, the cluster's default must be used", *got)
	}
}

func TestServiceSelectsThePod(t *testing.T) {
	cases := map[string]struct {
		exposure tenancyv1alpha1.ExposureType
		want     corev1.ServiceType
	}{
		"unset":     {"", corev1.ServiceTypeClusterIP},
		"ClusterIP": {tenancyv1alpha1.ExposeClusterIP, corev1.ServiceTypeClusterIP},
		"NodePort":  {tenancyv1alpha1.ExposeNodePort, corev1.ServiceTypeNodePort},
		"balancer":  {tenancyv1alpha1.ExposeLoadBalancer, corev1.ServiceTypeLoadBalancer},
		"gateway":   {tenancyv1alpha1.ExposeGateway, corev1.ServiceTypeClusterIP},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := testSpec()
			s.ControlPlane.Exposure.Type = tc.exposure
			service := s.Service()
			if service.Spec.Type != tc.want {
				t.Errorf("type = %s, want %s", service.Spec.Type, tc.want)
			}
			template := s.StatefulSet("").Spec.Template
			if diff := cmp.Diff(template.Labels, service.Spec.Selector); diff != "" {
				t.Errorf("the selector is not the pod's labels: %s", diff)
			}
			if service.Spec.PublishNotReadyAddresses {
				t.Errorf("clients are led to an API server that is not ready")
			}
		})
	}
}

func TestServingNames(t *testing.T) {
	s := testSpec()
	namespace := s.NamespaceName()
	want := []string{
		"localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"control-plane." + namespace, "control-plane." + namespace + ".svc", "control-plane." + namespace + ".svc.cluster.local",
	}
	if diff := cmp.Diff(want, s.ServingDNSNames()); diff != "" {
		t.Errorf("DNS names (-want +got):\n%s", diff)
	}
	ips, err := s.ServingIPs("10.96.0.7", "api.example.test", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ip := range ips {
		got = append(got, ip.String())
	}
	if diff := cmp.Diff([]string{"127.0.0.1", "10.112.4.1", "10.96.0.7", "192.0.2.1"}, got); diff != "" {
		t.Errorf("IPs (-want +got):\n%s", diff)
	}
	s.ServiceCIDR = ""
	if _, err := s.ServingIPs(); err == nil {
		t.Errorf("no error without a service range")
	}
}

func TestUserKubeconfigIsOwned(t *testing.T) {
	secret := testSpec().UserKubeconfig([]byte("content"))
	if secret.Name != "demo-kubeconfig" || string(secret.Data["value"]) != "content" {
		t.Errorf("secret = %s %v", secret.Name, secret.Data)
	}
	if len(secret.OwnerReferences) != 1 || secret.OwnerReferences[0].UID != testSpec().TenantID {
		t.Errorf("owners = %+v", secret.OwnerReferences)
	}
}

func TestAgentServing(t *testing.T) {
	secret := AgentServing("vc-system", []byte("cert"), []byte("key"), []byte("ca"))
	want := map[string][]byte{"tls.crt": []byte("cert"), "tls.key": []byte("key"), "ca.crt": []byte("ca")}
	if diff := cmp.Diff(want, secret.Data); diff != "" || secret.Type != corev1.SecretTypeTLS {
		t.Errorf("secret of type %s: %s", secret.Type, diff)
	}
	for _, name := range AgentDNSNames("vc-system") {
		if !strings.HasPrefix(name, "vn-agent.vc-system.svc") {
			t.Errorf("DNS name %q", name)
		}
	}
}
