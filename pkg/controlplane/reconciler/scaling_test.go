// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strings"
	"testing"

	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
)

// list makes members of a short text: "0*" leads, "1" votes, "2-" learns.
func list(text string) []members.Member {
	out := []members.Member{}
	for word := range strings.FieldsSeq(text) {
		ordinal := int32(word[0] - '0')
		out = append(out, members.Member{
			ID: uint64(100 + ordinal), Ordinal: ordinal, Leader: strings.HasSuffix(word, "*"), Learner: strings.HasSuffix(word, "-"),
		})
	}
	return out
}

func TestNextStep(t *testing.T) {
	const none = -1
	ready := func(ordinals ...int32) []int32 { return ordinals }
	cases := map[string]struct {
		facts        scalingFacts
		pods         int32
		replicated   bool
		lead, remove int32
		waiting      string // part of it; empty: as many as desired
	}{
		// New.
		"one, new":    {scalingFacts{desired: 1}, 1, false, none, none, ""},
		"three, new":  {scalingFacts{desired: 3}, 1, true, none, none, "first replica"},
		"one is made": {scalingFacts{desired: 1, exists: true, pods: 1}, 1, false, none, none, ""},
		// The StatefulSet is gone: the volumes of all members stay.
		"three, deleted":        {scalingFacts{desired: 3, pods: 3}, 3, true, none, none, ""},
		"three to one, deleted": {scalingFacts{desired: 1, pods: 3}, 3, true, none, none, "from 3 to 1"},
		"one, deleted":          {scalingFacts{desired: 1, pods: 1}, 1, false, none, none, ""},
		// Up.
		"up, alone":           {scalingFacts{desired: 3, exists: true, pods: 1, settled: true, ready: ready(0)}, 1, true, none, none, "one of several"},
		"up, starting":        {scalingFacts{desired: 3, exists: true, pods: 1, replicated: true, trouble: "no replica"}, 1, true, none, none, "no replica"},
		"up, one of several":  {scalingFacts{desired: 3, exists: true, pods: 1, replicated: true, settled: true, ready: ready(0), members: list("0*")}, 2, true, none, none, "adding control-plane-1"},
		"up, still the old":   {scalingFacts{desired: 3, exists: true, pods: 1, replicated: true, ready: ready(0), members: list("0*")}, 1, true, none, none, "1 of 1 replicas are ready, 1 vote"},
		"up, second starts":   {scalingFacts{desired: 3, exists: true, pods: 2, replicated: true, ready: ready(0), members: list("0*")}, 2, true, none, none, "1 of 2"},
		"up, second learns":   {scalingFacts{desired: 3, exists: true, pods: 2, replicated: true, ready: ready(0), members: list("0* 1-")}, 2, true, none, none, "1 vote"},
		"up, ready, no vote":  {scalingFacts{desired: 3, exists: true, pods: 2, replicated: true, settled: true, ready: ready(0, 1), members: list("0* 1-")}, 2, true, none, none, "1 vote"},
		"up, second votes":    {scalingFacts{desired: 3, exists: true, pods: 2, replicated: true, settled: true, ready: ready(0, 1), members: list("0 1*")}, 3, true, none, none, "adding control-plane-2"},
		"up, third starts":    {scalingFacts{desired: 3, exists: true, pods: 3, replicated: true, ready: ready(0, 1), members: list("0 1* 2-")}, 3, true, none, none, "2 vote"},
		"up, all vote":        {scalingFacts{desired: 3, exists: true, pods: 3, replicated: true, ready: ready(0, 1), members: list("0 1* 2")}, 3, true, none, none, ""},
		"three":               {scalingFacts{desired: 3, exists: true, pods: 3, replicated: true, settled: true, ready: ready(0, 1, 2)}, 3, true, none, none, ""},
		"three, no answer":    {scalingFacts{desired: 3, exists: true, pods: 3, replicated: true, trouble: "no replica"}, 3, true, none, none, ""},
		"pods taken by hand":  {scalingFacts{desired: 3, exists: true, pods: 1, replicated: true, ready: ready(0), members: list("0* 1 2")}, 3, true, none, none, "1 of 1"},
		"more taken by hand":  {scalingFacts{desired: 3, exists: true, pods: 1, replicated: true, ready: ready(0), trouble: "no answer", before: 3}, 3, true, none, none, "no answer"},
		"all taken by hand":   {scalingFacts{desired: 1, exists: true, replicated: true, trouble: "no answer", before: 2}, 2, true, none, none, "no answer"},
		"its volume was lost": {scalingFacts{desired: 3, exists: true, pods: 3, replicated: true, ready: ready(0, 2), members: list("0* 1- 2")}, 3, true, none, none, "2 vote"},
		// Down.
		"down, not the leader":   {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, settled: true, ready: ready(0, 1, 2), members: list("0 1* 2")}, 3, true, 0, none, "the lead"},
		"down, the highest":      {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, settled: true, ready: ready(0, 1, 2), members: list("0* 1 2")}, 3, true, none, 2, "taking control-plane-2"},
		"down, its pod":          {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, ready: ready(0, 1), members: list("0* 1")}, 2, true, none, none, "former members"},
		"down, the second":       {scalingFacts{desired: 1, exists: true, pods: 2, replicated: true, settled: true, ready: ready(0, 1), members: list("0* 1")}, 2, true, none, 1, "taking control-plane-1"},
		"down, both pods":        {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, ready: ready(0), members: list("0*")}, 1, true, none, none, "former members"},
		"down, alone":            {scalingFacts{desired: 1, exists: true, pods: 1, replicated: true, ready: ready(0), members: list("0*")}, 1, false, none, none, ""},
		"down, first is down":    {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, ready: ready(1, 2), members: list("0 1* 2")}, 3, true, none, none, "control-plane-0, which is to keep"},
		"down, first has no DB":  {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, ready: ready(0, 1, 2), members: list("1* 2")}, 3, true, none, none, "control-plane-0, which is to keep"},
		"down, second is down":   {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, ready: ready(0, 2), members: list("0* 1 2")}, 3, true, none, 1, "taking control-plane-1"},
		"down, and then third":   {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, ready: ready(0, 2), members: list("0* 2")}, 3, true, none, 2, "taking control-plane-2"},
		"down, two, one is down": {scalingFacts{desired: 1, exists: true, pods: 2, replicated: true, ready: ready(0), members: list("0* 1")}, 2, true, none, none, "to agree that it goes"},
		"down, a learner":        {scalingFacts{desired: 1, exists: true, pods: 2, replicated: true, ready: ready(0), members: list("0* 1-")}, 2, true, none, 1, "taking control-plane-1"},
		"down, no answer":        {scalingFacts{desired: 1, exists: true, pods: 3, replicated: true, trouble: "no replica"}, 3, true, none, none, "no replica"},
		"down, back up":          {scalingFacts{desired: 3, exists: true, pods: 2, replicated: true, settled: true, ready: ready(0, 1), members: list("0* 1")}, 3, true, none, none, "adding control-plane-2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := nextStep(tc.facts)
			if got.pods != tc.pods || got.replicated != tc.replicated {
				t.Errorf("%d pods, replicated %v; want %d, %v", got.pods, got.replicated, tc.pods, tc.replicated)
			}
			if o := ordinalOrNone(got.lead); o != tc.lead {
				t.Errorf("lead = %d, want %d", o, tc.lead)
			}
			if o := ordinalOrNone(got.remove); o != tc.remove {
				t.Errorf("remove = %d, want %d", o, tc.remove)
			}
			if (got.waiting == "") != (tc.waiting == "") || !strings.Contains(got.waiting, tc.waiting) {
				t.Errorf("waiting = %q, want %q", got.waiting, tc.waiting)
			}
		})
	}
}

func ordinalOrNone(member *members.Member) int32 {
	if member == nil {
		return -1
	}
	return member.Ordinal
}

// TestNextStepIsSafe decides for everything that may be met: no pod of a member
// goes, and the data that is kept is in the first member.
func TestNextStepIsSafe(t *testing.T) {
	lists := [][]members.Member{nil}
	for _, text := range []string{"0*", "0* 1", "0 1*", "0* 1-", "0* 2", "0* 1 2", "0 1* 2", "0 1 2*", "0* 1 2-", "0* 1- 2", "1* 2", "1*"} {
		lists = append(lists, list(text))
	}
	checked := 0
	for _, desired := range []int32{1, 3} {
		for pods := range int32(4) {
			for mask := range 8 {
				for flags := range 8 {
					for _, known := range lists {
						facts := scalingFacts{desired: desired, pods: pods, exists: flags&1 != 0, replicated: flags&2 != 0, settled: flags&4 != 0, members: known}
						for ordinal := range min(pods, 3) {
							if mask&(1<<ordinal) != 0 {
								facts.ready = append(facts.ready, ordinal)
							}
						}
						checked++
						checkSafe(t, facts, nextStep(facts))
					}
				}
			}
		}
	}
	if checked < 1000 {
		t.Errorf("only %d combinations", checked)
	}
}

func checkSafe(t *testing.T, facts scalingFacts, step scalingStep) {
	t.Helper()
	if facts.exists && !facts.replicated && facts.pods > 1 {
		return // Nobody makes this: there is no way for several that are not replicated to agree.
	}
	if step.pods < 1 || step.pods > 3 {
		t.Errorf("%+v: %d pods", facts, step.pods)
	}
	if facts.exists && step.pods > facts.pods+1 && step.pods > facts.needed() {
		t.Errorf("%+v: from %d to %d pods at once", facts, facts.pods, step.pods)
	}
	if facts.members != nil && facts.replicated && step.pods < min(facts.pods, facts.needed()) {
		t.Errorf("%+v: %d pods, and a member loses its own", facts, step.pods)
	}
	if facts.members == nil && step.pods < facts.pods && facts.replicated {
		t.Errorf("%+v: pods go and nobody knows the members", facts)
	}
	if step.remove != nil && (step.remove.Ordinal == 0 || facts.desired != 1 || step.remove.Leader) {
		t.Errorf("%+v: removes %+v", facts, step.remove)
	}
	if !step.replicated && facts.exists && facts.replicated && (len(facts.members) != 1 || facts.members[0].Ordinal != 0 || facts.pods != 1) {
		t.Errorf("%+v: becomes a single one", facts)
	}
	if (step.lead != nil || step.remove != nil) && step.pods != facts.pods {
		t.Errorf("%+v: changes members and pods in one step", facts)
	}
}

// TestScalingEnds plays the cluster around the decisions: from any number to
// any other in a bounded number of steps, with a majority of the members
// running at all times.
func TestScalingEnds(t *testing.T) {
	for name, tc := range map[string]struct{ from, to, flipAt, leader int32 }{
		"up":                  {1, 3, -1, 0},
		"down":                {3, 1, -1, 0},
		"down, led by third":  {3, 1, -1, 2},
		"up, down at step 4":  {1, 3, 4, 0},
		"up, down at step 8":  {1, 3, 8, 0},
		"down, up at step 1":  {3, 1, 1, 2},
		"down, up at step 3":  {3, 1, 3, 1},
		"down, up at the end": {3, 1, 9, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(tc.from, tc.leader)
			desired := tc.to
			for step := range int32(40) {
				if step == tc.flipAt {
					desired = tc.from
				}
				w.step(t, desired)
			}
			if w.pods != desired || int32(len(w.voters)) != desired || w.replicated != (desired == 3) {
				t.Errorf("ended with %+v, want %d", w, desired)
			}
		})
	}
}

// world is a control plane whose pods do at once what they should: one thing each step.
type world struct {
	pods       int32
	replicated bool
	rolled     bool
	voters     map[int32]bool
	leader     int32
}

func newWorld(pods, leader int32) *world {
	w := &world{pods: pods, replicated: pods > 1, rolled: true, voters: map[int32]bool{}, leader: leader}
	for ordinal := range pods {
		w.voters[ordinal] = true
	}
	return w
}

func (w *world) step(t *testing.T, desired int32) {
	t.Helper()
	facts := scalingFacts{desired: desired, exists: true, pods: w.pods, replicated: w.replicated, settled: w.rolled}
	for ordinal := range w.pods {
		// Who has no vote is not ready: it waits, or is about to join.
		if w.voters[ordinal] {
			facts.ready = append(facts.ready, ordinal)
		} else {
			facts.settled = false
		}
	}
	if facts.asksMembers() {
		facts.members = []members.Member{}
		for ordinal := range int32(3) {
			if w.voters[ordinal] {
				facts.members = append(facts.members, members.Member{ID: uint64(ordinal), Ordinal: ordinal, Leader: ordinal == w.leader})
			}
		}
	}
	step := nextStep(facts)
	if step.lead != nil {
		w.leader = step.lead.Ordinal
	}
	if step.remove != nil {
		delete(w.voters, step.remove.Ordinal)
	}
	w.rolled = step.replicated == w.replicated
	// A pod that there was joins, if it is wanted; a new one only in the next step.
	for ordinal := range w.pods {
		if !w.voters[ordinal] && ordinal < desired && w.replicated {
			w.voters[ordinal] = true
			break
		}
	}
	w.pods, w.replicated = step.pods, step.replicated
	for ordinal := range w.voters {
		if ordinal >= w.pods {
			t.Fatalf("member %d has lost its pod: %+v", ordinal, w)
		}
	}
	if !w.voters[0] {
		t.Fatalf("the first member is none any more: %+v", w)
	}
}
