// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

func TestPodAddresses(t *testing.T) {
	pod := func(ip string, deleting bool) corev1.Pod {
		out := corev1.Pod{Status: corev1.PodStatus{PodIP: ip}}
		if deleting {
			out.DeletionTimestamp = ptr.To(metav1.NewTime(testNow))
		}
		return out
	}
	got := podAddresses([]corev1.Pod{pod("10.0.0.2", false), pod("", false), pod("10.0.0.3", true), pod("10.0.0.1", false)})
	if diff := cmp.Diff([]string{"10.0.0.1", "10.0.0.2"}, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestDescribePods(t *testing.T) {
	waiting := func(reason string) []corev1.Pod {
		return []corev1.Pod{{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"}},
		}}}}}
	}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, Message: "no space left\n"}}
	cases := map[string]struct {
		pods []corev1.Pod
		want string
	}{
		"none":          {nil, "it does not exist yet"},
		"creating":      {waiting("ContainerCreating"), "it is starting"},
		"image missing": {waiting("ImagePullBackOff"), "ImagePullBackOff: why"},
		"unscheduled": {[]corev1.Pod{{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "no volume",
		}}}}}, "Unschedulable: no volume"},
		"crash loop": {[]corev1.Pod{{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}},
			LastTerminationState: ended,
		}}}}}, "CrashLoopBackOff: back-off 10s; it ended before with Error: exit code 1: no space left"},
		"starting again": {[]corev1.Pod{{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			LastTerminationState: ended,
		}}}}}, "it is starting again after Error: exit code 1: no space left"},
		"ended": {[]corev1.Pod{{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}},
		}}}}}, "OOMKilled: exit code 137"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := describePods(tc.pods); got != tc.want {
				t.Errorf("describePods = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDescribeEndKeepsTheLastLines(t *testing.T) {
	got := describeEnd("", &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, Message: strings.Repeat("é", maxLog) + "the cause"})
	if len(got) > maxLog+32 || !strings.HasSuffix(got, "the cause") || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("describeEnd = %q", got)
	}
}

func TestPatience(t *testing.T) {
	for waited, want := range map[time.Duration]time.Duration{
		0: time.Second, 20 * time.Second: time.Second, 2 * time.Minute: 3 * time.Second, time.Hour: 10 * time.Second,
	} {
		if got := patience(waited, time.Second, 10*time.Second); got != want {
			t.Errorf("after %s: %s, want %s", waited, got, want)
		}
	}
}

func TestUnavailableFor(t *testing.T) {
	now := clocktesting.NewFakePassiveClock(testNow)
	cases := map[string]struct {
		status metav1.ConditionStatus
		want   time.Duration
	}{
		"not ready": {metav1.ConditionFalse, time.Minute},
		"ready":     {metav1.ConditionTrue, 0},
		"unknown":   {"", 0},
	}
	for name, tc := range cases {
		virtualCluster := &tenancyv1alpha1.VirtualCluster{}
		if tc.status != "" {
			virtualCluster.Status.Conditions = []metav1.Condition{{
				Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: tc.status,
				LastTransitionTime: metav1.NewTime(testNow.Add(-time.Minute)),
			}}
		}
		if got := newScope(virtualCluster).unavailableFor(now); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestWithoutAddresses: what is seen again and again must read the same, or
// each time would be a write.
func TestWithoutAddresses(t *testing.T) {
	reset := func(port int) error {
		return fmt.Errorf("asking: %w", &net.OpError{
			Op: "read", Net: "tcp", Err: syscall.ECONNRESET,
			Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port}, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 6443},
		})
	}
	first, second := withoutAddresses(reset(40001)), withoutAddresses(reset(40002))
	if first.Error() != second.Error() || !errors.Is(first, syscall.ECONNRESET) {
		t.Errorf("%q and then %q", first, second)
	}
	if other := errors.New("x509: expired"); withoutAddresses(other).Error() != other.Error() {
		t.Errorf("%q was changed", other)
	}
}

func TestReplicas(t *testing.T) {
	cases := map[string]struct {
		generation, observed int64
		ready, updated       int32
		wantReady, wantOut   bool
	}{
		"starting":               {1, 1, 0, 1, false, false},
		"ready":                  {1, 1, 1, 1, true, true},
		"the old one is ready":   {2, 2, 1, 0, true, false},
		"not seen by controller": {2, 1, 1, 1, true, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			statefulSet := &appsv1.StatefulSet{}
			statefulSet.Generation = tc.generation
			statefulSet.Spec.Replicas = ptr.To[int32](1)
			statefulSet.Status = appsv1.StatefulSetStatus{
				ObservedGeneration: tc.observed, ReadyReplicas: tc.ready, UpdatedReplicas: tc.updated,
			}
			if got := hasReadyReplica(statefulSet); got != tc.wantReady {
				t.Errorf("hasReadyReplica = %v", got)
			}
			if got := rolledOut(statefulSet); got != tc.wantOut {
				t.Errorf("rolledOut = %v", got)
			}
		})
	}
}

func TestReplicasOf(t *testing.T) {
	made, turned := metav1.NewTime(testNow.Add(-time.Hour)), metav1.NewTime(testNow.Add(-time.Minute))
	pod := func(change func(*corev1.Pod)) corev1.Pod {
		out := corev1.Pod{}
		out.Name, out.CreationTimestamp = "cp-0", made
		out.Annotations = map[string]string{component.AnnotationVersion: "v1.37.1"}
		out.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: turned}}
		change(&out)
		return out
	}
	container := func(restarts int32, state corev1.ContainerState) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = nil
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: restarts, State: state}}
		}
	}
	backOff := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}}
	cases := map[string]struct {
		pod  corev1.Pod
		want replica
	}{
		"ready": {pod(func(*corev1.Pod) {}), replica{version: "v1.37.1", ready: true, since: turned.Time, trouble: "it is starting"}},
		"of before versions were noted": {pod(func(p *corev1.Pod) { p.Annotations = nil }),
			replica{version: "v1.36.4", ready: true, since: turned.Time, trouble: "it is starting"}},
		"ending": {pod(func(p *corev1.Pod) { p.DeletionTimestamp = &turned }),
			replica{version: "v1.37.1", terminating: true, since: turned.Time, trouble: "it is starting"}},
		"just made":   {pod(func(p *corev1.Pod) { p.Status.Conditions = nil }), replica{version: "v1.37.1", since: made.Time, trouble: "it is starting"}},
		"ended twice": {pod(container(2, backOff)), replica{version: "v1.37.1", since: made.Time, trouble: "CrashLoopBackOff: back-off"}},
		"ends again and again": {pod(container(3, backOff)),
			replica{version: "v1.37.1", since: made.Time, crashLooping: true, trouble: "CrashLoopBackOff: back-off"}},
		"ended often and runs": {pod(container(5, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})),
			replica{version: "v1.37.1", since: made.Time, trouble: "it is starting"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.want.name = "cp-0"
			if diff := cmp.Diff([]replica{tc.want}, replicasOf([]corev1.Pod{tc.pod}, "v1.36.4"), cmp.AllowUnexported(replica{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestProbeReadyz(t *testing.T) {
	authority, err := pki.NewAuthority("probe", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewAuthority("other", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		status  int
		ip      string
		ca      []byte
		wantErr string
	}{
		"ready":             {http.StatusOK, "127.0.0.1", authority.CertPEM(), ""},
		"not ready":         {http.StatusInternalServerError, "127.0.0.1", authority.CertPEM(), "500"},
		"another authority": {http.StatusOK, "127.0.0.1", other.CertPEM(), "certificate"},
		"another host":      {http.StatusOK, "127.0.0.2", authority.CertPEM(), "certificate"},
		"no authority":      {http.StatusOK, "127.0.0.1", nil, "not a PEM certificate"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			certPEM, keyPEM, err := authority.Issue(pki.Leaf{
				CommonName: "server", IPs: []net.IP{net.ParseIP(tc.ip)}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
			}))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
			server.StartTLS()
			defer server.Close()
			err = ProbeReadyz(t.Context(), strings.TrimPrefix(server.URL, "https://"), tc.ca)
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("ProbeReadyz: %v, want %q", err, tc.wantErr)
			}
		})
	}
}
