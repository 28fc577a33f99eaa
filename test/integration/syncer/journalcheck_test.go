// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// TestJournalChecker: the checker is silent about a world in order, and names
// the class of everything that can be wrong with it.
func TestJournalChecker(t *testing.T) {
	key := objectKey{"blue", kindPod, "shop", "db"}
	web := objectKey{"blue", kindService, "shop", "web"}
	cases := map[string]struct {
		change func(entries *[]entry, state *worldState)
		want   map[string]int
	}{
		"in order": {func(*[]entry, *worldState) {}, map[string]int{}},
		"the tenant's object is gone": {func(_ *[]entry, s *worldState) {
			delete(s.tenant, web)
			s.super = s.super[:2]
		}, map[string]int{lost: 1}},
		"the super object is gone":   {func(_ *[]entry, s *worldState) { s.super = s.super[:2] }, map[string]int{lost: 1}},
		"the token is gone":          {func(_ *[]entry, s *worldState) { s.super = append(s.super[:1], s.super[2]) }, map[string]int{lost: 1}},
		"the last update is missing": {func(_ *[]entry, s *worldState) { s.super[2].revision = "1" }, map[string]int{lost: 1}},
		"an update was taken back in the tenant": {func(_ *[]entry, s *worldState) {
			s.tenant[web] = tenantImage{uid: "w1", revision: "1", wanted: true}
			s.super[2].revision = "1"
		}, map[string]int{lost: 1}},
		"the status is not back": {func(_ *[]entry, s *worldState) { s.super[0].status = "Running 10.0.0.9" }, map[string]int{lost: 1}},
		"it is there twice":      {func(_ *[]entry, s *worldState) { s.super = append(s.super, s.super[2]) }, map[string]int{duplicate: 1}},
		"it ran twice":           {func(_ *[]entry, s *worldState) { s.runs["p2"] = 2 }, map[string]int{duplicate: 1}},
		"a deleted one is back":  {func(e *[]entry, _ *worldState) { *e = append(*e, entry{op: deleted, key: web, uid: "w1"}) }, map[string]int{resurrected: 2}},
		"its namesake is back":   {func(_ *[]entry, s *worldState) { s.tenant[key] = tenantImage{uid: "p1", wanted: false} }, map[string]int{resurrected: 1, orphan: 2}},
		"a deleted one lives on": {func(_ *[]entry, s *worldState) { s.super[0].owner = "p1" }, map[string]int{resurrected: 1, lost: 1, orphan: 1}},
		"nothing stands behind": {func(_ *[]entry, s *worldState) {
			s.super = append(s.super, superImage{key: objectKey{"blue", kindSecret, "shop", "x"}, owner: "x"})
		}, map[string]int{orphan: 1}},
		"nobody asks for it": {func(_ *[]entry, s *worldState) { s.tenant[web] = tenantImage{uid: "w1", revision: "2"} }, map[string]int{orphan: 1}},
		"an unknown write either": {func(e *[]entry, _ *worldState) {
			*e = append(*e, entry{op: deleted, key: web, uid: "w1", unknown: true})
		}, map[string]int{}},
		"an unknown write or": {func(e *[]entry, s *worldState) {
			*e = append(*e, entry{op: deleted, key: web, uid: "w1", unknown: true})
			delete(s.tenant, web)
			s.super = s.super[:2]
		}, map[string]int{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			entries := []entry{
				{op: created, key: key, uid: "p1", revision: "1"},
				{op: deleted, key: key, uid: "p1"},
				{op: created, key: key, uid: "p2", revision: "1"},
				{op: created, key: web, uid: "w1", revision: "1"},
				{op: updated, key: web, uid: "w1", revision: "2"},
			}
			state := worldState{
				tenant: map[objectKey]tenantImage{
					key: {uid: "p2", revision: "1", status: "Running 10.0.0.1", wanted: true},
					web: {uid: "w1", revision: "2", wanted: true},
				},
				super: []superImage{
					{key: key, owner: "p2", revision: "1", status: "Running 10.0.0.1"},
					{key: key, owner: "p2", attached: true},
					{key: web, owner: "w1", revision: "2"},
				},
				runs: map[types.UID]int{"p1": 1, "p2": 1},
			}
			tc.change(&entries, &state)
			got := classes(check(entries, state))
			if diff := cmp.Diff(tc.want, maps.Clone(got)); diff != "" {
				t.Errorf("defects (-want +got):\n%s", diff)
			}
		})
	}
}
