// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer"
	"virtualcluster.io/virtualcluster/test/framework/await"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	// settle is how long something may take that takes well below a second.
	settle = 30 * time.Second
	// superNode is the node of the super cluster that the fake kubelet plays.
	superNode = "super-node-1"
	// nodeAddress is what tenants see as their node's address.
	nodeAddress = "192.0.2.10"
)

// environment is one super cluster.
type environment struct {
	// root is the whole test: a syncer outlives the part that started it.
	root        *testing.T
	scheme      *runtime.Scheme
	super       *controlplanetest.Instance
	superClient client.WithWatch
	// superGate and superLine are the way of a syncer program to the super
	// cluster: it asks line, which leads to gate, which leads to super.
	superGate *gate
	superLine *proxy
}

// tenant is a VirtualCluster with a control plane that the test started.
type tenant struct {
	*controlplanetest.Instance
	vc     *tenancyv1alpha1.VirtualCluster
	names  names.Tenant
	client client.WithWatch
	// line and gate are the syncer's way to the tenant: a test can cut one,
	// and counts at the other.
	line *proxy
	gate *gate
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	if os.Getenv("SYNCER_LOGS") != "" {
		ctrl.SetLogger(zap.New(zap.UseDevMode(true)))
		klog.SetLogger(zap.New(zap.UseDevMode(true)))
	} else {
		ctrl.SetLogger(zap.New(zap.WriteTo(logSink{t})))
	}
	scheme := runtime.NewScheme()
	must(t, clientgoscheme.AddToScheme(scheme))
	must(t, tenancyv1alpha1.AddToScheme(scheme))
	super := controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper})
	controlplanetest.InstallCRDs(t, super.Config)
	e := &environment{root: t, scheme: scheme, super: super, superGate: newGate(t, super)}
	e.superLine = newProxy(t, e.superGate.address())
	e.superClient = newClient(t, e, super)
	for _, object := range []client.Object{
		&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "tenants"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.112.0.0/12"}}},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: superNode}},
		&tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: tenancyv1alpha1.VirtualClusterClassSpec{
			Versions: []tenancyv1alpha1.ClassVersion{{Name: "v1.37.1", Image: "unused", Default: true}},
			Network:  tenancyv1alpha1.ClassNetwork{ServiceCIDR: "10.112.0.0/12", ServiceSliceBits: 22},
			Sandbox:  tenancyv1alpha1.ClassSandbox{Default: "gvisor", Allowed: []string{"gvisor"}},
		}},
	} {
		must(t, e.superClient.Create(t.Context(), object))
	}
	return e
}

// logSink sends the syncer's logs to the test.
type logSink struct{ t *testing.T }

func (l logSink) Write(line []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(string(line))
	}
	return len(line), nil
}

func newClient(t *testing.T, e *environment, instance *controlplanetest.Instance) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(instance.Config, client.Options{Scheme: e.scheme})
	must(t, err)
	return c
}

// addTenant starts a control plane and makes the VirtualCluster look as
// vc-manager and vn-agent leave it.
func (e *environment) addTenant(t *testing.T, name, serviceCIDR string) *tenant {
	t.Helper()
	instance := controlplanetest.Start(t, controlplanetest.Options{ServiceCIDR: serviceCIDR})
	entrance := newGate(t, instance)
	line := newProxy(t, entrance.address())
	vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	must(t, e.superClient.Create(t.Context(), vc))
	tn := &tenant{
		Instance: instance, vc: vc, names: names.Tenant{ID: string(vc.UID), Name: name}, client: newClient(t, e, instance), line: line, gate: entrance,
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress}}},
	}
	must(t, tn.client.Create(t.Context(), node.DeepCopy()))
	must(t, tn.client.Status().Patch(t.Context(), node, client.Merge))
	e.publish(t, tn, entrance.kubeconfig(t, line.address()), serviceCIDR)
	return tn
}

// publish hands the tenant's control plane to the syncer.
func (e *environment) publish(t *testing.T, tn *tenant, kubeconfig []byte, serviceCIDR string) {
	t.Helper()
	namespace := tn.names.ControlPlaneNamespace()
	must(t, e.superClient.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	must(t, e.superClient.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tenancyv1alpha1.SecretSyncerKubeconfig},
		Data:       map[string][]byte{tenancyv1alpha1.KeyKubeconfig: kubeconfig},
	}))
	before := tn.vc.DeepCopy()
	tn.vc.Status.ControlPlane = &tenancyv1alpha1.ControlPlaneStatus{Namespace: namespace, Addresses: []string{"192.0.2.1"}}
	tn.vc.Status.Network = &tenancyv1alpha1.NetworkStatus{ServiceCIDR: serviceCIDR}
	meta.SetStatusCondition(&tn.vc.Status.Conditions, metav1.Condition{
		Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady,
	})
	must(t, e.superClient.Status().Patch(t.Context(), tn.vc, client.MergeFrom(before)))
}

// startSyncer runs a syncer until stop is called or the test ends.
func (e *environment) startSyncer(t *testing.T) (stop func()) {
	t.Helper()
	config := &configv1alpha1.SyncerConfiguration{}
	config.SetDefaults()
	off := false
	config.LeaderElection.LeaderElect = &off
	config.Metrics.BindAddress, config.Health.BindAddress = "0", "0"
	config.TenantConnection.ProbeInterval.Duration = time.Second
	ctx, cancel := context.WithCancel(e.root.Context())
	mgr, err := syncer.NewManager(ctx, e.super.Config, config)
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			e.root.Errorf("the syncer ended with: %v", err)
		}
	}
	e.root.Cleanup(stop)
	return stop
}

// waitSynced waits until the VirtualCluster says that it is synced.
func (e *environment) waitSynced(t *testing.T, tn *tenant) {
	t.Helper()
	eventually(t, "SyncerReady of "+tn.vc.Name, func(ctx context.Context) error {
		var vc tenancyv1alpha1.VirtualCluster
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &vc); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(vc.Status.Conditions, tenancyv1alpha1.ConditionSyncerReady) {
			return fmt.Errorf("conditions: %+v", vc.Status.Conditions)
		}
		return nil
	})
}

// superKey is where an object of the tenant is in the super cluster.
func (tn *tenant) superKey(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: tn.names.Namespace(namespace), Name: name}
}

// eventually tries until do succeeds.
func eventually(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()
	if err := await.Success(t.Context(), 50*time.Millisecond, settle, do); err != nil {
		t.Fatalf("%s: not within %s: %v", what, settle, err)
	}
}

// consistently fails if do fails at any time in the period.
func consistently(t *testing.T, what string, period time.Duration, do func(ctx context.Context) error) {
	t.Helper()
	var broken error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, period, true, func(context.Context) (bool, error) {
		broken = do(t.Context()) // not the period's: a call at its end is no failure
		return broken != nil, nil
	})
	if err == nil {
		t.Fatalf("%s: %v", what, broken)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
