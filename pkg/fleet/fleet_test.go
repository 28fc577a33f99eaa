// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const patience = 10 * time.Second

var key = types.NamespacedName{Namespace: "default", Name: "demo"}

// listener records who was engaged; a disengaged tenant's context ends.
type listener struct{ engaged chan engagement }

type engagement struct {
	ctx    context.Context //nolint:containedctx // it is what the test looks at.
	tenant *Tenant
}

func (l *listener) Engage(ctx context.Context, id string, cl cluster.Cluster) error {
	tenant, ok := cl.(*Tenant)
	if !ok || tenant.ID != id {
		return errors.New("not the tenant")
	}
	l.engaged <- engagement{ctx, tenant}
	return nil
}

// apiServer answers /readyz while it is healthy.
func apiServer(t *testing.T) (server *httptest.Server, healthy *atomic.Bool) {
	t.Helper()
	healthy = &atomic.Bool{}
	healthy.Store(true)
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, ready)
	}))
	t.Cleanup(server.Close)
	return server, healthy
}

func kubeconfig(t *testing.T, server *httptest.Server) []byte {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{
		Server:                   server.URL,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "x"
	content, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func virtualCluster() *tenancyv1alpha1.VirtualCluster {
	return &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: "tenant-1", Finalizers: []string{tenancyv1alpha1.FinalizerSyncer}},
		Spec:       tenancyv1alpha1.VirtualClusterSpec{ClassName: "default"},
		Status: tenancyv1alpha1.VirtualClusterStatus{
			Conditions:   []metav1.Condition{{Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: metav1.ConditionTrue}},
			ControlPlane: &tenancyv1alpha1.ControlPlaneStatus{Namespace: "vcp", Addresses: []string{"10.0.0.1"}},
			Network:      &tenancyv1alpha1.NetworkStatus{ServiceCIDR: "10.112.4.0/22"},
		},
	}
}

// start runs a fleet over these objects until the test ends.
func start(t *testing.T, objects ...client.Object) (*Fleet, client.Client, *listener) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), tenancyv1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	objects = append(objects, &tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	metaClient := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	f := New(Options{MetaReader: metaClient, SecretReader: metaClient, ProbeInterval: 10 * time.Millisecond, ProbeFailures: 2})
	l := &listener{engaged: make(chan engagement, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Start(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
	return f, metaClient, l
}

func secret(t *testing.T, server *httptest.Server) *corev1.Secret {
	t.Helper()
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vcp", Name: tenancyv1alpha1.SecretSyncerKubeconfig},
		Data:       map[string][]byte{tenancyv1alpha1.KeyKubeconfig: kubeconfig(t, server)},
	}
}

func reconcileOnce(t *testing.T, f *Fleet) {
	t.Helper()
	if _, err := f.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, l *listener) engagement {
	t.Helper()
	select {
	case e := <-l.engaged:
		return e
	case <-time.After(patience):
		t.Fatal("nobody was engaged")
		return engagement{}
	}
}

func ended(t *testing.T, e engagement) {
	t.Helper()
	select {
	case <-e.ctx.Done():
	case <-time.After(patience):
		t.Fatal("the tenant was not disengaged")
	}
}

func TestATenantIsEngagedLostAndEngagedAgain(t *testing.T) {
	server, healthy := apiServer(t)
	f, _, l := start(t, virtualCluster(), secret(t, server))
	reconcileOnce(t, f)
	first := next(t, l)
	facts, _ := first.tenant.Facts()
	if first.tenant.ID != "tenant-1" || facts.ServiceCIDR.String() != "10.112.4.0/22" || facts.ControlPlaneAddresses[0] != "10.0.0.1" {
		t.Errorf("tenant %+v, facts %+v", first.tenant, facts)
	}
	healthy.Store(false)
	ended(t, first)
	if _, err := f.Get(t.Context(), "tenant-1"); !errors.Is(err, multicluster.ErrClusterNotFound) {
		t.Errorf("a lost tenant is found: %v", err)
	}
	healthy.Store(true)
	second := next(t, l)
	if second.tenant == first.tenant {
		t.Error("the connection was not made anew")
	}
}

func TestADeletedVirtualClusterIsDisengaged(t *testing.T) {
	server, _ := apiServer(t)
	f, metaClient, l := start(t, virtualCluster(), secret(t, server))
	reconcileOnce(t, f)
	e := next(t, l)
	var vc tenancyv1alpha1.VirtualCluster
	if err := metaClient.Get(t.Context(), key, &vc); err != nil {
		t.Fatal(err)
	}
	if err := metaClient.Delete(t.Context(), &vc); err != nil { // the finalizer keeps it
		t.Fatal(err)
	}
	reconcileOnce(t, f)
	ended(t, e)
	if tenant, err := f.State(key); tenant != nil || err != nil {
		t.Errorf("state %v, %v: it still takes part", tenant, err)
	}
}

func TestFactsFollowTheVirtualCluster(t *testing.T) {
	server, _ := apiServer(t)
	f, metaClient, l := start(t, virtualCluster(), secret(t, server))
	reconcileOnce(t, f)
	e := next(t, l)
	_, changed := e.tenant.Facts()
	var vc tenancyv1alpha1.VirtualCluster
	if err := metaClient.Get(t.Context(), key, &vc); err != nil {
		t.Fatal(err)
	}
	reconcileOnce(t, f)
	select {
	case <-changed:
		t.Fatal("nothing changed")
	default:
	}
	before := vc.DeepCopy()
	vc.Status.ControlPlane.Addresses = []string{"10.0.0.2"}
	vc.Status.Quota = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
	if err := metaClient.Patch(t.Context(), &vc, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	reconcileOnce(t, f)
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatal("the change was not announced")
	}
	if facts, _ := e.tenant.Facts(); facts.ControlPlaneAddresses[0] != "10.0.0.2" || facts.Quota.Cpu().Value() != 2 {
		t.Errorf("facts %+v", facts)
	}
}

func TestWhoTakesPart(t *testing.T) {
	cases := map[string]struct {
		change func(*tenancyv1alpha1.VirtualCluster)
		joins  bool
	}{
		"ready":                 {func(*tenancyv1alpha1.VirtualCluster) {}, true},
		"without the finalizer": {func(vc *tenancyv1alpha1.VirtualCluster) { vc.Finalizers = nil }, false},
		"without a slice":       {func(vc *tenancyv1alpha1.VirtualCluster) { vc.Status.Network = nil }, false},
		"without control plane": {func(vc *tenancyv1alpha1.VirtualCluster) { vc.Status.ControlPlane = nil }, false},
		"control plane not ready": {func(vc *tenancyv1alpha1.VirtualCluster) {
			meta.SetStatusCondition(&vc.Status.Conditions, metav1.Condition{Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: metav1.ConditionFalse})
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			vc := virtualCluster()
			tc.change(vc)
			f, _, _ := start(t, vc)
			reconcileOnce(t, f)
			if _, err := f.State(key); (err != nil) != tc.joins { // there is no kubeconfig: it joins and fails
				t.Errorf("state %v, joins %v", err, tc.joins)
			}
		})
	}
}

// TestADeadTenantDelaysNobody: a tenant whose kubeconfig leads nowhere is
// retried by itself while another is engaged at once.
func TestADeadTenantDelaysNobody(t *testing.T) {
	server, _ := apiServer(t)
	dead, _ := apiServer(t)
	dead.Close()
	deadVC, deadSecret := virtualCluster(), secret(t, dead)
	deadVC.Name, deadVC.UID, deadVC.Status.ControlPlane.Namespace, deadSecret.Namespace = "dead", "tenant-2", "vcp-dead", "vcp-dead"
	f, _, l := start(t, virtualCluster(), secret(t, server), deadVC, deadSecret)
	deadKey := types.NamespacedName{Namespace: "default", Name: "dead"}
	if _, err := f.Reconcile(t.Context(), reconcile.Request{NamespacedName: deadKey}); err != nil {
		t.Fatal(err)
	}
	reconcileOnce(t, f)
	if e := next(t, l); e.tenant.ID != "tenant-1" {
		t.Errorf("engaged %s", e.tenant.ID)
	}
	if tenant, err := f.State(deadKey); tenant != nil || err == nil {
		t.Errorf("the dead tenant's state is %v, %v", tenant, err)
	}
}

// TestOnlyNewsOfTheControlPlaneEndABackOff: the syncer writes to the
// VirtualCluster why it cannot connect; that must not make it dial at once.
func TestOnlyNewsOfTheControlPlaneEndABackOff(t *testing.T) {
	cases := map[string]struct {
		change func(*tenancyv1alpha1.VirtualCluster)
		hurry  bool
	}{
		"nothing": {func(*tenancyv1alpha1.VirtualCluster) {}, false},
		"the syncer's own condition": {func(vc *tenancyv1alpha1.VirtualCluster) {
			meta.SetStatusCondition(&vc.Status.Conditions, metav1.Condition{Type: tenancyv1alpha1.ConditionSyncerReady, Status: metav1.ConditionFalse, Message: "EOF"})
		}, false},
		"ready again": {func(vc *tenancyv1alpha1.VirtualCluster) {
			vc.Status.Conditions[0].LastTransitionTime = metav1.Now()
		}, true},
		"another address": {func(vc *tenancyv1alpha1.VirtualCluster) { vc.Status.ControlPlane.Addresses = []string{"10.0.0.2"} }, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := Facts{ControlPlaneAddresses: []string{"10.0.0.1"}, ServiceCIDR: netip.MustParsePrefix("10.112.4.0/22")}
			m := &member{id: "tenant-1", facts: newFactsCell(facts), hurry: make(chan struct{}, 1)}
			vc := virtualCluster()
			tc.change(vc)
			f, _, _ := start(t, vc)
			f.members[key] = m
			reconcileOnce(t, f)
			delete(f.members, key) // it has no goroutine that could be stopped
			if got := len(m.hurry) == 1; got != tc.hurry {
				t.Errorf("hurries: %v", got)
			}
		})
	}
}
