// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
)

// TestSuitableRange: a cluster that somebody else runs can say anything of
// itself, and must get no more than a tenant of the class would be given.
func TestSuitableRange(t *testing.T) {
	ranges := func(texts ...string) *external.Facts {
		facts := &external.Facts{ServiceIP: netip.MustParseAddr("10.112.0.1")}
		for _, text := range texts {
			facts.ServiceCIDRs = append(facts.ServiceCIDRs, netip.MustParsePrefix(text))
		}
		return facts
	}
	cases := map[string]struct {
		facts *external.Facts
		want  string
		why   string
	}{
		"fits":              {ranges("10.112.4.0/22"), "10.112.4.0/22", ""},
		"smaller":           {ranges("10.112.4.0/24"), "10.112.4.0/24", ""},
		"the whole pool":    {ranges("10.112.0.0/12"), "", "larger than a tenant's may be"},
		"around the pool":   {ranges("10.0.0.0/8"), "", "does not lie within"},
		"elsewhere":         {ranges("10.96.0.0/22"), "", "does not lie within"},
		"of another family": {ranges("2001:db8::/120"), "", "does not lie within"},
		"two families":      {ranges("10.112.4.0/22", "2001:db8::/120"), "", "two IP families"},
		"not told":          {ranges(), "10.112.0.0/22", ""},
		"not told, not the first": {&external.Facts{ServiceIP: netip.MustParseAddr("10.112.1.1")}, "",
			"not the first address"},
		"not told, of another family": {&external.Facts{ServiceIP: netip.MustParseAddr("2001:db8::1")}, "", "not the first address"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, why := suitableRange(tc.facts, netip.MustParsePrefix("10.112.0.0/12"), 22)
			if (tc.why == "") != (why == "") || !strings.Contains(why, tc.why) || tc.want != "" && got.String() != tc.want {
				t.Errorf("suitableRange = %s, %q; want %q, %q", got, why, tc.want, tc.why)
			}
		})
	}
}

// TestAdoptNetworkRefuses: whatever a cluster says of itself, no two virtual
// clusters have one address, and none has another than before.
func TestAdoptNetworkRefuses(t *testing.T) {
	cases := map[string]struct {
		others []string // the ranges of other virtual clusters
		held   string
		why    string
	}{
		"another's":         {[]string{"10.112.8.0/22", "10.112.4.0/22"}, "", "overlaps 10.112.4.0/22, which another virtual cluster holds"},
		"a part another's":  {[]string{"10.112.5.0/24"}, "", "overlaps 10.112.5.0/24"},
		"a part of another": {[]string{"10.112.0.0/16"}, "", "overlaps 10.112.0.0/16"},
		"not as before":     {nil, "10.112.8.0/22", "is 10.112.4.0/22 and was 10.112.8.0/22"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := tenancyv1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			builder := fake.NewClientBuilder().WithScheme(scheme)
			for _, slice := range tc.others {
				builder = builder.WithObjects(&tenancyv1alpha1.VirtualCluster{
					ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "of-" + strings.NewReplacer(".", "-", "/", "-").Replace(slice)},
					Status:     tenancyv1alpha1.VirtualClusterStatus{Network: &tenancyv1alpha1.NetworkStatus{ServiceCIDR: slice}},
				})
			}
			super := builder.Build()
			r := &Reconciler{Client: super, APIReader: super, Recorder: events.NewFakeRecorder(1)}
			s := newScope(&tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "shop", UID: "shop"}})
			s.class = &tenancyv1alpha1.VirtualClusterClass{}
			s.class.Spec.Network = tenancyv1alpha1.ClassNetwork{ServiceCIDR: "10.112.0.0/12", ServiceSliceBits: 22}
			s.visit = &visit{facts: &external.Facts{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.112.4.0/22")}}}
			if tc.held != "" {
				s.status.Network = &tenancyv1alpha1.NetworkStatus{ServiceCIDR: tc.held}
			}
			var refused *blocked
			err := r.adoptNetwork(t.Context(), s)
			if !errors.As(err, &refused) || refused.reason != tenancyv1alpha1.ReasonServiceRangeUnsuitable || !strings.Contains(refused.message, tc.why) {
				t.Errorf("adoptNetwork: %v, want it refused with %q", err, tc.why)
			}
		})
	}
}
