// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	// externalRange lies at the end of the default class's range, whose slices
	// are given from its begin.
	externalRange = "10.127.252.0/22"
	// seenWithin is how long vc-manager may take until it has looked at a Secret
	// of a kubeconfig again, and vn-agent and the syncer until they go by it.
	seenWithin = 90 * time.Second
)

// TestExternalControlPlane makes a tenant of a cluster that the platform does
// not run: a control plane of its own beside the super cluster's, on the node's
// address, so that pods reach it.
func TestExternalControlPlane(t *testing.T) {
	const name = "outside"
	other := startOutside(t)
	class := newClass(t, "external", func(spec *tenancyv1alpha1.VirtualClusterClassSpec) { spec.Network.ServiceSliceBits = 22 })
	super, err := os.ReadFile(superKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	given := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name + "-given"},
		Data:       map[string][]byte{tenancyv1alpha1.KeyKubeconfig: super},
	}
	createInSuper(t, given)
	object := newVirtualCluster(name)
	object.Spec.ClassName = class.Name
	object.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{
		External: &tenancyv1alpha1.ExternalControlPlane{KubeconfigSecretRef: tenancyv1alpha1.KubeconfigSecretReference{Name: given.Name}},
	}
	t.Cleanup(func() { deleteTenant(t, name) })
	if err := superClient.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	waitNotReady(t, object, tenancyv1alpha1.ReasonSuperCluster, "the cluster that the platform runs in")
	if network := object.Status.Network; network != nil {
		t.Errorf("it was refused and holds %s", network.ServiceCIDR)
	}

	give(t, given, map[string][]byte{tenancyv1alpha1.KeyKubeconfig: other.Kubeconfig})
	started := time.Now()
	waitCondition(t, object, seenWithin, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	t.Logf("Ready %s after it got a kubeconfig that is good", time.Since(started).Round(time.Second))
	tn := openTenant(t, name)
	if got := tn.object.Status.Network; got == nil || got.ServiceCIDR != externalRange {
		t.Errorf("status.network = %+v, want the cluster's own %s", got, externalRange)
	}
	eventually(t, 20*time.Second, "creating a pod", func(ctx context.Context) error { return tn.client.Create(ctx, newPod("default", "web")) })
	tn.waitRunning(t, "default", "web")
	superPod := &corev1.Pod{}
	if err := superClient.Get(t.Context(), tn.superKey("default", "web"), superPod); err != nil || superPod.Spec.RuntimeClassName == nil {
		t.Fatalf("the pod in the super cluster: %v, RuntimeClass %v", err, superPod.Spec.RuntimeClassName)
	}
	t.Run("logs", func(t *testing.T) { testExternalLogs(t, tn, given, other) })
	t.Run("its own API server", func(t *testing.T) { testServiceAccountOfAPod(t, tn) })
	t.Run("deletion", func(t *testing.T) { testExternalDeletion(t, tn, other) })
}

// startOutside starts a control plane in the network of the local super cluster's node.
func startOutside(t *testing.T) *controlplanetest.Instance {
	t.Helper()
	server, err := url.Parse(superConfig.Host)
	if err != nil {
		t.Fatal(err)
	}
	serving := &corev1.Secret{}
	key := client.ObjectKey{Namespace: platformNamespace, Name: tenancyv1alpha1.SecretAgentServingCA}
	if err := superClient.Get(t.Context(), key, serving); err != nil {
		t.Fatal(err)
	}
	if net.ParseIP(server.Hostname()) == nil {
		t.Fatalf("the super cluster is at %s, want the node's address", superConfig.Host)
	}
	return controlplanetest.Start(t, controlplanetest.Options{
		ServiceCIDR: externalRange, KubeletServingCA: serving.Data[corev1.TLSCertKey], Address: server.Hostname(),
		Within: []string{"nsenter", "--net=" + filepath.Join(localDir, "ns", "net")},
	})
}

// give adds to a Secret, or changes, what a user keeps in it.
func give(t *testing.T, secret *corev1.Secret, data map[string][]byte) {
	t.Helper()
	before := secret.DeepCopy()
	for key, content := range data {
		secret.Data[key] = content
	}
	if err := superClient.Patch(t.Context(), secret, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// testExternalLogs: logs are refused, and that is told, until the cluster's
// authority for kubelets has signed for this virtual cluster.
func testExternalLogs(t *testing.T, tn *tenant, given *corev1.Secret, other *controlplanetest.Instance) {
	certificates := condition(tn.object, tenancyv1alpha1.ConditionCertificatesReady)
	if certificates.Status != metav1.ConditionTrue || !strings.Contains(certificates.Message, "kubectl logs, exec and port-forward are refused") {
		t.Errorf("CertificatesReady = %+v, want it to say that logs are refused", certificates)
	}
	logs := func(ctx context.Context) error {
		_, _, err := try(ctx, nil, "kubectl", "--kubeconfig", tn.kubeconfig, "logs", "web")
		return err
	}
	err := logs(t.Context())
	if err == nil {
		t.Error("logs are shown to somebody whom nobody vouches for")
	}
	t.Logf("logs without the authority: %v", err)

	authority := other.Authorities.KubeletClient
	proof, _, err := authority.Issue(pki.Leaf{
		CommonName: tn.object.Namespace + "/" + tn.name, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	give(t, given, map[string][]byte{tenancyv1alpha1.KeyKubeletClientCA: authority.CertPEM(), tenancyv1alpha1.KeyKubeletClientProof: proof})
	started := time.Now()
	eventuallyEvery(t, costlyInterval, seenWithin, "logs", logs)
	t.Logf("logs work %s after the authority and its proof were given", time.Since(started).Round(time.Second))
	wantLooksIn(t, tn, "web")
}

// testExternalDeletion: the super cluster is rid of the tenant, and the
// external cluster of the platform; what is its own stays.
func testExternalDeletion(t *testing.T, tn *tenant, other *controlplanetest.Instance) {
	admin, err := newClient(other.Config)
	if err != nil {
		t.Fatal(err)
	}
	own := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "own"}, Data: map[string]string{"key": "value"}}
	if err := admin.Create(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	made := []client.Object{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: external.AgentName}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: external.AgentName}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: external.AgentName}},
	}
	for _, object := range made {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Errorf("before: %T: %v", object, err)
		}
	}
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "delete", "vc", tn.name, "--timeout=90s")
	if err := nothingOf(t.Context(), tn); err != nil {
		t.Errorf("the VirtualCluster is gone, but: %v", err)
	}
	for _, object := range made {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("a %T is left in the external cluster (%v)", object, err)
		}
	}
	if err := callOnce(t.Context(), other.Config); err != nil {
		t.Errorf("the external cluster: %v", err)
	}
	if err := errors.Join(admin.Get(t.Context(), client.ObjectKeyFromObject(own), own), admin.Delete(t.Context(), own)); err != nil {
		t.Errorf("what is the external cluster's own: %v", err)
	}
}
