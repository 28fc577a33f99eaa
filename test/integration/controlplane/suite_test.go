// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane tests vc-manager against a real API server: the `kube`
// binary as a super cluster, without a kubelet. The tests play the kubelet,
// the syncer and vn-agent.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
	"virtualcluster.io/virtualcluster/test/framework/await"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	platformNamespace = "vc-system"
	userNamespace     = "default"
	testVersion       = "v1.37.1"
	waitTimeout       = 60 * time.Second
	waitInterval      = 50 * time.Millisecond
)

// suite is one super cluster that the tests share, each with VirtualClusters of its own.
type suite struct {
	config *rest.Config
	scheme *runtime.Scheme
	client client.WithWatch
	// superKubeconfig is an administrator's.
	superKubeconfig []byte
}

// TestControlPlane starts one super cluster and runs every test on it.
func TestControlPlane(t *testing.T) {
	s := newSuite(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"Admission", testAdmission},
		{"Immutable", testImmutable},
		{"Objects", testObjects},
		{"SecondReconcileWritesNothing", testSecondReconcileWritesNothing},
		{"DriftIsRepaired", testDriftIsRepaired},
		{"HighAvailability", testHighAvailability},
		{"ScalingInShortLives", testScalingInShortLives},
		{"StatefulSetIsReplaced", testStatefulSetIsReplaced},
		{"DatabaseLost", testDatabaseLost},
		{"CrashPoints", testCrashPoints},
		{"CrashPointsOfDeletion", testCrashPointsOfDeletion},
		{"SameNameAgain", testSameNameAgain},
		{"Retention", testRetention},
		{"Renewal", testRenewal},
		{"Rotation", testRotation},
		{"RotationCrashPoints", testRotationCrashPoints},
		{"AuthoritiesAreMadeOnce", testAuthoritiesAreMadeOnce},
		{"RotationIsAskedForWrongly", testRotationIsAskedForWrongly},
		{"EncryptionKeyIsKept", testEncryptionKeyIsKept},
		{"ForeignObjectsAreLeftAlone", testForeignObjects},
		{"ServiceRange", testServiceRange},
		{"NodePort", testNodePort},
		{"LoadBalancer", testLoadBalancer},
		{"GatewayEndpoint", testGatewayEndpoint},
		{"SwitchExposure", testSwitchExposure},
		{"DeletionWithoutClass", testDeletionWithoutClass},
		{"AgentServing", testAgentServing},
		{"Identities", testIdentities},
		{"DNS", testDNS},
		{"Upgrade", testUpgrade},
		{"UpgradeCrashPoints", testUpgradeCrashPoints},
		{"UpgradeIsRefused", testUpgradeIsRefused},
		{"UpgradeIsRolledBack", testUpgradeIsRolledBack},
		{"VersionIsWithdrawn", testVersionIsWithdrawn},
		{"ClassIsRolledOut", testClassIsRolledOut},
		{"Paused", testPaused},
		{"Manager", testManager},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}

// newSuite starts a super cluster with one class.
func newSuite(t *testing.T) *suite {
	t.Helper()
	log.SetLogger(zap.New(zap.WriteTo(t.Output()), zap.UseDevMode(true)))
	instance := controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper})
	controlplanetest.InstallCRDs(t, instance.Config)
	s := &suite{config: instance.Config, superKubeconfig: instance.Kubeconfig, scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, tenancyv1alpha1.AddToScheme} {
		if err := add(s.scheme); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.client, err = client.NewWithWatch(instance.Config, client.Options{Scheme: s.scheme}); err != nil {
		t.Fatal(err)
	}
	s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: platformNamespace}})
	s.create(t, &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "disks", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: "example.test/disks",
	})
	s.create(t, class("default", "10.112.0.0/12"))
	return s
}

func (s *suite) create(t *testing.T, object client.Object) {
	t.Helper()
	if err := s.client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

func class(name, serviceCIDR string) *tenancyv1alpha1.VirtualClusterClass {
	return &tenancyv1alpha1.VirtualClusterClass{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: tenancyv1alpha1.VirtualClusterClassSpec{
			Versions: []tenancyv1alpha1.ClassVersion{{Name: testVersion, Image: "example.test/control-plane:" + testVersion, Default: true}},
			ControlPlane: tenancyv1alpha1.ClassControlPlane{
				Storage: tenancyv1alpha1.ClassStorage{Size: resource.MustParse("1Gi")},
			},
			Network: tenancyv1alpha1.ClassNetwork{ServiceCIDR: serviceCIDR, ServiceSliceBits: 22},
			Sandbox: tenancyv1alpha1.ClassSandbox{Default: "gvisor", Allowed: []string{"gvisor"}},
		},
	}
}

// virtualCluster creates one and returns it as stored.
func (s *suite) virtualCluster(t *testing.T, name, className string) *tenancyv1alpha1.VirtualCluster {
	t.Helper()
	virtualCluster := &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: name},
		Spec:       tenancyv1alpha1.VirtualClusterSpec{ClassName: className},
	}
	s.create(t, virtualCluster)
	return virtualCluster
}

func (s *suite) get(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) *tenancyv1alpha1.VirtualCluster {
	t.Helper()
	live := &tenancyv1alpha1.VirtualCluster{}
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(virtualCluster), live); err != nil {
		t.Fatal(err)
	}
	return live
}

// reconciler returns one that reads without a cache, so that a test decides
// when it sees what. writer is what it writes through; nil is the plain client.
func (s *suite) reconciler(writer client.Client) *reconciler.Reconciler {
	if writer == nil {
		writer = s.client
	}
	serving := &reconciler.AgentServing{Client: writer, APIReader: s.client, Namespace: platformNamespace, Clock: clock.RealClock{}}
	return &reconciler.Reconciler{
		Client: writer, APIReader: s.client, Clock: clock.RealClock{},
		Recorder:  events.NewFakeRecorder(1000),
		Probe:     func(context.Context, string, []byte) error { return nil },
		ProbeName: func(context.Context, string, string, []byte) error { return nil },
		AgentCA:   serving.CA,

		PlatformNamespace: platformNamespace,
		Members: func(context.Context, members.Endpoint) (members.Database, error) {
			return nil, errors.New("there is no database")
		},
	}
}

func reconcileOnce(t *testing.T, r *reconciler.Reconciler, virtualCluster *tenancyv1alpha1.VirtualCluster) error {
	t.Helper()
	_, err := r.Reconcile(t.Context(), request(virtualCluster))
	return err
}

func mustReconcile(t *testing.T, r *reconciler.Reconciler, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	if err := reconcileOnce(t, r, virtualCluster); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
}

func request(virtualCluster *tenancyv1alpha1.VirtualCluster) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(virtualCluster)}
}

func controlPlaneNamespace(virtualCluster *tenancyv1alpha1.VirtualCluster) string {
	return component.Spec{
		TenantID:       virtualCluster.UID,
		VirtualCluster: types.NamespacedName{Namespace: virtualCluster.Namespace, Name: virtualCluster.Name},
	}.NamespaceName()
}

// runPod plays the kubelet for the control plane's pod, once it exists.
func (s *suite) runPod(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, ip string) {
	t.Helper()
	namespace := controlPlaneNamespace(virtualCluster)
	eventually(t, "the pod exists", func(ctx context.Context) error {
		pod := &corev1.Pod{}
		if err := s.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "control-plane-0"}, pod); err != nil {
			return err
		}
		before := pod.DeepCopy()
		pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, ip
		pod.Status.PodIPs = []corev1.PodIP{{IP: ip}}
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(),
		})
		return s.client.Status().Patch(ctx, pod, client.MergeFrom(before))
	})
	eventually(t, "the StatefulSet is ready", func(ctx context.Context) error {
		statefulSet := &appsv1.StatefulSet{}
		err := s.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "control-plane"}, statefulSet)
		if err == nil && statefulSet.Status.ReadyReplicas != 1 {
			err = fmt.Errorf("ready replicas: %d", statefulSet.Status.ReadyReplicas)
		}
		return err
	})
}

// reportOthers plays the syncer and vn-agent, which write their conditions.
func (s *suite) reportOthers(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, conditions ...string) {
	t.Helper()
	eventually(t, "the others report", func(ctx context.Context) error {
		live := &tenancyv1alpha1.VirtualCluster{}
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(virtualCluster), live); err != nil {
			return err
		}
		before := live.DeepCopy()
		for _, condition := range conditions {
			meta.SetStatusCondition(&live.Status.Conditions, metav1.Condition{
				Type: condition, Status: metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady,
			})
		}
		return s.client.Status().Patch(ctx, live, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
}

// eventually waits until check returns no error.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	if err := await.Success(t.Context(), waitInterval, waitTimeout, check); err != nil {
		t.Fatalf("%s: not within %s: %v", what, waitTimeout, err)
	}
}

// wantCondition returns an error unless the condition is as wanted.
func (s *suite) wantCondition(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, condition string, status metav1.ConditionStatus, reason string) error {
	live := &tenancyv1alpha1.VirtualCluster{}
	if err := s.client.Get(ctx, client.ObjectKeyFromObject(virtualCluster), live); err != nil {
		return err
	}
	got := meta.FindStatusCondition(live.Status.Conditions, condition)
	if got == nil || got.Status != status || got.Reason != reason {
		return fmt.Errorf("condition %s = %+v, want %s with reason %s", condition, got, status, reason)
	}
	return nil
}

func (s *suite) wantGone(ctx context.Context, key types.NamespacedName, object client.Object) error {
	err := s.client.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%T %s still exists", object, key)
	}
	return err
}

// writes intercepts everything that is written through a client.
func (s *suite) writes(before, after func() error) client.WithWatch {
	around := func(write func() error) error {
		if err := before(); err != nil {
			return err
		}
		if err := write(); err != nil {
			return err
		}
		return after()
	}
	return interceptor.NewClient(s.client, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return around(func() error { return c.Create(ctx, object, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return around(func() error { return c.Delete(ctx, object, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return around(func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			return around(func() error { return c.Apply(ctx, object, options...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, name string, object runtime.ApplyConfiguration, options ...client.SubResourceApplyOption) error {
			return around(func() error { return c.SubResource(name).Apply(ctx, object, options...) })
		},
	})
}

func namesOf(t *testing.T, list client.ObjectList) []string {
	t.Helper()
	items, err := meta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, item := range items {
		accessor, err := meta.Accessor(item)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, accessor.GetName())
	}
	return out
}
