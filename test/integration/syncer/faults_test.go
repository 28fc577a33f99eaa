// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/test/framework/await"
)

// faultWorld is what every fault happens to: one super cluster, two tenants,
// and a syncer that is configured by default.
type faultWorld struct {
	*environment
	blue, green *tenant
	node        *kubelet
	syncer      *program
}

// TestFaults breaks one thing after another. Each part says what must hold,
// measures it, and leaves the world in order: nothing is lost, twice or
// orphaned after it. Those that need long are run with SYNCER_TEST=full.
func TestFaults(t *testing.T) {
	e := newEnvironment(t)
	w := &faultWorld{environment: e, node: e.runFakeKubelet(t)}
	tenants := e.addTenants(t, 2)
	w.blue, w.green = tenants[0], tenants[1]
	w.syncer = e.newProgram(t, nil)
	w.syncer.start(t)
	w.syncer.waitTenants(t, 2)
	for _, tn := range tenants {
		tn.waitServiceAccount(t, "default")
	}
	for _, part := range []struct {
		name string
		slow bool
		run  func(*testing.T, *faultWorld)
	}{
		{"deleted in the super cluster", false, testDeletedOutOfBand},
		{"edited in the super cluster", false, testEditedOutOfBand},
		{"a pod with a finalizer in a namespace that goes", true, testFinalizedPod},
		{"refused by the super cluster's admission", false, testAdmission},
		{"objects that always fail", false, testPoisoned},
		{"a super namespace that does not go", true, testStuckNamespace},
		{"deleted while the syncer was down", false, testOrphans},
		{"killed between a creation and the report of it", false, testKilledBetween},
		{"the virtual node is not heard of", true, testSilentNode},
		{"two syncers at once", true, testTwoSyncers},
		{"a Lease that is tampered with", true, testLease},
		{"the super cluster is down", true, testSuperDown},
		{"compaction while the syncer was down", true, testCompaction},
		{"the super cluster says that it is busy", true, testTooManyRequests},
		{"the super cluster is slow", true, testSlowSuper},
		{"a tenant is down", true, testTenantDown},
		{"a tenant flaps", true, testFlapping},
		{"a tenant hangs, and then talks nonsense", true, testHanging},
		{"virtual clusters come and go under one name", true, testSameName},
		{"a tenant is restored from a backup", true, testTenantRestored},
		{"the super cluster is restored from a backup", true, testSuperRestored},
	} {
		if part.slow && !full() {
			continue
		}
		t.Run(part.name, func(t *testing.T) {
			w.node.forgetRuns()
			part.run(t, w)
			if !t.Failed() {
				w.inOrder(t)
			}
		})
	}
}

func (w *faultWorld) tenants() []*tenant { return []*tenant{w.blue, w.green} }

// inOrder waits until both sides agree about everything.
func (w *faultWorld) inOrder(t *testing.T) {
	t.Helper()
	w.inOrderWithin(t, settle)
}

// inOrderWithin is inOrder with a limit; it returns how long it took.
func (w *faultWorld) inOrderWithin(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	return within(t, limit, "both sides in order", func(ctx context.Context) error {
		state, err := w.readWorld(ctx, w.tenants(), w.node.timesRun())
		if err != nil {
			return err
		}
		if defects := check(nil, state); len(defects) > 0 {
			return fmt.Errorf("%v, first %+v", classes(defects), defects[0])
		}
		return nil
	})
}

// within tries until do succeeds, and fails when that takes longer than limit.
func within(t *testing.T, limit time.Duration, what string, do func(ctx context.Context) error) time.Duration {
	t.Helper()
	began := time.Now()
	if err := await.Success(t.Context(), 50*time.Millisecond, limit, do); err != nil {
		t.Fatalf("%s: not within %s: %v", what, limit, err)
	}
	return time.Since(began)
}

// namespace creates a namespace of a tenant and waits until pods can run in it.
func (tn *tenant) namespace(t *testing.T, name string) {
	t.Helper()
	must(t, tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	tn.waitServiceAccount(t, name)
}

// makeWorkload creates a pod with the ConfigMap and the Secret it uses, and a Service.
func (tn *tenant) makeWorkload(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	pod := makePod(namespace, name)
	pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}},
	}
	for _, object := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": "value"}},
		&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"key": []byte("value")}},
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}}},
		pod,
	} {
		must(t, tn.client.Create(t.Context(), object))
	}
	return pod
}

// condition returns a condition of the tenant's VirtualCluster, or nil.
func (w *faultWorld) condition(ctx context.Context, tn *tenant, conditionType string) (*metav1.Condition, error) {
	var vc tenancyv1alpha1.VirtualCluster
	if err := w.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &vc); err != nil {
		return nil, err
	}
	return meta.FindStatusCondition(vc.Status.Conditions, conditionType), nil
}

// hasReason waits for a reason of a condition and returns how long it took.
func (w *faultWorld) hasReason(t *testing.T, limit time.Duration, tn *tenant, conditionType, reason string) time.Duration {
	t.Helper()
	return within(t, limit, conditionType+"="+reason, func(ctx context.Context) error {
		condition, err := w.condition(ctx, tn, conditionType)
		if err == nil && (condition == nil || condition.Reason != reason) {
			err = fmt.Errorf("condition %+v", condition)
		}
		return err
	})
}

// serves measures how long a new Service of the tenant takes to the super cluster.
func (w *faultWorld) serves(t *testing.T, limit time.Duration, tn *tenant, name string) time.Duration {
	t.Helper()
	must(t, tn.client.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}))
	return within(t, limit, "a new object of "+tn.vc.Name, func(ctx context.Context) error {
		return w.superClient.Get(ctx, tn.superKey("default", name), &corev1.Service{})
	})
}

// eventsAbout returns the Warning events of the syncer about a tenant's object.
func eventsAbout(ctx context.Context, tn *tenant, object client.Object) ([]corev1.Event, error) {
	var events corev1.EventList
	if err := tn.client.List(ctx, &events, client.InNamespace(object.GetNamespace())); err != nil {
		return nil, err
	}
	var found []corev1.Event
	for _, event := range events.Items {
		if event.InvolvedObject.UID == object.GetUID() && event.Type == corev1.EventTypeWarning && event.Source.Component == "syncer" {
			found = append(found, event)
		}
	}
	return found, nil
}

// terminating reports an object that was asked to end, and not yet gone.
func terminating(ctx context.Context, c client.Client, object client.Object) error {
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return err
	}
	if object.GetDeletionTimestamp() == nil {
		return errors.New("it was not deleted")
	}
	return nil
}
