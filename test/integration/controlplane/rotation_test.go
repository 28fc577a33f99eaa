// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	// shortOverlap is the shortest that a class may have. A real control plane
	// has another clock than the test; certificates that the test makes so
	// little ahead are valid at once, since they begin 5 minutes before.
	shortOverlap = time.Minute
	// trustDelay is how long a new generation waits then before it signs.
	trustDelay = shortOverlap / 4
)

// rotation is a virtual cluster whose authorities a test rotates, with a clock
// of its own and StatefulSets that are rolled out at once.
type rotation struct {
	*suite
	virtualCluster *tenancyv1alpha1.VirtualCluster
	clock          *clocktesting.FakePassiveClock

	mu sync.Mutex
	// created counts the Secrets of authorities that were created, by name.
	created map[string]int
}

func (s *suite) rotation(t *testing.T, name string) *rotation {
	t.Helper()
	rotating := class(name, "10.209.0.0/16")
	rotating.Spec.ControlPlane.Certificates.Overlap = &metav1.Duration{Duration: shortOverlap}
	s.create(t, rotating)
	ro := &rotation{suite: s, clock: clocktesting.NewFakePassiveClock(time.Now()), created: map[string]int{}}
	ro.virtualCluster = s.virtualCluster(t, name, name)
	return ro
}

// process returns a reconciler. hooks are called before and after each write.
func (ro *rotation) process(before, after func() error) *reconciler.Reconciler {
	counted := interceptor.NewClient(ro.writes(before, after), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			err := c.Create(ctx, object, options...)
			if err == nil || errors.Is(err, errCrash) && object.GetUID() != "" {
				ro.mu.Lock()
				ro.created[object.GetName()]++
				ro.mu.Unlock()
			}
			return err
		},
		Get: getRolledOut,
	})
	r := ro.reconciler(counted)
	r.APIReader = interceptor.NewClient(ro.client, interceptor.Funcs{Get: getRolledOut})
	r.Clock = ro.clock
	return r
}

// getRolledOut reads StatefulSets as they are once their controller is done.
func getRolledOut(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := c.Get(ctx, key, object, options...)
	if statefulSet, ok := object.(*appsv1.StatefulSet); ok && err == nil {
		statefulSet.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: statefulSet.Generation, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1,
		}
	}
	return err
}

func nothing() error { return nil }

// pass lets time pass and then reconciles once.
func (ro *rotation) pass(t *testing.T, after time.Duration) {
	t.Helper()
	ro.clock.SetTime(ro.clock.Now().Add(after))
	mustReconcile(t, ro.process(nothing, nothing), ro.virtualCluster)
}

// ask asks for a rotation, in a second in which nothing was made.
func (ro *rotation) ask(t *testing.T) {
	t.Helper()
	ro.clock.SetTime(ro.clock.Now().Add(2 * time.Second))
	ro.annotate(t, ro.clock.Now().UTC().Format(time.RFC3339))
}

func (ro *rotation) annotate(t *testing.T, value string) {
	t.Helper()
	live := ro.get(t, ro.virtualCluster)
	before := live.DeepCopy()
	metav1.SetMetaDataAnnotation(&live.ObjectMeta, tenancyv1alpha1.AnnotationRotateAuthorities, value)
	if err := ro.client.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func (ro *rotation) files(t *testing.T) map[string][]byte {
	t.Helper()
	return ro.secret(t, controlPlaneNamespace(ro.virtualCluster), component.SecretPKI).Data
}

// wantGenerations checks what the status tells and which Secrets there are.
func (ro *rotation) wantGenerations(t *testing.T, signing int32, trusted ...int32) {
	t.Helper()
	told := ro.get(t, ro.virtualCluster).Status.Certificates
	if told == nil || told.Generation != signing || !cmp.Equal(told.TrustedGenerations, trusted) {
		t.Errorf("status.certificates = %+v, want generation %d, trusted %v", told, signing, trusted)
	}
	var stored []int32
	var list corev1.SecretList
	if err := ro.client.List(t.Context(), &list, client.InNamespace(controlPlaneNamespace(ro.virtualCluster))); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if number, ok := component.AuthoritiesGeneration(list.Items[i].Name); ok {
			stored = append(stored, number)
		}
	}
	if len(stored) != len(trusted) {
		t.Errorf("there are Secrets of generations %v, want %v", stored, trusted)
	}
}

// identity is a way into a tenant that somebody keeps.
type identity struct {
	name   string
	config *rest.Config
}

// kubeconfigOf returns the way in of a kubeconfig, at the address where the tenant really is.
func (ro *rotation) kubeconfigOf(t *testing.T, tenant *controlplanetest.Instance, name, namespace, secret string) identity {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(ro.secret(t, namespace, secret).Data[tenancyv1alpha1.KeyKubeconfig])
	if err != nil {
		t.Fatal(err)
	}
	config.Host = tenant.Config.Host
	return identity{name, config}
}

func (ro *rotation) user(t *testing.T, tenant *controlplanetest.Instance, name string) identity {
	t.Helper()
	return ro.kubeconfigOf(t, tenant, name, userNamespace, ro.virtualCluster.Name+"-kubeconfig")
}

// token returns a service account's way in, with a token of now and the
// authorities that a pod would be given now.
func (ro *rotation) token(t *testing.T, by identity, name string) identity {
	t.Helper()
	tenantClient, err := kubernetes.NewForConfig(by.config)
	if err != nil {
		t.Fatal(err)
	}
	var token *authenticationv1.TokenRequest
	eventually(t, "the service account gets a token", func(ctx context.Context) error {
		token, err = tenantClient.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		return err
	})
	config := rest.AnonymousClientConfig(by.config)
	config.CAData, config.BearerToken = by.config.CAData, token.Status.Token
	return identity{name, config}
}

// call asks the tenant who one is.
func (i identity) call(ctx context.Context) error {
	tenantClient, err := kubernetes.NewForConfig(i.config)
	if err != nil {
		return err
	}
	_, err = tenantClient.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	return err
}

func wantIn(t *testing.T, when string, all ...identity) {
	t.Helper()
	for _, one := range all {
		if err := one.call(t.Context()); err != nil {
			t.Errorf("%s: %s does not get in: %v", when, one.name, err)
		}
	}
}

// withoutPin trusts what the server shows now, so that the server has to decide.
func (i identity) withoutPin(ca []byte) identity {
	config := rest.CopyConfig(i.config)
	config.CAData = ca
	return identity{i.name + ", which trusts the new server", config}
}

func wantUnauthorized(t *testing.T, when string, all ...identity) {
	t.Helper()
	for _, one := range all {
		if err := one.call(t.Context()); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s: %s: %v, want Unauthorized", when, one.name, err)
		}
	}
}

// testRotation rotates the authorities of a control plane that really runs, and
// is started again with each change as its pod would be. Whatever was handed
// out before works until the end of the overlap, and not after.
func testRotation(t *testing.T, s *suite) {
	ro := s.rotation(t, "rotation")
	ro.pass(t, 0)
	namespace := controlPlaneNamespace(ro.virtualCluster)
	tenant := controlplanetest.Start(t, controlplanetest.Options{
		Files: ro.files(t), ServiceCIDR: s.get(t, ro.virtualCluster).Status.Network.ServiceCIDR,
	})
	platform := func(name string) []identity {
		return []identity{
			ro.kubeconfigOf(t, tenant, name+" syncer", namespace, tenancyv1alpha1.SecretSyncerKubeconfig),
			ro.kubeconfigOf(t, tenant, name+" vn-agent", namespace, tenancyv1alpha1.SecretAgentKubeconfig),
		}
	}
	oldUser := ro.user(t, tenant, "the old kubeconfig")
	oldToken := ro.token(t, oldUser, "the old token")
	old := append(platform("the old"), oldUser, oldToken)
	wantIn(t, "before", old...)
	ro.pass(t, 0)
	ro.wantGenerations(t, 1, 1)

	ro.ask(t)
	ro.pass(t, 0)
	ro.wantGenerations(t, 1, 1, 2)
	wantIn(t, "a second generation is known to clients, not to the process", append(platform("the changed"), old...)...)
	tenant.RestartWith(t, ro.files(t))
	wantIn(t, "both are trusted", append(platform("the changed"), old...)...)

	ro.pass(t, trustDelay)
	ro.wantGenerations(t, 2, 1, 2)
	user := ro.user(t, tenant, "the new kubeconfig")
	wantIn(t, "the second signs, and the process does not know", append(append(platform("the new"), user), old...)...)
	tenant.RestartWith(t, ro.files(t))
	token := ro.token(t, user, "the new token")
	fresh := append(platform("the new"), user, token)
	wantIn(t, "the second signs", append(fresh, old...)...)

	ro.pass(t, shortOverlap)
	ro.wantGenerations(t, 2, 1, 2)
	wantIn(t, "the overlap ends, and the process does not know", append(platform("the last"), fresh...)...)
	tenant.RestartWith(t, ro.files(t))
	ro.pass(t, 0)
	ro.wantGenerations(t, 2, 2)
	fresh = append(fresh, platform("the last")...)
	wantIn(t, "after the overlap", append(fresh, ro.user(t, tenant, "the last kubeconfig"))...)
	for _, one := range old {
		if err := one.call(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
			t.Errorf("after the overlap: %s: %v, want it not to trust the server", one.name, err)
		}
		wantUnauthorized(t, "after the overlap", one.withoutPin(user.config.CAData))
	}
}

// testRotationCrashPoints rotates again and again; in each rotation a process
// dies before or after its n-th write, and the next goes on. Each generation is
// made once, and nothing is left of the one before.
func testRotationCrashPoints(t *testing.T, s *suite) {
	ro := s.rotation(t, "rotation-crash")
	ro.pass(t, 0)
	ro.pass(t, 0)
	const most = 40 // more than a rotation writes
	generation := int32(1)
	for n := 1; ; n++ {
		if n > most {
			t.Fatalf("a rotation makes more than %d writes", most)
		}
		survived := false
		for _, afterwards := range []bool{false, true} {
			before, after, crashed := crashAt(n, afterwards)
			dying := ro.process(before, after)
			ro.ask(t)
			generation++
			for range 12 {
				if crashed() {
					ro.pass(t, shortOverlap/8)
					continue
				}
				ro.clock.SetTime(ro.clock.Now().Add(shortOverlap / 8))
				if err := reconcileOnce(t, dying, ro.virtualCluster); (err != nil) != crashed() {
					t.Errorf("write %d (afterwards %t): %v", n, afterwards, err)
				}
			}
			ro.wantGenerations(t, generation, generation)
			survived = survived || !crashed()
		}
		if survived {
			if n < 20 {
				t.Errorf("only %d writes were seen: the interception misses some", n-1)
			}
			t.Logf("a rotation makes %d writes", n-1)
			break
		}
	}
	for name, times := range ro.created {
		if number, ok := component.AuthoritiesGeneration(name); ok && times != 1 {
			t.Errorf("generation %d was created %d times", number, times)
		}
	}
	if made := len(ro.created); made < int(generation) {
		t.Errorf("%d Secrets were created for %d generations: the interception misses some", made, generation)
	}
	s.wantObjectsOfRotation(t, ro, generation)
}

// wantObjectsOfRotation: after a rotation there is what there was, but for the name of one Secret.
func (s *suite) wantObjectsOfRotation(t *testing.T, ro *rotation, generation int32) {
	t.Helper()
	got := strings.Join(s.objectsOf(t, ro.virtualCluster), "\n") + "\n"
	got = strings.Replace(got, fmt.Sprintf("%s-%d\n", component.SecretAuthorities, generation), component.SecretAuthorities+"\n", 1)
	if diff := cmp.Diff(strings.Join(expectedObjects(ro.virtualCluster.Name), "\n")+"\n", got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// testAuthoritiesAreMadeOnce lets several processes, each of which believes
// that it is the only one, make the first generation and the second at once.
func testAuthoritiesAreMadeOnce(t *testing.T, s *suite) {
	ro := s.rotation(t, "rotation-race")
	together := func() {
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				// A write that loses a race is refused, and tried again.
				err := errors.New("it was not tried")
				for range 10 {
					if err = reconcileOnce(t, ro.process(nothing, nothing), ro.virtualCluster); err == nil {
						return
					}
				}
				t.Errorf("one of several: %v", err)
			})
		}
		running.Wait()
		ro.pass(t, 0)
	}
	together()
	ro.wantGenerations(t, 1, 1)
	ro.ask(t)
	together()
	ro.wantGenerations(t, 1, 1, 2)
	for _, name := range []string{component.SecretAuthorities, component.SecretAuthorities + "-2", component.SecretEncryption} {
		if ro.created[name] != 1 {
			t.Errorf("Secret %s was created %d times", name, ro.created[name])
		}
	}
	for number, name := range map[string]string{"1": component.SecretAuthorities, "2": component.SecretAuthorities + "-2"} {
		authorities, err := pki.ParseAuthorities(s.secret(t, controlPlaneNamespace(ro.virtualCluster), name).Data)
		if err != nil || !authorities.TrustedBy(ro.files(t)) {
			t.Errorf("the control plane does not trust generation %s (%v)", number, err)
		}
	}
}

// testRotationIsAskedForWrongly: what cannot be understood rotates nothing, and
// is told, once.
func testRotationIsAskedForWrongly(t *testing.T, s *suite) {
	ro := s.rotation(t, "rotation-wrong")
	ro.pass(t, 0)
	ro.pass(t, 0)
	for _, value := range []string{"tomorrow", ro.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)} {
		ro.annotate(t, value)
		recorder := events.NewFakeRecorder(100)
		written := 0
		r := ro.process(func() error { written++; return nil }, nothing)
		r.Recorder = recorder
		for range 3 {
			mustReconcile(t, r, ro.virtualCluster)
		}
		ready := meta.FindStatusCondition(s.get(t, ro.virtualCluster).Status.Conditions, tenancyv1alpha1.ConditionCertificatesReady)
		if ready == nil || ready.Status != metav1.ConditionTrue || !strings.Contains(ready.Message, value) {
			t.Errorf("%s: CertificatesReady = %+v", value, ready)
		}
		if told := drain(recorder); strings.Count(told, "RotationIgnored") != 1 || written != 1 {
			t.Errorf("%s: told %q with %d writes, want one of each", value, told, written)
		}
		ro.wantGenerations(t, 1, 1)
	}
	ro.pass(t, time.Hour)
	ro.wantGenerations(t, 1, 1, 2)
}

func drain(recorder *events.FakeRecorder) string {
	var told strings.Builder
	for {
		select {
		case event := <-recorder.Events:
			told.WriteString(event + "\n")
		default:
			return told.String()
		}
	}
}

// testEncryptionKeyIsKept: the key of Secrets at rest is the same in every
// generation, and one whose Secret is lost is not made anew.
func testEncryptionKeyIsKept(t *testing.T, s *suite) {
	ro := s.rotation(t, "rotation-encryption")
	ro.pass(t, 0)
	key := types.NamespacedName{Namespace: controlPlaneNamespace(ro.virtualCluster), Name: component.SecretEncryption}
	made := s.secret(t, key.Namespace, key.Name)
	if err := pki.CheckEncryptionKeys(made.Data[pki.FileEncryptionKeys]); err != nil || made.Immutable == nil || !*made.Immutable {
		t.Errorf("the key: %v, immutable %v", err, made.Immutable)
	}
	if err := s.client.Delete(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	ro.ask(t)
	for range 12 {
		ro.pass(t, shortOverlap/8)
	}
	ro.wantGenerations(t, 2, 2)
	again := s.secret(t, key.Namespace, key.Name)
	if again.UID == made.UID || !bytes.Equal(again.Data[pki.FileEncryptionKeys], made.Data[pki.FileEncryptionKeys]) {
		t.Errorf("the Secret was lost, and its key is another one")
	}
	if !bytes.Equal(ro.files(t)[pki.FileEncryptionKeys], made.Data[pki.FileEncryptionKeys]) {
		t.Errorf("the control plane has another key")
	}
}
