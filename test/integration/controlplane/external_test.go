// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// dialAdvertised leads to this machine what control planes of these tests
// publish as their address; it forbids nothing, since they are all here.
func dialAdvertised(ctx context.Context, network, address string) (net.Conn, error) {
	if _, port, err := net.SplitHostPort(address); err == nil && strings.HasPrefix(address, "192.0.2.") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, address)
}

// testExternal makes tenants of clusters that the platform does not run: one
// that fits, after everything that a kubeconfig can be instead.
func testExternal(t *testing.T, s *suite, _ *counter) {
	classOf := class("external", "10.160.0.0/12")
	classOf.Spec.Network.ServiceSliceBits = 16
	s.create(t, classOf)
	good := controlplanetest.Start(t, controlplanetest.Options{ServiceCIDR: "10.160.0.0/16"})
	second := controlplanetest.Start(t, controlplanetest.Options{ServiceCIDR: "10.12.0.0/16"})
	virtualCluster := s.external(t, "outside")
	for _, refused := range refusals(t, s, good, second) {
		s.putKubeconfig(t, virtualCluster, refused.kubeconfig)
		s.wantTold(t, virtualCluster, refused.condition, refused.reason, refused.words)
	}
	s.wantNothingMade(t, virtualCluster)
	proof := proofFor(t, good, virtualCluster)
	s.putKubeconfig(t, virtualCluster, good.Kubeconfig)
	within(t, healWithin, "the good one heals it", func(ctx context.Context) error {
		return s.wantCondition(ctx, virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	})
	s.wantExternalTenant(t, virtualCluster, good)
	s.wantLogsAfterProof(t, virtualCluster, good, proof)
	t.Run("OneClusterOneTenant", func(t *testing.T) {
		twin := s.external(t, "twin")
		s.putKubeconfig(t, twin, good.Kubeconfig)
		s.wantTold(t, twin, tenancyv1alpha1.ConditionControlPlaneReady, tenancyv1alpha1.ReasonKubeconfigInvalid, "virtual cluster default/outside")
		s.wantNothingMade(t, twin)
		// Its end takes nothing from the cluster that it does not have; it would
		// have the cluster as soon as that is free.
		s.deleteNow(t, twin)
	})
	t.Run("Swapped", func(t *testing.T) {
		s.putKubeconfig(t, virtualCluster, second.Kubeconfig)
		within(t, healWithin+toldWithin, "another cluster is noticed", func(ctx context.Context) error {
			return s.wantCondition(ctx, virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonKubeconfigInvalid)
		})
		syncers := s.secret(t, controlPlaneNamespace(virtualCluster), tenancyv1alpha1.SecretSyncerKubeconfig)
		if !strings.Contains(string(syncers.Data["value"]), good.Config.Host) {
			t.Error("the syncer was led to another cluster")
		}
	})
	s.deleteExternal(t, virtualCluster, good)
}

// refusal is a kubeconfig and what is told about it.
type refusal struct {
	kubeconfig               []byte
	condition, reason, words string
}

func refusals(t *testing.T, s *suite, good, second *controlplanetest.Instance) []refusal {
	t.Helper()
	const ready = tenancyv1alpha1.ConditionControlPlaneReady
	const invalid, rejected = tenancyv1alpha1.ReasonKubeconfigInvalid, tenancyv1alpha1.ReasonCredentialsRejected
	changed := func(change func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo)) []byte {
		raw, err := clientcmd.Load(good.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		current := raw.Contexts[raw.CurrentContext]
		change(raw.Clusters[current.Cluster], raw.AuthInfos[current.AuthInfo])
		out, err := clientcmd.Write(*raw)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	with := func(authority *pki.Authority, group string, issued time.Time, ttl time.Duration) []byte {
		certPEM, keyPEM, err := authority.Issue(pki.Leaf{
			CommonName: "somebody", Organizations: []string{group}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, TTL: ttl,
		}, issued)
		if err != nil {
			t.Fatal(err)
		}
		return changed(func(_ *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) {
			user.ClientCertificateData, user.ClientKeyData = certPEM, keyPEM
		})
	}
	now := time.Now()
	// A server that is no API server, with a body that nobody may read through
	// vc-manager, and one that sends its callers elsewhere.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"?body-of-another-server", http.StatusFound)
	}))
	t.Cleanup(other.Close)
	superKubeconfig := s.superKubeconfig
	stranger, err := pki.NewAuthority("stranger", now)
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "https://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	return []refusal{
		{[]byte("garbage: [}"), ready, invalid, "cannot be parsed"},
		{[]byte("{}"), ready, invalid, "current-context"},
		{changed(func(_ *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) {
			user.Exec = &clientcmdapi.ExecConfig{Command: "sh", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode}
		}), ready, invalid, "exec is not allowed"},
		{changed(func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			cluster.CertificateAuthorityData, cluster.InsecureSkipTLSVerify = nil, true
		}), ready, invalid, "insecure-skip-tls-verify"},
		{changed(func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { cluster.ProxyURL = "http://192.0.2.9" }), ready, invalid, "proxy-url"},
		{changed(func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { cluster.Server = "http://192.0.2.9" }), ready, invalid, "https URL"},
		{with(good.Authorities.PlatformClient, "system:masters", now.Add(-48*time.Hour), time.Hour), ready, invalid, "expired at"},
		{with(stranger, "system:masters", now, time.Hour), ready, rejected, "401"},
		{with(good.Authorities.PlatformClient, "nobodies", now, time.Hour), ready, rejected, "cluster-admin"},
		{changed(func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { cluster.Server = nobody }), ready, tenancyv1alpha1.ReasonControlPlaneUnavailable, "no connection"},
		{changed(func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			cluster.CertificateAuthorityData = stranger.CertPEM()
		}), ready, tenancyv1alpha1.ReasonControlPlaneUnavailable, "not by certificate-authority-data"},
		{changed(func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			cluster.Server, cluster.CertificateAuthorityData = other.URL, certPEM(other.Certificate())
		}), ready, tenancyv1alpha1.ReasonControlPlaneUnavailable, "302"},
		{superKubeconfig, ready, tenancyv1alpha1.ReasonSuperCluster, "the cluster that the platform runs in"},
		{second.Kubeconfig, tenancyv1alpha1.ConditionNetworkAllocated, tenancyv1alpha1.ReasonServiceRangeUnsuitable, "10.12.0.0/16 does not lie within"},
	}
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// external creates a VirtualCluster whose kubeconfig does not exist yet.
func (s *suite) external(t *testing.T, name string) *tenancyv1alpha1.VirtualCluster {
	t.Helper()
	return s.externalOf(t, name, "external")
}

func (s *suite) externalOf(t *testing.T, name, className string) *tenancyv1alpha1.VirtualCluster {
	t.Helper()
	virtualCluster := &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: name},
		Spec: tenancyv1alpha1.VirtualClusterSpec{ClassName: className, ControlPlane: &tenancyv1alpha1.VirtualClusterControlPlane{
			External: &tenancyv1alpha1.ExternalControlPlane{KubeconfigSecretRef: tenancyv1alpha1.KubeconfigSecretReference{Name: name + "-given"}},
		}},
	}
	s.create(t, virtualCluster)
	s.wantTold(t, virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, tenancyv1alpha1.ReasonKubeconfigInvalid, "there is no such Secret")
	return virtualCluster
}

// putKubeconfig writes the Secret that a VirtualCluster names. Nothing tells
// vc-manager: it must look by itself.
func (s *suite) putKubeconfig(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, kubeconfig []byte) {
	t.Helper()
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: virtualCluster.Name + "-given"},
	}
	err := s.client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	before := secret.DeepCopy()
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[tenancyv1alpha1.KeyKubeconfig] = kubeconfig
	if err != nil {
		s.create(t, secret)
		return
	}
	if err := s.client.Patch(t.Context(), secret, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) wantNothingMade(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	if made := s.objectsOf(t, virtualCluster); len(made) > 0 {
		t.Errorf("%s was refused, and this was made for it: %v", virtualCluster.Name, made)
	}
	if network := s.get(t, virtualCluster).Status.Network; network != nil {
		t.Errorf("%s was refused and holds %s", virtualCluster.Name, network.ServiceCIDR)
	}
}

func (s *suite) wantExternalTenant(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, good *controlplanetest.Instance) {
	t.Helper()
	status := s.get(t, virtualCluster).Status
	host := strings.TrimPrefix(good.Config.Host, "https://")
	if status.Network == nil || status.Network.ServiceCIDR != "10.160.0.0/16" || status.Version != testVersion ||
		status.ControlPlane.Endpoint != good.Config.Host || status.ControlPlane.InternalEndpoint != host ||
		!slices.Equal(status.ControlPlane.Addresses, []string{"192.0.2.1"}) {
		t.Errorf("status = %+v, %+v, %s", status.ControlPlane, status.Network, status.Version)
	}
	namespace := controlPlaneNamespace(virtualCluster)
	for key, rights := range map[types.NamespacedName]map[string]bool{
		{Namespace: namespace, Name: tenancyv1alpha1.SecretSyncerKubeconfig}:  {"configmaps": true, "nodes": true},
		{Namespace: userNamespace, Name: virtualCluster.Name + "-kubeconfig"}: {"configmaps": true, "nodes": true},
		{Namespace: namespace, Name: tenancyv1alpha1.SecretAgentKubeconfig}:   {"configmaps": false, "nodes": true},
	} {
		s.wantRights(t, key, rights)
	}
}

// wantRights logs in with a kubeconfig and tries what it may do: to create in
// dry run, as vn-agent creates its node.
func (s *suite) wantRights(t *testing.T, key types.NamespacedName, rights map[string]bool) {
	t.Helper()
	tenant := clientOf(t, s.secret(t, key.Namespace, key.Name).Data[tenancyv1alpha1.KeyKubeconfig])
	objects := map[string]client.Object{
		"configmaps": &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x"}},
		"nodes":      &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName}},
	}
	for resource, may := range rights {
		if err := tenant.Create(t.Context(), objects[resource], client.DryRunAll); (err == nil) != may {
			t.Errorf("with the kubeconfig of %s, creating %s: %v, want it allowed: %t", key, resource, err, may)
		}
	}
}

func clientOf(t *testing.T, kubeconfig []byte) client.Client {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// proofFor returns what shows that the cluster's authority knows the virtual cluster.
func proofFor(t *testing.T, good *controlplanetest.Instance, virtualCluster *tenancyv1alpha1.VirtualCluster) []byte {
	t.Helper()
	proof, _, err := good.Authorities.KubeletClient.Issue(pki.Leaf{
		CommonName: virtualCluster.Namespace + "/" + virtualCluster.Name, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// wantLogsAfterProof: an authority that anybody can name stands for nobody
// until it has signed for this virtual cluster.
func (s *suite) wantLogsAfterProof(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, good *controlplanetest.Instance, proof []byte) {
	t.Helper()
	stored := func() []byte {
		return s.secret(t, controlPlaneNamespace(virtualCluster), tenancyv1alpha1.SecretAgentKubeconfig).Data[tenancyv1alpha1.KeyKubeletClientCA]
	}
	told := func(words string) func(context.Context) error {
		return func(context.Context) error {
			condition := meta.FindStatusCondition(s.get(t, virtualCluster).Status.Conditions, tenancyv1alpha1.ConditionCertificatesReady)
			if condition == nil || condition.Status != metav1.ConditionTrue || !strings.Contains(condition.Message, words) {
				return fmt.Errorf("condition = %+v", condition)
			}
			return nil
		}
	}
	within(t, toldWithin, "that there are no logs is told", told("has no key kubelet-client-ca.crt"))
	put := func(key string, content []byte) {
		secret := s.secret(t, userNamespace, virtualCluster.Name+"-given")
		before := secret.DeepCopy()
		secret.Data[key] = content
		if err := s.client.Patch(t.Context(), secret, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	put(tenancyv1alpha1.KeyKubeletClientCA, good.Authorities.KubeletClient.CertPEM())
	within(t, healWithin+toldWithin, "that the authority endorses nobody is told", told("the proof is missing"))
	if len(stored()) > 0 {
		t.Error("an authority without a proof was believed")
	}
	put(tenancyv1alpha1.KeyKubeletClientProof, proof)
	within(t, healWithin+toldWithin, "the authority is believed", func(context.Context) error {
		if !bytes.Equal(stored(), good.Authorities.KubeletClient.CertPEM()) {
			return fmt.Errorf("the authority is %q", stored())
		}
		return nil
	})
}

// deleteExternal: what the platform made in the cluster goes, and the cluster stays.
func (s *suite) deleteExternal(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, good *controlplanetest.Instance) {
	t.Helper()
	tenant := clientOf(t, good.Kubeconfig)
	made := map[types.NamespacedName]client.Object{
		{Name: external.AgentName, Namespace: "kube-system"}: &corev1.ServiceAccount{},
		{Name: external.AgentName}:                           &rbacv1.ClusterRole{},
	}
	for key, object := range made {
		if err := tenant.Get(t.Context(), key, object); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client.Delete(t.Context(), virtualCluster); err != nil {
		t.Fatal(err)
	}
	within(t, healWithin, "the virtual cluster is gone", func(ctx context.Context) error {
		return s.wantGone(ctx, client.ObjectKeyFromObject(virtualCluster), &tenancyv1alpha1.VirtualCluster{})
	})
	s.wantNothingLeft(t, virtualCluster)
	for key, object := range made {
		if err := tenant.Get(t.Context(), key, object); err == nil {
			t.Errorf("%T %s is left in the external cluster", object, key)
		}
	}
	if err := tenant.Get(t.Context(), types.NamespacedName{Name: "kube-system"}, &corev1.Namespace{}); err != nil {
		t.Errorf("the external cluster: %v", err)
	}
}
