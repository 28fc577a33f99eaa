// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// denyLabel is what the policy of denyLabelled refuses.
const denyLabel = "example.com/deny"

// denyLabelled makes the super cluster's admission refuse pods and Services
// with denyLabel, in tenants' namespaces as anywhere, and waits until it does.
// It returns what ends that.
func (w *faultWorld) denyLabelled(t *testing.T) (end func()) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: "deny-labelled"}
	rule := admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods", "services"}},
	}}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{rule}},
		Validations: []admissionv1.Validation{{
			Expression: fmt.Sprintf("!has(object.metadata.labels) || !(%q in object.metadata.labels)", denyLabel),
			Message:    "the house rules forbid it",
		}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	must(t, w.superClient.Create(t.Context(), policy))
	must(t, w.superClient.Create(t.Context(), binding))
	probe := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "denied", Labels: map[string]string{denyLabel: "x"}},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone},
	}
	within(t, settle, "the policy in force", func(ctx context.Context) error {
		if w.superClient.Create(ctx, probe.DeepCopy(), client.DryRunAll) == nil {
			return errStill
		}
		return nil
	})
	return func() {
		must(t, w.superClient.Delete(t.Context(), binding))
		must(t, w.superClient.Delete(t.Context(), policy))
	}
}

// testAdmission (F29, F30, F50): what the super cluster's admission refuses, or
// cannot decide because a webhook of it is down, is told on the tenant's object
// within 10 s, once however often it is tried, without a name of the super
// cluster; it is tried at most 20 times until 3 s later, and runs within 30 s of
// the end of the cause.
func testAdmission(t *testing.T, w *faultWorld) {
	const toldWithin, healedWithin, stands, most = 10 * time.Second, 30 * time.Second, 3 * time.Second, 20
	w.blue.namespace(t, "refused")
	superNamespace := w.blue.superKey("refused", "").Namespace
	w.serves(t, settle, w.blue, "before-the-refusals")
	meta := metav1.ObjectMeta{Namespace: superNamespace, Name: "house-rules"}
	create := func(object client.Object) func(*testing.T) func() {
		return func(t *testing.T) func() {
			must(t, w.superClient.Create(t.Context(), object))
			within(t, settle, "the rule in force", func(ctx context.Context) error { return w.enforced(ctx, object) })
			return func() { must(t, w.superClient.Delete(t.Context(), object)) }
		}
	}
	for name, tc := range map[string]struct {
		cause  func(*testing.T) func()
		change func(*corev1.Pod)
	}{
		"policy":       {w.denyLabelled, func(pod *corev1.Pod) { pod.Labels[denyLabel] = "x" }},
		"pod security": {func(t *testing.T) func() { return w.enforceRestricted(t, superNamespace) }, func(*corev1.Pod) {}},
		"webhook":      {func(t *testing.T) func() { return w.breakWebhook(t, superNamespace) }, func(*corev1.Pod) {}},
		"quota": {create(&corev1.ResourceQuota{ObjectMeta: meta, Spec: corev1.ResourceQuotaSpec{
			Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")},
		}}), func(*corev1.Pod) {}},
		"limit range": {create(&corev1.LimitRange{ObjectMeta: meta, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")},
		}}}}), func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			end := tc.cause(t)
			pod := makePod("refused", strings.ReplaceAll(name, " ", "-"))
			tc.change(pod)
			before := w.superGate.writes()
			must(t, w.blue.client.Create(t.Context(), pod))
			told := within(t, toldWithin, "the event", func(ctx context.Context) error {
				events, err := eventsAbout(ctx, w.blue, pod)
				if err == nil && len(events) == 0 {
					err = errStill
				}
				return err
			})
			waitFor(t, stands)
			events, err := eventsAbout(t.Context(), w.blue, pod)
			must(t, err)
			if len(events) != 1 || strings.Contains(events[0].Message, superNamespace) || strings.Contains(events[0].Message, "127.0.0.1") {
				t.Errorf("events %+v, want one without the super cluster's names", events)
			}
			tried := growth(before, w.superGate.writes())[call{"POST", "pods", ""}]
			if tried < 2 || tried > most {
				t.Errorf("tried %d times, want 2 to %d", tried, most)
			}
			end()
			healed := within(t, healedWithin, "the pod running", func(ctx context.Context) error { return running(ctx, w.blue, pod) })
			t.Logf("told after %s, once in %s and %d tries; healed %s after the cause: %s",
				told.Round(time.Millisecond), stands, tried, healed.Round(time.Millisecond), events[0].Message)
		})
	}
}

// enforced reports whether admission refuses by a quota or limit range: a quota
// without a status is not known to it.
func (w *faultWorld) enforced(ctx context.Context, object client.Object) error {
	pod := makePod(object.GetNamespace(), "probe")
	pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
	if err := w.superClient.Create(ctx, pod, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "forbidden") {
		return errors.Join(errStill, err)
	}
	return nil
}

func running(ctx context.Context, tn *tenant, pod *corev1.Pod) error {
	if err := tn.client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
		return err
	}
	if pod.Status.Phase != corev1.PodRunning {
		return fmt.Errorf("phase %s", pod.Status.Phase)
	}
	return nil
}

// testPoisoned: many objects of one tenant that the super cluster always
// refuses, which takes it a while, do not slow another one: what that makes while
// all of them wait for their turn is served no later than 5 times what it took
// before and half a second. And retrying them costs a few requests a second, in all.
func testPoisoned(t *testing.T, w *faultWorld) {
	poisoned, refusalTakes := int64(500), 200*time.Millisecond
	if full() {
		poisoned, refusalTakes = 5000, 20*time.Millisecond
	}
	const factor, slack = 5, 500 * time.Millisecond
	before := w.servesMany(t, w.green, "calm")
	end := w.denyLabelled(t)
	w.blue.namespace(t, "poisoned")
	w.inOrder(t)
	w.syncer.stop(t)
	for i := range poisoned {
		must(t, w.blue.client.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "poisoned", Name: fmt.Sprintf("poison-%d", i), Labels: map[string]string{denyLabel: "x"}},
			Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone},
		}))
	}
	place := "/namespaces/" + w.blue.superKey("poisoned", "").Namespace + "/services"
	var tried atomic.Int64
	w.superGate.set(0, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, place) {
			return false
		}
		if tried.Add(1) <= poisoned {
			waitFor(t, refusalTakes)
		}
		return false
	})
	started := time.Now()
	w.syncer.start(t)
	w.syncer.waitTenants(t, 2)
	within(t, settle, "the first refusal", func(context.Context) error {
		if tried.Load() == 0 {
			return errStill
		}
		return nil
	})
	waiting := poisoned - tried.Load()
	meanwhile := w.servesMany(t, w.green, "meanwhile")
	t.Logf("%d of %d poisoned objects waiting: the neighbour's median is %s, without them %s (ratio %.1f)",
		waiting, poisoned, meanwhile.Round(time.Millisecond), before.Round(time.Millisecond), float64(meanwhile)/float64(before))
	if meanwhile > factor*before+slack {
		t.Errorf("the neighbour waits %s instead of %s", meanwhile, before)
	}
	w.retriesFew(t, &tried, poisoned, started)
	w.superGate.set(0, nil)
	end()
	must(t, w.blue.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "poisoned"}}))
	within(t, 2*time.Minute, "the namespace gone", func(ctx context.Context) error {
		return gone(ctx, w.blue.client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "poisoned"}})
	})
}

// retriesFew waits until objects that are refused were tried as often as there
// are of them, and then while nothing but the syncer itself holds it up. It
// counts how often they were tried again since the syncer's start.
func (w *faultWorld) retriesFew(t *testing.T, tried *atomic.Int64, poisoned int64, started time.Time) {
	t.Helper()
	const period, burst, perSecond = 5 * time.Second, 50, 5 // the syncer's own bounds
	within(t, 5*time.Minute, "all were tried", func(context.Context) error {
		if n := tried.Load(); n < poisoned {
			return fmt.Errorf("%d of %d", n, poisoned)
		}
		return nil
	})
	waitFor(t, period)
	again, passed := tried.Load()-poisoned, time.Since(started)
	t.Logf("%d objects that fail were tried %d times again in %s", poisoned, again, passed.Round(time.Second))
	if most := int64(2 * (burst + perSecond*passed.Seconds())); again > most || again <= 0 {
		t.Errorf("tried %d times again in %s, want at least once and at most %d times", again, passed, most)
	}
}

// servesMany returns the median of how long new Services of a tenant take to the
// super cluster that are made at once.
func (w *faultWorld) servesMany(t *testing.T, tn *tenant, name string) time.Duration {
	t.Helper()
	const samples = 15
	var made [samples]time.Time
	var took [samples]time.Duration
	nameOf := func(i int) string { return fmt.Sprintf("%s-%d", name, i) }
	for i := range samples {
		made[i] = time.Now()
		must(t, tn.client.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: nameOf(i)}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}))
	}
	within(t, time.Minute, "the new objects of "+tn.vc.Name, func(ctx context.Context) error {
		for i := range samples {
			if took[i] > 0 {
				continue
			}
			if err := w.superClient.Get(ctx, tn.superKey("default", nameOf(i)), &corev1.Service{}); err != nil {
				return err
			}
			took[i] = time.Since(made[i])
		}
		return nil
	})
	slices.Sort(took[:])
	return took[samples/2]
}

// testStuckNamespace (F22): a super namespace that a foreign finalizer keeps
// Terminating is told on the tenant's and on each new object in it within 15 s,
// once; nothing is written and nothing tried in a tight loop; and within 30 s of
// its end everything is in order.
func testStuckNamespace(t *testing.T, w *faultWorld) {
	const toldWithin, healedWithin = 15 * time.Second, 30 * time.Second
	// Each of the few objects looks again after a delay that doubles.
	const maxWrites, maxPasses = 60, 200
	w.green.namespace(t, "stuck")
	tenantNamespace := &corev1.Namespace{}
	must(t, w.green.client.Get(t.Context(), client.ObjectKey{Name: "stuck"}, tenantNamespace))
	superNamespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.green.superKey("stuck", "").Namespace}}
	within(t, settle, "the super namespace", func(ctx context.Context) error {
		return w.superClient.Get(ctx, client.ObjectKeyFromObject(superNamespace), superNamespace)
	})
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: superNamespace.Name, Name: "foreign", Finalizers: []string{hold}}}
	must(t, w.superClient.Create(t.Context(), foreign))
	must(t, w.superClient.Delete(t.Context(), superNamespace))
	within(t, settle, "the super namespace terminating", func(ctx context.Context) error { return terminating(ctx, w.superClient, superNamespace) })
	pod := makePod("stuck", "web")
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "stuck", Name: "web"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	must(t, w.green.client.Create(t.Context(), pod))
	must(t, w.green.client.Create(t.Context(), service))
	attempts, passes := w.superGate.writes(), w.passes(t)
	toldOnce := func(ctx context.Context) error {
		return errors.Join(toldOnceOf(ctx, w.green, tenantNamespace), toldOnceOf(ctx, w.green, pod), toldOnceOf(ctx, w.green, service))
	}
	told := within(t, toldWithin, "one event on each object", toldOnce)
	waitFor(t, 3*time.Second)
	if err := toldOnce(t.Context()); err != nil {
		t.Errorf("3 s later: %v", err)
	}
	tried, looked := sum(growth(attempts, w.superGate.writes())), w.passes(t)-passes
	if tried > maxWrites || looked > maxPasses {
		t.Errorf("%d writes and %.0f passes over a namespace that is going, want at most %d and %d", tried, looked, maxWrites, maxPasses)
	}
	must(t, w.superClient.Patch(t.Context(), foreign, mergePatch(`{"metadata":{"finalizers":null}}`)))
	healed := within(t, healedWithin, "the pod running, and the Service", func(ctx context.Context) error {
		return errors.Join(running(ctx, w.green, pod), w.superClient.Get(ctx, w.green.superKey("stuck", "web"), &corev1.Service{}))
	})
	t.Logf("told after %s, %d writes and %.0f passes until 3 s later; in order %s after the finalizer went",
		told.Round(time.Millisecond), tried, looked, healed.Round(time.Millisecond))
}

// passes returns how often the syncer has looked at an object.
func (w *faultWorld) passes(t *testing.T) float64 {
	t.Helper()
	n, err := w.syncer.metric(t.Context(), "virtualcluster_syncer_reconciles_total")
	must(t, err)
	return n
}

// toldOnceOf reports anything but one event on an object that is about its namespace.
func toldOnceOf(ctx context.Context, tn *tenant, object client.Object) error {
	events, err := eventsAbout(ctx, tn, object)
	if err == nil && (len(events) != 1 || !strings.Contains(events[0].Message, "still being removed")) {
		err = fmt.Errorf("%T %s has %d events %+v, want one about the namespace", object, object.GetName(), len(events), events)
	}
	return err
}
