// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package custom

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer"
	"virtualcluster.io/virtualcluster/test/framework/await"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	// settle is how long something may take that takes about a second.
	settle = 45 * time.Second
	// still is how long nothing must happen where nothing may.
	still = 3 * time.Second
	// syncerUser is who the syncer is in the super cluster.
	syncerUser = "syncer"
	// className is the class of all tenants.
	className = "default"
)

// environment is one super cluster.
type environment struct {
	root        *testing.T
	scheme      *runtime.Scheme
	super       *controlplanetest.Instance
	superClient client.Client
}

// tenant is a VirtualCluster with a control plane that the test started.
type tenant struct {
	vc     *tenancyv1alpha1.VirtualCluster
	names  names.Tenant
	client client.Client
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	if os.Getenv("SYNCER_LOGS") != "" {
		ctrl.SetLogger(zap.New(zap.UseDevMode(true)))
		klog.SetLogger(zap.New(zap.UseDevMode(true)))
	} else {
		ctrl.SetLogger(zap.New(zap.WriteTo(logSink{t})))
	}
	e := &environment{root: t, scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, tenancyv1alpha1.AddToScheme, apiextensionsv1.AddToScheme} {
		must(t, add(e.scheme))
	}
	e.super = controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper})
	controlplanetest.InstallCRDs(t, e.super.Config)
	e.superClient = e.newClient(t, e.super.Config)
	for _, object := range []client.Object{
		&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "tenants"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.112.0.0/12"}}},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"},
		&tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: className}, Spec: tenancyv1alpha1.VirtualClusterClassSpec{
			Versions: []tenancyv1alpha1.ClassVersion{{Name: "v1.37.1", Image: "unused", Default: true}},
			Network:  tenancyv1alpha1.ClassNetwork{ServiceCIDR: "10.112.0.0/12", ServiceSliceBits: 22},
			Sandbox:  tenancyv1alpha1.ClassSandbox{Default: "gvisor", Allowed: []string{"gvisor"}},
		}},
	} {
		must(t, e.superClient.Create(t.Context(), object))
	}
	e.grantChartRole(t)
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

// newClient returns a client whose mapper asks anew for what it does not know.
func (e *environment) newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: e.scheme})
	must(t, err)
	return c
}

// grantChartRole gives the syncer's user what the chart gives the syncer.
func (e *environment) grantChartRole(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile("../../../config/rbac/syncer/role.yaml")
	must(t, err)
	role := &rbacv1.ClusterRole{}
	must(t, yaml.Unmarshal(content, role))
	e.grant(t, "syncer", role.Rules...)
}

// grant gives the syncer's user more rights.
func (e *environment) grant(t *testing.T, name string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	must(t, e.superClient.Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}))
	must(t, e.superClient.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: syncerUser}},
	}))
}

// grantResource gives the syncer's user what the chart's value syncer.customResources gives.
func (e *environment) grantResource(t *testing.T, group string, resources ...string) {
	t.Helper()
	e.grant(t, "custom-"+resources[0], rbacv1.PolicyRule{
		APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"},
	})
}

// addTenant starts a control plane and makes the VirtualCluster look as
// vc-manager leaves it.
func (e *environment) addTenant(t *testing.T, name, serviceCIDR string) *tenant {
	t.Helper()
	instance := controlplanetest.Start(t, controlplanetest.Options{ServiceCIDR: serviceCIDR})
	vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	must(t, e.superClient.Create(t.Context(), vc))
	tn := &tenant{vc: vc, names: names.Tenant{ID: string(vc.UID), Name: name}, client: e.newClient(t, instance.Config)}
	namespace := tn.names.ControlPlaneNamespace()
	must(t, e.superClient.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	must(t, e.superClient.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tenancyv1alpha1.SecretSyncerKubeconfig},
		Data:       map[string][]byte{tenancyv1alpha1.KeyKubeconfig: instance.Kubeconfig},
	}))
	before := vc.DeepCopy()
	vc.Status.ControlPlane = &tenancyv1alpha1.ControlPlaneStatus{Namespace: namespace, Addresses: []string{"192.0.2.1"}}
	vc.Status.Network = &tenancyv1alpha1.NetworkStatus{ServiceCIDR: serviceCIDR}
	meta.SetStatusCondition(&vc.Status.Conditions, metav1.Condition{
		Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady,
	})
	must(t, e.superClient.Status().Patch(t.Context(), vc, client.MergeFrom(before)))
	return tn
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
	restricted := rest.CopyConfig(e.super.Config)
	restricted.Impersonate = rest.ImpersonationConfig{UserName: syncerUser}
	ctx, cancel := context.WithCancel(e.root.Context())
	mgr, err := syncer.NewManager(ctx, restricted, config)
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

// setRules replaces the rules of the class.
func (e *environment) setRules(t *testing.T, rules ...tenancyv1alpha1.CustomResourceRule) {
	t.Helper()
	var class tenancyv1alpha1.VirtualClusterClass
	must(t, e.superClient.Get(t.Context(), client.ObjectKey{Name: className}, &class))
	before := class.DeepCopy()
	class.Spec.Syncing.CustomResources = rules
	must(t, e.superClient.Patch(t.Context(), &class, client.MergeFrom(before)))
}

// waitCondition waits for what CustomResourcesReady says of a tenant.
func (e *environment) waitCondition(t *testing.T, tn *tenant, status metav1.ConditionStatus, message string) {
	t.Helper()
	eventually(t, fmt.Sprintf("condition %s %q", status, message), func(ctx context.Context) error {
		var vc tenancyv1alpha1.VirtualCluster
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &vc); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionCustomResourcesReady)
		if condition == nil || condition.Status != status || !contains(condition.Message, message) {
			return fmt.Errorf("it is %+v", condition)
		}
		return nil
	})
}

// superKey is where an object of the tenant is in the super cluster.
func (tn *tenant) superKey(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: tn.names.Namespace(namespace), Name: name}
}

// namespace makes a tenant namespace and waits until the super cluster has it.
func (e *environment) namespace(t *testing.T, tn *tenant, name string) {
	t.Helper()
	must(t, tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	eventually(t, "super namespace of "+name, func(ctx context.Context) error {
		return e.superClient.Get(ctx, client.ObjectKey{Name: tn.names.Namespace(name)}, &corev1.Namespace{})
	})
}

// eventually tries until do succeeds.
func eventually(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()
	if err := await.Success(t.Context(), 50*time.Millisecond, settle, do); err != nil {
		t.Fatalf("%s: not within %s: %v", what, settle, err)
	}
}

// consistently fails if do fails at any time in a while.
func consistently(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()
	var broken error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, still, true, func(context.Context) (bool, error) {
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
