// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"net/netip"
	"testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func TestLowestFree(t *testing.T) {
	cases := map[string]struct {
		pool  string
		bits  int
		taken []string
		want  string // empty: none
	}{
		"first":                         {"10.112.0.0/12", 22, nil, "10.112.0.0/22"},
		"behind the first":              {"10.112.0.0/12", 22, []string{"10.112.0.0/22"}, "10.112.4.0/22"},
		"a gap is filled":               {"10.112.0.0/12", 22, []string{"10.112.8.0/22", "10.112.0.0/22"}, "10.112.4.0/22"},
		"behind a larger one":           {"10.112.0.0/12", 24, []string{"10.112.0.0/20"}, "10.112.16.0/24"},
		"around a smaller one":          {"10.112.0.0/12", 20, []string{"10.112.3.0/24"}, "10.112.16.0/20"},
		"others' pools do not matter":   {"10.112.0.0/12", 22, []string{"10.200.0.0/22"}, "10.112.0.0/22"},
		"host bits of the pool":         {"10.112.0.9/12", 22, nil, "10.112.0.0/22"},
		"last of two":                   {"10.0.0.0/21", 22, []string{"10.0.0.0/22"}, "10.0.4.0/22"},
		"exhausted":                     {"10.0.0.0/21", 22, []string{"10.0.0.0/22", "10.0.4.0/22"}, ""},
		"all of it taken by one":        {"10.0.0.0/21", 22, []string{"10.0.0.0/8"}, ""},
		"end of the address space":      {"255.255.252.0/22", 23, []string{"255.255.252.0/23", "255.255.254.0/23"}, ""},
		"slice larger than the pool":    {"10.0.0.0/24", 22, nil, ""},
		"slice as large as the pool":    {"10.0.0.0/22", 22, nil, "10.0.0.0/22"},
		"slice longer than any address": {"10.0.0.0/22", 33, nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var taken []netip.Prefix
			for _, slice := range tc.taken {
				taken = append(taken, netip.MustParsePrefix(slice))
			}
			got, ok := lowestFree(netip.MustParsePrefix(tc.pool), tc.bits, taken)
			if ok != (tc.want != "") || ok && got.String() != tc.want {
				t.Errorf("lowestFree = %v, %v; want %q", got, ok, tc.want)
			}
		})
	}
}

// TestLowestFreeNeverOverlaps gives slices of different lengths from pools
// that overlap until none is left.
func TestLowestFreeNeverOverlaps(t *testing.T) {
	pools := []struct {
		pool string
		bits int
	}{{"10.0.0.0/20", 24}, {"10.0.8.0/21", 26}, {"10.0.0.0/21", 23}}
	var taken []netip.Prefix
	for given := true; given; {
		given = false
		for _, from := range pools {
			slice, ok := lowestFree(netip.MustParsePrefix(from.pool), from.bits, taken)
			if !ok {
				continue
			}
			given = true
			for _, other := range taken {
				if slice.Overlaps(other) {
					t.Fatalf("%v overlaps %v", slice, other)
				}
			}
			taken = append(taken, slice)
		}
	}
	addresses := 0
	for _, slice := range taken {
		addresses += 1 << (32 - slice.Bits())
	}
	if want := 1 << 12; addresses != want {
		t.Errorf("%d of %d addresses were given", addresses, want)
	}
}

func TestTakenSlices(t *testing.T) {
	with := func(cidr string) tenancyv1alpha1.VirtualCluster {
		return tenancyv1alpha1.VirtualCluster{Status: tenancyv1alpha1.VirtualClusterStatus{
			Network: &tenancyv1alpha1.NetworkStatus{ServiceCIDR: cidr},
		}}
	}
	taken, err := takenSlices([]tenancyv1alpha1.VirtualCluster{with("10.0.0.0/22"), {}, with("10.0.4.0/22")})
	if err != nil || len(taken) != 2 {
		t.Errorf("takenSlices = %v, %v", taken, err)
	}
	// What cannot be read may be anything: giving from around it could give it twice.
	if _, err := takenSlices([]tenancyv1alpha1.VirtualCluster{with("garbage")}); err == nil {
		t.Errorf("garbage was ignored")
	}
}
