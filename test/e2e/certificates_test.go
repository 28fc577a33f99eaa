// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// shortOverlap is how long the rotation's old authorities are trusted to
	// begin with; the new sign after a quarter of it.
	shortOverlap = 4 * time.Minute
	// longOverlap is what the overlap is made, in the midst of the rotation, to
	// wait for a pod's token, and endOverlap is what ends it: a class's shortest.
	longOverlap, endOverlap = time.Hour, time.Minute
	// shortTokenLife, in seconds, is the shortest that an API server gives. The
	// token is renewed after four fifths of it, and the kubelet takes up to a
	// minute and a half to show it to the pod.
	shortTokenLife = 600
	// renewedWithin is how long that may take together.
	renewedWithin = 12 * time.Minute
	// costlyInterval is between two looks that take a program each.
	costlyInterval = 2 * time.Second
	// accountDir is where pods find their token.
	accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// TestRotationOfAuthorities replaces everything that a control plane of three
// replicas is trusted by, under clients that write and read all the time, and a
// pod that asks its API server all the while.
func TestRotationOfAuthorities(t *testing.T) {
	class := newClass(t, "rotated", func(spec *tenancyv1alpha1.VirtualClusterClassSpec) {
		spec.ControlPlane.Replicas = 3
		spec.ControlPlane.Certificates.Overlap = &metav1.Duration{Duration: shortOverlap}
	})
	old := newTenantOf(t, "rotated", class.Name)
	(&replicas{old}).waitUpToDate(t, 3)
	if err := old.client.Create(t.Context(), callingPod("calls")); err != nil {
		t.Fatal(err)
	}
	before := old.observe(t, "calls")
	old.wantCalls(t, "calls")
	firstKey := old.keyOfToken(t, "calls")

	traffic := startTraffic(t, old, "old-kubeconfig")
	started := time.Now()
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "annotate", "--overwrite", "vc", old.name,
		tenancyv1alpha1.AnnotationRotateAuthorities+"="+time.Now().UTC().Format(time.RFC3339))
	old.waitGenerations(t, time.Minute, 1, 1, 2)
	t.Logf("both are trusted after %s", time.Since(started).Round(time.Second))
	old.waitGenerations(t, 2*rolledWithin, 2, 1, 2)
	t.Logf("the new sign after %s", time.Since(started).Round(time.Second))
	overlapOf(t, class, longOverlap)
	(&replicas{old}).waitUpToDate(t, 3)
	traffic.stopAndCheck(t)

	// Whoever comes now is given the new, and trusts both.
	fresh := openTenant(t, old.name)
	if string(fresh.config.CertData) == string(old.config.CertData) || len(fresh.config.CAData) <= len(old.config.CAData) {
		t.Error("the kubeconfig is the old one")
	}
	traffic = startTraffic(t, fresh, "new-kubeconfig")
	wantLooksIn(t, fresh, "calls")
	t.Run("renewal of the others", func(t *testing.T) { testRenewal(t, fresh, class) })
	eventuallyEvery(t, costlyInterval, renewedWithin, "a token by the new key, and both authorities, in the pod", func(ctx context.Context) error {
		return fresh.hasRenewed(ctx, "calls", firstKey)
	})
	t.Logf("the pod has a new token after %s", time.Since(started).Round(time.Second))
	if err := callOnce(t.Context(), old.config); err != nil {
		t.Errorf("the old kubeconfig during the overlap: %v", err)
	}

	overlapOf(t, class, endOverlap)
	fresh.waitGenerations(t, 2*rolledWithin, 2, 2)
	(&replicas{fresh}).waitUpToDate(t, 3)
	t.Logf("the old are gone after %s", time.Since(started).Round(time.Second))
	traffic.stopAndCheck(t)
	wantRefusedLogin(t, old.config, openTenant(t, old.name).config)

	last := openTenant(t, old.name)
	for _, wanted := range []string{tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ConditionNodeReady} {
		waitCondition(t, last.object, time.Minute, wanted, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	}
	last.wantUntouched(t, "calls", before)
	last.wantCalls(t, "calls")
	if err := last.client.Create(t.Context(), newPod("default", "afterwards")); err != nil {
		t.Fatal(err)
	}
	last.waitRunning(t, "default", "afterwards")
	wantLooksIn(t, last, "afterwards")
}

// overlapOf changes the class's overlap, which counts for a rotation under way.
func overlapOf(t *testing.T, class *tenancyv1alpha1.VirtualClusterClass, overlap time.Duration) {
	t.Helper()
	changeClass(t, class, func(spec *tenancyv1alpha1.VirtualClusterClassSpec) {
		spec.ControlPlane.Certificates.Overlap = &metav1.Duration{Duration: overlap}
	})
}

// waitGenerations waits until a generation signs and these are trusted.
func (tn *tenant) waitGenerations(t *testing.T, timeout time.Duration, signs int32, trusted ...int32) {
	t.Helper()
	eventually(t, timeout, fmt.Sprintf("generation %d signs, %v are trusted", signs, trusted), func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(tn.object), tn.object); err != nil {
			return err
		}
		if told := tn.object.Status.Certificates; told == nil || told.Generation != signs || !slices.Equal(told.TrustedGenerations, trusted) {
			return fmt.Errorf("status.certificates = %+v, UpToDate = %+v", told, condition(tn.object, tenancyv1alpha1.ConditionUpToDate))
		}
		return nil
	})
}

// callingPod asks its API server with the token and the authority that it has
// at the time: each program makes two calls, a second apart, and is replaced.
func callingPod(name string) *corev1.Pod {
	return newPod("default", name, func(pod *corev1.Pod) {
		pod.Spec.AutomountServiceAccountToken = new(false)
		pod.Spec.Containers[0].Command = []string{"/bin/sh", "-c", "while true; do timeout 3 /agnhost inclusterclient --poll-interval=1; done"}
		pod.Spec.Containers[0].Args = nil
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "account", MountPath: accountDir}}
		pod.Spec.Volumes = []corev1.Volume{{Name: "account", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(shortTokenLife))}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
					{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}},
				}}},
			},
		}}}}
	})
}

// wantCalls waits until the last calls of a calling pod all succeeded, and
// checks that none ever failed for what it trusts or is trusted by. That a
// connection was lost while a replica was replaced is counted and printed.
func (tn *tenant) wantCalls(t *testing.T, pod string) {
	t.Helper()
	const calls, failure = "calling /healthz", "status=failed"
	eventuallyEvery(t, costlyInterval, time.Minute, "calls that succeed", func(ctx context.Context) error {
		recent, _, err := try(ctx, nil, "kubectl", "--kubeconfig", tn.kubeconfig, "logs", pod, "--since=10s")
		if err == nil && (strings.Count(recent, calls) < 3 || strings.Contains(recent, failure)) {
			err = fmt.Errorf("in 10 s it said: %s", recent)
		}
		return err
	})
	log := tn.kubectl(t, "logs", pod, "--tail=-1")
	t.Logf("pod %s made %d calls, %d failed", pod, strings.Count(log, calls), strings.Count(log, failure))
	shown := 0
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "error checking") {
			continue
		}
		if shown++; shown <= shownFailures {
			t.Logf("  %s", strings.TrimSpace(line))
		}
		for _, untrusted := range []string{"x509", "certificate", "Unauthorized", "Forbidden"} {
			if strings.Contains(line, untrusted) {
				t.Errorf("a call of pod %s failed: %s", pod, strings.TrimSpace(line))
				break
			}
		}
	}
}

// keyOfToken is the part of the pod's token that names the key that signed it.
func (tn *tenant) keyOfToken(t *testing.T, pod string) string {
	t.Helper()
	header, err := tn.tokenHeader(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

func (tn *tenant) tokenHeader(ctx context.Context, pod string) (string, error) {
	token, _, err := try(ctx, nil, "kubectl", "--kubeconfig", tn.kubeconfig, "exec", pod, "--", "cat", accountDir+"/token")
	if err != nil {
		return "", err
	}
	encoded, _, _ := strings.Cut(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err == nil && !strings.Contains(string(header), `"kid"`) {
		err = errors.New("the token names no key")
	}
	return string(header), err
}

// hasRenewed returns nil if the pod has a token by another key, and trusts two authorities.
func (tn *tenant) hasRenewed(ctx context.Context, pod, oldKey string) error {
	header, err := tn.tokenHeader(ctx, pod)
	if err != nil {
		return err
	}
	if header == oldKey {
		return errors.New("the token is by the old key")
	}
	trusted, _, err := try(ctx, nil, "kubectl", "--kubeconfig", tn.kubeconfig, "exec", pod, "--", "cat", accountDir+"/ca.crt")
	if err == nil && strings.Count(trusted, "BEGIN CERTIFICATE") != 2 {
		err = fmt.Errorf("the pod trusts %d authorities", strings.Count(trusted, "BEGIN CERTIFICATE"))
	}
	return err
}

// wantLooksIn checks that logs and exec reach a pod: the API server and
// vn-agent know each other.
func wantLooksIn(t *testing.T, tn *tenant, pod string) {
	t.Helper()
	tn.kubectl(t, "logs", pod, "--tail=1")
	if kernel := tn.kubectl(t, "exec", pod, "--", "uname", "-r"); kernel != gvisorKernel {
		t.Errorf("the kernel of pod %s is %q, want %q", pod, kernel, gvisorKernel)
	}
}

// callOnce asks the API server for something, on a connection of its own.
func callOnce(ctx context.Context, config *rest.Config) error {
	requests, err := newRequests(config, true)
	if err != nil {
		return err
	}
	_, err = requests.do(ctx, http.MethodGet, "/api/v1/namespaces/default", nil, http.StatusOK)
	return err
}

// wantRefusedLogin checks that an old kubeconfig does not believe the server,
// and that the server does not believe its certificate either.
func wantRefusedLogin(t *testing.T, old, valid *rest.Config) {
	t.Helper()
	if err := callOnce(t.Context(), valid); err != nil {
		t.Fatalf("the kubeconfig of now: %v", err)
	}
	if err := callOnce(t.Context(), old); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("the old kubeconfig: %v, want it not to trust the server", err)
	}
	believing := rest.CopyConfig(old)
	believing.CAData = valid.CAData
	if err := callOnce(t.Context(), believing); err == nil || !strings.Contains(err.Error(), "401 Unauthorized") {
		t.Errorf("the old certificate: %v, want 401 Unauthorized", err)
	}
}

// testRenewal: a shorter life in the class counts for the certificates that
// exist. They are replaced under the processes, which nobody notices: no
// process starts again, and no request fails.
func testRenewal(t *testing.T, tn *tenant, class *tenancyv1alpha1.VirtualClusterClass) {
	const leafDuration, connections = 10 * time.Minute, 12
	processes := tn.processes(t)
	state, err := handshake(t.Context(), tn.config, tls.VersionTLS12, tls.VersionTLS13)
	if err != nil {
		t.Fatal(err)
	}
	serial := state.PeerCertificates[0].SerialNumber.String()
	traffic := startTraffic(t, tn, "renewal")
	started := time.Now()
	changeClass(t, class, func(spec *tenancyv1alpha1.VirtualClusterClassSpec) {
		spec.ControlPlane.Certificates.LeafDuration = &metav1.Duration{Duration: leafDuration}
	})
	// Each connection leads to any of the replicas.
	eventuallyEvery(t, costlyInterval, renewedWithin, "another certificate of all API servers", func(ctx context.Context) error {
		for range connections {
			state, err := handshake(ctx, tn.config, tls.VersionTLS12, tls.VersionTLS13)
			if err != nil {
				return err
			}
			if state.PeerCertificates[0].SerialNumber.String() == serial {
				return errors.New("one serves the old one")
			}
		}
		return nil
	})
	t.Logf("the API servers serve another certificate after %s", time.Since(started).Round(time.Second))
	wantLooksIn(t, tn, "calls")
	traffic.stopAndReport(t)
	for _, one := range traffic.clients {
		if one.failed > 0 {
			t.Errorf("client %s: %d requests failed", one.name, one.failed)
		}
	}
	if after := tn.processes(t); !maps.Equal(processes, after) {
		t.Errorf("a process was started again: %v, and now %v", processes, after)
	}
	eventually(t, time.Minute, "the status tells", func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(tn.object), tn.object); err != nil {
			return err
		}
		if ends := tn.object.Status.Certificates.LeavesExpire; ends == nil || time.Until(ends.Time) > leafDuration {
			return fmt.Errorf("status.certificates.leavesExpire = %v, want it within %s", ends, leafDuration)
		}
		return nil
	})
}

// processes are the containers of the control plane that run, by their pods.
func (tn *tenant) processes(t *testing.T) map[string]string {
	t.Helper()
	pods := &corev1.PodList{}
	if err := superClient.List(t.Context(), pods, client.InNamespace(tn.names().ControlPlaneNamespace())); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, pod := range pods.Items {
		out[pod.Name] = pod.Status.ContainerStatuses[0].ContainerID
	}
	return out
}
