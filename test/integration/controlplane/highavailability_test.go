// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
)

// replicated is a virtual cluster whose kubelets and database the test plays.
type replicated struct {
	*suite
	virtualCluster *tenancyv1alpha1.VirtualCluster
	// voters are the members of the database, by ordinal; leader is one of them.
	voters map[int32]bool
	leader int32
	// down are the pods that do not become ready.
	down map[int32]bool
	// before and after each change of the database; may be nil.
	before, after func() error
	// changes are what was done to the database.
	changes []string
}

func (s *suite) replicated(t *testing.T, name string, replicas int32) *replicated {
	t.Helper()
	virtualCluster := &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: name},
		Spec: tenancyv1alpha1.VirtualClusterSpec{
			ClassName: "default", ControlPlane: &tenancyv1alpha1.VirtualClusterControlPlane{Replicas: &replicas},
		},
	}
	s.create(t, virtualCluster)
	return &replicated{suite: s, virtualCluster: virtualCluster, voters: map[int32]bool{}, down: map[int32]bool{}}
}

// reconciler returns one for this virtual cluster's database.
func (h *replicated) reconciler(writer client.Client) *reconciler.Reconciler {
	r := h.suite.reconciler(writer)
	r.Members = func(_ context.Context, endpoint members.Endpoint) (members.Database, error) {
		address, err := netip.ParseAddrPort(endpoint.Address)
		if err != nil {
			return nil, err
		}
		ordinal := int32(address.Addr().As4()[3])
		if want := component.MemberName(ordinal) + ".control-plane-peers." + controlPlaneNamespace(h.virtualCluster) + ".svc.cluster.local"; endpoint.TLS.ServerName != want {
			return nil, fmt.Errorf("asked for %s, want %s", endpoint.TLS.ServerName, want)
		}
		if !h.voters[ordinal] || address.Port() != component.EtcdClientPort {
			return nil, fmt.Errorf("%s is no member", endpoint.Address)
		}
		return &asked{h, ordinal}, nil
	}
	return r
}

// asked is the database as one member answers.
type asked struct {
	*replicated
	ordinal int32
}

func (a *asked) List(context.Context) ([]members.Member, error) {
	var out []members.Member
	for _, ordinal := range slices.Sorted(maps.Keys(a.voters)) {
		out = append(out, members.Member{ID: uint64(100 + ordinal), Ordinal: ordinal, Leader: ordinal == a.leader})
	}
	return out, nil
}

func (a *asked) Remove(_ context.Context, id uint64) error {
	return a.change(fmt.Sprintf("remove %d", id-100), func() { delete(a.voters, int32(id-100)) })
}

func (a *asked) Lead(_ context.Context, id uint64) error {
	if a.ordinal != a.leader {
		return errors.New("not the leader")
	}
	return a.change(fmt.Sprintf("lead %d", id-100), func() { a.leader = int32(id - 100) })
}

func (a *asked) change(what string, do func()) error {
	if a.before != nil {
		if err := a.before(); err != nil {
			return err
		}
	}
	do()
	a.changes = append(a.changes, what)
	if a.after != nil {
		return a.after()
	}
	return nil
}

func (a *asked) Close() error { return nil }

// playKubelets makes every pod that runs as one of several a member and ready,
// but for those that are down, and those that were taken out.
func (h *replicated) playKubelets(ctx context.Context, desired int32) error {
	var pods corev1.PodList
	if err := h.client.List(ctx, &pods, client.InNamespace(controlPlaneNamespace(h.virtualCluster))); err != nil {
		return err
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		var ordinal int32
		if _, err := fmt.Sscanf(pod.Name, "control-plane-%d", &ordinal); err != nil {
			return err
		}
		if !h.down[ordinal] && (ordinal == 0 || ordinal < desired) {
			h.voters[ordinal] = true
		}
		status := corev1.ConditionFalse
		if h.voters[ordinal] && !h.down[ordinal] {
			status = corev1.ConditionTrue
		}
		if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == status }) {
			continue
		}
		before := pod.DeepCopy()
		pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, fmt.Sprintf("10.244.20.%d", ordinal)
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.Now()}}
		if err := client.IgnoreNotFound(h.client.Status().Patch(ctx, pod, client.MergeFrom(before))); err != nil {
			return err
		}
	}
	return nil
}

// settle reconciles, with one after the other of what next returns, and plays
// the kubelets, until UpToDate is as wanted and the StatefulSet has so many ready.
func (h *replicated) settle(t *testing.T, next func() *reconciler.Reconciler, desired, ready int32, reason string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d of %d replicas are ready", ready, desired), func(ctx context.Context) error {
		if err := h.playKubelets(ctx, desired); err != nil {
			return err
		}
		if _, err := next().Reconcile(ctx, request(h.virtualCluster)); err != nil && !errors.Is(err, errCrash) {
			return err
		}
		live := h.get(t, h.virtualCluster)
		got := meta.FindStatusCondition(live.Status.Conditions, tenancyv1alpha1.ConditionUpToDate)
		if got == nil || got.Reason != reason || live.Status.ControlPlane.ReadyReplicas != ready || live.Status.ControlPlane.Replicas != desired {
			return fmt.Errorf("UpToDate = %+v, control plane = %+v", got, live.Status.ControlPlane)
		}
		return nil
	})
}

func (h *replicated) statefulSet(t *testing.T) *appsv1.StatefulSet {
	t.Helper()
	statefulSet := &appsv1.StatefulSet{}
	key := types.NamespacedName{Namespace: controlPlaneNamespace(h.virtualCluster), Name: "control-plane"}
	if err := h.client.Get(t.Context(), key, statefulSet); err != nil {
		t.Fatal(err)
	}
	return statefulSet
}

func (h *replicated) scale(t *testing.T, replicas int32) {
	t.Helper()
	live := h.get(t, h.virtualCluster)
	before := live.DeepCopy()
	live.Spec.ControlPlane.Replicas = &replicas
	if err := h.client.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// membership is what the processes are told.
func (h *replicated) membership(t *testing.T) component.Membership {
	t.Helper()
	object := &corev1.ConfigMap{}
	key := types.NamespacedName{Namespace: controlPlaneNamespace(h.virtualCluster), Name: component.MembershipName}
	if err := h.client.Get(t.Context(), key, object); err != nil {
		t.Fatal(err)
	}
	return component.ParseMembership(object)
}

func (h *replicated) budgetExists(t *testing.T) bool {
	t.Helper()
	key := types.NamespacedName{Namespace: controlPlaneNamespace(h.virtualCluster), Name: "control-plane"}
	err := h.client.Get(t.Context(), key, &policyv1.PodDisruptionBudget{})
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// testHighAvailability makes three replicas, loses one, and goes to one and back.
func testHighAvailability(t *testing.T, s *suite) {
	h := s.replicated(t, "three", 3)
	only := func() *reconciler.Reconciler { return h.reconciler(nil) }
	mustReconcile(t, only(), h.virtualCluster)
	if got := h.membership(t); !got.Bootstrap || got.Members != 3 {
		t.Errorf("at first the processes are told %+v", got)
	}
	h.settle(t, only, 3, 3, tenancyv1alpha1.ReasonReady)
	if !h.budgetExists(t) {
		t.Error("there is no PodDisruptionBudget")
	}
	if got := h.membership(t); got.Bootstrap || got.Established.IsZero() {
		t.Errorf("after the first readiness the processes are told %+v", got)
	}
	if diff := cmp.Diff([]string{"10.244.20.0", "10.244.20.1", "10.244.20.2"}, h.get(t, h.virtualCluster).Status.ControlPlane.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	h.wantNoWritesBy(t)

	// One is down: the others serve, and UpToDate tells.
	h.down[1] = true
	h.settle(t, only, 3, 2, tenancyv1alpha1.ReasonReplicaUnavailable)
	if err := h.wantCondition(t.Context(), h.virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
	delete(h.down, 1)
	h.settle(t, only, 3, 3, tenancyv1alpha1.ReasonReady)

	told := h.membership(t)
	h.leader = 2
	h.scale(t, 1)
	h.settle(t, only, 1, 1, tenancyv1alpha1.ReasonReady)
	if diff := cmp.Diff([]string{"lead 0", "remove 2", "remove 1"}, h.changes); diff != "" {
		t.Errorf("changes of the database (-want +got):\n%s", diff)
	}
	if h.budgetExists(t) {
		t.Error("the PodDisruptionBudget is still there: the node could never be drained")
	}
	if got := h.membership(t); got.Members != 1 || got.Revision == told.Revision || got.Bootstrap {
		t.Errorf("after scaling down the processes are told %+v, before %+v", got, told)
	}
	if !slices.Contains(h.statefulSet(t).Spec.Template.Spec.Containers[0].Args, "--replicas=1") {
		t.Error("the database of one still listens on the network")
	}
	h.wantNoWritesBy(t)
	h.scale(t, 3)
	h.settle(t, only, 3, 3, tenancyv1alpha1.ReasonReady)
	h.deleteAndWait(t, only(), h.virtualCluster)
}

func (h *replicated) wantNoWritesBy(t *testing.T) {
	t.Helper()
	written := 0
	counting := h.writes(func() error { written++; return nil }, func() error { return nil })
	for range 3 {
		mustReconcile(t, h.reconciler(counting), h.virtualCluster)
	}
	if written != 0 {
		t.Errorf("a settled virtual cluster was written to %d times", written)
	}
}

// testScalingInShortLives makes three replicas, goes to one and back, with
// processes that die before or after their n-th write, the database's included.
// Every state that a crash can leave behind is resumed from.
func testScalingInShortLives(t *testing.T, s *suite) {
	for n, afterwards := range map[int]bool{1: true, 2: false, 3: true} {
		t.Run(fmt.Sprintf("%d-%t", n, afterwards), func(t *testing.T) {
			h := s.replicated(t, fmt.Sprintf("lives-%d-%t", n, afterwards), 3)
			lives, crashes := 0, 0
			var crashed func() bool
			next := func() *reconciler.Reconciler {
				if crashed != nil && crashed() {
					crashes++
				}
				lives++
				var before, after func() error
				before, after, crashed = crashAt(n, afterwards)
				h.before, h.after = before, after
				return h.reconciler(h.writes(before, after))
			}
			for _, replicas := range []int32{3, 1, 3} {
				h.scale(t, replicas)
				if replicas == 1 {
					h.leader = 1
				}
				h.settle(t, next, replicas, replicas, tenancyv1alpha1.ReasonReady)
				if int32(len(h.voters)) != replicas {
					t.Errorf("voters = %v, want %d", h.voters, replicas)
				}
			}
			if crashes < 10 {
				t.Errorf("only %d processes died: the interception misses writes", crashes)
			}
			t.Logf("%d processes, of which %d died", lives, crashes)
			h.before, h.after = nil, nil
			h.deleteAndWait(t, h.reconciler(nil), h.virtualCluster)
		})
	}
}

// testStatefulSetIsReplaced: one that names another Service cannot be changed;
// its pods and volumes outlive it, and one that somebody deleted too.
func testStatefulSetIsReplaced(t *testing.T, s *suite) {
	h := s.replicated(t, "replaced", 3)
	only := func() *reconciler.Reconciler { return h.reconciler(nil) }
	h.settle(t, only, 3, 3, tenancyv1alpha1.ReasonReady)
	uids := func() map[string]types.UID {
		out := map[string]types.UID{}
		for _, list := range []client.ObjectList{&corev1.PodList{}, &corev1.PersistentVolumeClaimList{}} {
			if err := s.client.List(t.Context(), list, client.InNamespace(controlPlaneNamespace(h.virtualCluster))); err != nil {
				t.Fatal(err)
			}
			err := meta.EachListItem(list, func(object apiruntime.Object) error {
				accessor, err := meta.Accessor(object)
				if err == nil && accessor.GetDeletionTimestamp().IsZero() {
					out[fmt.Sprintf("%T/%s", object, accessor.GetName())] = accessor.GetUID()
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	before := uids()
	if len(before) != 6 {
		t.Fatalf("pods and claims: %v", before)
	}
	old := h.statefulSet(t)
	replacement := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: old.Namespace, Name: old.Name, Labels: old.Labels, Annotations: old.Annotations,
	}, Spec: *old.Spec.DeepCopy()}
	replacement.Spec.ServiceName = "another"
	if err := s.client.Delete(t.Context(), old, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has another Service", func(ctx context.Context) error {
		fresh := replacement.DeepCopy()
		return s.client.Create(ctx, fresh)
	})
	eventually(t, "it is replaced", func(ctx context.Context) error {
		if _, err := only().Reconcile(ctx, request(h.virtualCluster)); err != nil {
			return err
		}
		live := &appsv1.StatefulSet{}
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(old), live); err != nil {
			return err
		}
		if live.Spec.ServiceName != component.PeersServiceName || live.Status.ReadyReplicas != 3 {
			return fmt.Errorf("below %q, %d ready", live.Spec.ServiceName, live.Status.ReadyReplicas)
		}
		return nil
	})
	if diff := cmp.Diff(before, uids()); diff != "" {
		t.Errorf("pods and claims (-before +after):\n%s", diff)
	}
	h.settle(t, only, 3, 3, tenancyv1alpha1.ReasonReady)
	// Whoever deletes the StatefulSet with its pods gets all of them back, on their volumes.
	claims := maps.Clone(before)
	maps.DeleteFunc(claims, func(name string, _ types.UID) bool { return strings.Contains(name, "*v1.Pod/") })
	if err := s.client.Delete(t.Context(), h.statefulSet(t), client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func(ctx context.Context) error {
		return s.wantGone(ctx, client.ObjectKeyFromObject(old), &appsv1.StatefulSet{})
	})
	h.settle(t, only, 3, 3, tenancyv1alpha1.ReasonReady)
	after := uids()
	for name, uid := range claims {
		if after[name] != uid {
			t.Errorf("%s is another one", name)
		}
	}
	h.deleteAndWait(t, only(), h.virtualCluster)
}

// testDatabaseLost: who says that the database is gone is believed, and starts
// with an empty one only when a person says so.
func testDatabaseLost(t *testing.T, s *suite) {
	h := s.replicated(t, "lost", 1)
	only := func() *reconciler.Reconciler { return h.reconciler(nil) }
	h.settle(t, only, 1, 1, tenancyv1alpha1.ReasonReady)
	h.down[0] = true
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: controlPlaneNamespace(h.virtualCluster), Name: "control-plane-0"}
	eventually(t, "the pod is down", func(ctx context.Context) error {
		if err := h.playKubelets(ctx, 1); err != nil {
			return err
		}
		if got := h.statefulSet(t).Status.ReadyReplicas; got != 0 {
			return fmt.Errorf("%d are ready", got)
		}
		return s.client.Get(ctx, key, pod)
	})
	before := pod.DeepCopy()
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  component.ContainerName,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Message: "the database is gone, and a new one would be empty",
		}},
	}}
	if err := s.client.Status().Patch(t.Context(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, only(), h.virtualCluster)
	if err := s.wantCondition(t.Context(), h.virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonDatabaseLost); err != nil {
		t.Error(err)
	}
	if h.membership(t).Bootstrap {
		t.Error("an empty database is allowed, and nobody said so")
	}
	annotate := func(at time.Time) {
		live := h.get(t, h.virtualCluster)
		before := live.DeepCopy()
		metav1.SetMetaDataAnnotation(&live.ObjectMeta, tenancyv1alpha1.AnnotationAllowEmptyDatabase, at.UTC().Format(time.RFC3339))
		if err := s.client.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		mustReconcile(t, only(), h.virtualCluster)
	}
	annotate(time.Now().Add(-time.Hour))
	if h.membership(t).Bootstrap {
		t.Error("what was allowed before the database was lost is taken for this loss")
	}
	eventually(t, "it is allowed", func(context.Context) error {
		annotate(time.Now())
		if !h.membership(t).Bootstrap {
			return errors.New("not yet")
		}
		return nil
	})
	// The pod is started anew, so that it sees this at once.
	eventually(t, "another pod", func(ctx context.Context) error {
		live := &corev1.Pod{}
		if err := s.client.Get(ctx, key, live); err != nil {
			return err
		}
		if live.UID == pod.UID {
			return errors.New("it is the old one")
		}
		return nil
	})
	delete(h.down, 0)
	h.settle(t, only, 1, 1, tenancyv1alpha1.ReasonReady)
	if h.membership(t).Bootstrap {
		t.Error("an empty database is still allowed")
	}
	h.wantNoWritesBy(t)
	h.deleteAndWait(t, only(), h.virtualCluster)
}
