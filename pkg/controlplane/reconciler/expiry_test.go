// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

func testLeaf(t *testing.T, authority *pki.Authority, ttl time.Duration) *x509.Certificate {
	t.Helper()
	certPEM, _, err := authority.Issue(pki.Leaf{CommonName: "x", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, TTL: ttl}, rotationEpoch)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ParseCertificate(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestExpiryStatus(t *testing.T) {
	authority, err := pki.NewAuthority("ca", rotationEpoch)
	if err != nil {
		t.Fatal(err)
	}
	e := expiry{
		authorities: map[string]*x509.Certificate{"ca": authority.Certificate()},
		leaves:      map[string]*x509.Certificate{"long": testLeaf(t, authority, 3*time.Hour), "short": testLeaf(t, authority, time.Hour)},
		leafTTL:     3 * time.Hour,
	}
	at := func(after time.Duration) *metav1.Time {
		stored := metav1.NewTime(rotationEpoch.Add(after))
		return &stored
	}
	want := &tenancyv1alpha1.CertificatesStatus{
		Generation: 2, TrustedGenerations: []int32{1, 2},
		AuthoritiesExpire: at(pki.AuthorityTTL), LeavesExpire: at(time.Hour),
		// A certificate begins 5 minutes before it is made.
		NextRenewal: at(-5*time.Minute + 65*time.Minute/3*2),
	}
	if diff := cmp.Diff(want, e.status(2, []int32{1, 2})); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	e.leafTTL = 15 * time.Minute
	if got, want := e.nextRenewal(), rotationEpoch.Add(-5*time.Minute+20*time.Minute/3*2); !got.Equal(want) {
		t.Errorf("with a class whose leaves live shorter: next renewal %s, want %s", got, want)
	}
}

func TestWakeAfter(t *testing.T) {
	in := rotationEpoch.Add
	cases := map[string]struct {
		asked time.Duration
		due   time.Time
		want  time.Duration
	}{
		"nothing":                 {},
		"nothing is due":          {asked: time.Minute, want: time.Minute},
		"due later":               {asked: time.Minute, due: in(time.Hour), want: time.Minute},
		"due sooner":              {asked: time.Minute, due: in(10 * time.Second), want: 10 * time.Second},
		"due, nobody else wakes":  {due: in(time.Hour), want: time.Hour},
		"overdue":                 {asked: time.Minute, due: in(-time.Hour), want: earliestRequeue},
		"overdue, a quick answer": {asked: time.Millisecond, due: in(-time.Hour), want: time.Millisecond},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := untilDue(tc.asked, tc.due, rotationEpoch); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	authority, err := pki.NewAuthority("ca", rotationEpoch)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	m, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := NewMetrics(registry); again != m || err != nil {
		t.Errorf("a second one: %v", err)
	}
	a, b := types.NamespacedName{Namespace: "team", Name: "a"}, types.NamespacedName{Namespace: "team", Name: "b"}
	m.set(a, map[string]*x509.Certificate{"serving": testLeaf(t, authority, time.Hour)}, map[string]*x509.Certificate{"server-ca": authority.Certificate()})
	m.set(b, map[string]*x509.Certificate{"old": testLeaf(t, authority, time.Hour)})
	m.set(b, map[string]*x509.Certificate{"serving": testLeaf(t, authority, 2*time.Hour)})
	end := float64(rotationEpoch.Add(time.Hour).Unix())
	want := map[string]float64{
		"team/a/serving": end, "team/a/server-ca": float64(rotationEpoch.Add(pki.AuthorityTTL).Unix()), "team/b/serving": end + 3600,
	}
	if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	m.forget(a)
	delete(want, "team/a/serving")
	delete(want, "team/a/server-ca")
	if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
		t.Errorf("after one has gone (-want +got):\n%s", diff)
	}
	var none *Metrics
	none.set(a)
	none.forget(a)
}

func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "virtualcluster_manager_certificate_expiry_timestamp_seconds" {
			t.Errorf("metric %s", family.GetName())
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			out[strings.Join([]string{labels["namespace"], labels["virtualcluster"], labels["certificate"]}, "/")] = metric.GetGauge().GetValue()
		}
	}
	return out
}

func TestRotationEvents(t *testing.T) {
	status := func(generation int32, message string, trusted ...int32) tenancyv1alpha1.VirtualClusterStatus {
		return tenancyv1alpha1.VirtualClusterStatus{
			Certificates: &tenancyv1alpha1.CertificatesStatus{Generation: generation, TrustedGenerations: trusted},
			Conditions: []metav1.Condition{{
				Type: tenancyv1alpha1.ConditionCertificatesReady, Status: metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady, Message: message,
			}},
		}
	}
	cases := map[string]struct {
		before, after tenancyv1alpha1.VirtualClusterStatus
		want          []string
	}{
		"the first":       {tenancyv1alpha1.VirtualClusterStatus{}, status(1, "", 1), nil},
		"no change":       {status(1, "", 1), status(1, "", 1), nil},
		"a new one":       {status(1, "", 1), status(1, "", 1, 2), []string{"generation 2 of the authorities was made"}},
		"it signs":        {status(1, "", 1, 2), status(2, "", 1, 2), []string{"generation 2 of the authorities signs"}},
		"the old is gone": {status(2, "", 1, 2), status(2, "", 2), []string{"generation 1 of the authorities is gone"}},
		"garbage":         {status(1, "", 1), status(1, rotationRemark+"no", 1), []string{rotationRemark + "no"}},
		"garbage again":   {status(1, rotationRemark+"no", 1), status(1, rotationRemark+"no", 1), nil},
		"another message": {status(1, "", 1), status(1, "something else", 1), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, step := range append(rotationSteps(tc.before.Certificates, tc.after.Certificates), ignoredRequest(tc.before, tc.after)...) {
				got = append(got, step.message)
			}
			if len(got) != len(tc.want) {
				t.Fatalf("told %q, want %q", got, tc.want)
			}
			for i := range tc.want {
				if !strings.HasPrefix(got[i], tc.want[i]) {
					t.Errorf("told %q, want %q", got[i], tc.want[i])
				}
			}
		})
	}
}
