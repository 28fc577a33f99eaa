// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

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

func TestReplicas(t *testing.T) {
	cases := map[string]struct {
		generation, observed int64
		ready, updated       int32
		wantReady, wantOut   bool
	}{
		"starting":               {1, 1, 0, 1, false, false},
		"ready":                  {1, 1, 1, 1, true, true},
		"the old one is ready":   {2, 2, 1, 0, true, false},
		"not seen by controller": {2, 1, 1, 1, false, false},
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
