// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	replaced = tenancyv1alpha1.ReasonTenantReplaced
	wentBack = tenancyv1alpha1.ReasonTenantWentBack
	many     = tenancyv1alpha1.ReasonManyObjectsGone
)

// TestWhatHoldsDeletions is the decision table of the design.
func TestWhatHoldsDeletions(t *testing.T) {
	var policy BrakePolicy
	policy.setDefaults()
	cases := map[string]struct {
		evidence evidence
		want     string
	}{
		"nothing is absent":                      {evidence{total: 100}, ""},
		"nothing is absent from another cluster": {evidence{total: 100, replaced: true, wentBack: true}, ""},
		"few":                                    {evidence{total: 100, orphans: 30}, ""},
		"many":                                   {evidence{total: 100, orphans: 31}, many},
		"all of a small tenant":                  {evidence{total: 10, orphans: 10}, ""},
		"all of one that is not so small":        {evidence{total: 11, orphans: 11}, many},
		"a thousand of many thousands":           {evidence{total: 4000, orphans: 1000}, ""},
		"one, and the database went back":        {evidence{total: 100, orphans: 1, wentBack: true}, wentBack},
		"one, of another cluster":                {evidence{total: 100, orphans: 1, replaced: true}, replaced},
		"all of another, older cluster":          {evidence{total: 100, orphans: 100, replaced: true, wentBack: true}, replaced},
		"many, and the database went back":       {evidence{total: 100, orphans: 99, wentBack: true}, wentBack},
		"more than there can be is no excuse":    {evidence{total: 0, orphans: 11}, many},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := policy.judge(tc.evidence); got != tc.want {
				t.Errorf("reason %q, want %q", got, tc.want)
			}
		})
	}
}

func newTestBrake() (*brake, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	return newBrake(BrakePolicy{}, clock), clock
}

func key(name string) orphanKey { return orphanKey{"Pod", req("", name).NamespacedName} }

// TestAnAbsenceMustLast: it is believed after a while, on evidence that is newer than that.
func TestAnAbsenceMustLast(t *testing.T) {
	b, clock := newTestBrake()
	if got := b.mayRemove(key("a")); got != (answer{wait: settleTime}) {
		t.Errorf("at once: %+v", got)
	}
	b.update(clock.Now(), evidence{total: 100, orphans: 1}, HoldRecord{})
	clock.Step(settleTime)
	if got := b.mayRemove(key("a")); got != (answer{judge: true}) {
		t.Errorf("on old evidence: %+v", got)
	}
	b.update(clock.Now(), evidence{total: 100, orphans: 1}, HoldRecord{})
	if got := b.mayRemove(key("a")); got != (answer{}) {
		t.Errorf("on new evidence: %+v", got)
	}
	b.mayRemove(key("b"))
	b.present(key("b"))
	clock.Step(time.Hour)
	if got := b.mayRemove(key("b")); got != (answer{wait: settleTime}) {
		t.Errorf("absent for the second time: %+v", got)
	}
}

// TestHowAHoldEnds: by the return of the objects, by an operator's word that is
// not older than the hold, and, if nothing but the number spoke for it, by time.
func TestHowAHoldEnds(t *testing.T) {
	lost := evidence{total: 100, orphans: 60}
	cases := map[string]struct {
		first, then evidence
		after       time.Duration
		allowed     time.Duration // after the beginning of the hold; negative is before
		freed       bool
	}{
		"many, soon":                         {first: lost, then: lost, after: time.Minute, allowed: -1},
		"many, when the grace is over":       {first: lost, then: lost, after: 10 * time.Minute, allowed: -1, freed: true},
		"many, and they are back":            {first: lost, then: evidence{total: 100}, after: time.Second, allowed: -1, freed: true},
		"many, and allowed":                  {first: lost, then: lost, after: time.Second, freed: true},
		"many, and an earlier hold allowed":  {first: lost, then: lost, after: time.Second, allowed: -time.Second},
		"less than many by now":              {first: lost, then: evidence{total: 100, orphans: 5}, after: time.Minute, allowed: -1},
		"older, for ever":                    {first: evidence{total: 9, orphans: 1, wentBack: true}, then: evidence{total: 9, orphans: 1}, after: 99 * time.Hour, allowed: -1},
		"older, and allowed":                 {first: evidence{total: 9, orphans: 1, wentBack: true}, then: evidence{total: 9, orphans: 1}, after: time.Hour, allowed: time.Second, freed: true},
		"another cluster, for ever":          {first: evidence{total: 9, orphans: 1, replaced: true}, then: lost, after: 99 * time.Hour, allowed: -1},
		"many, and another cluster after it": {first: lost, then: evidence{total: 100, orphans: 60, replaced: true}, after: time.Hour, allowed: -1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b, clock := newTestBrake()
			began := clock.Now()
			b.update(clock.Now(), tc.first, HoldRecord{})
			if hold := b.held(); hold == nil || !hold.Since.Equal(began) || hold.Message == "" {
				t.Fatalf("hold %+v", hold)
			}
			if got := b.mayRemove(key("a")); !got.held {
				t.Errorf("a deletion goes on: %+v", got)
			}
			if got := b.mayTidy(key("used by what is lost")); !got.held {
				t.Errorf("what the lost objects use goes: %+v", got)
			}
			clock.Step(tc.after)
			freed := b.update(clock.Now(), tc.then, HoldRecord{Allowed: began.Add(tc.allowed)})
			if freed != tc.freed || (b.held() == nil) != tc.freed {
				t.Errorf("freed %v, held %+v", freed, b.held())
			}
		})
	}
}

// TestAHoldOutlivesTheProcess: what another process found goes on, though its evidence has faded.
func TestAHoldOutlivesTheProcess(t *testing.T) {
	b, clock := newTestBrake()
	since := clock.Now().Add(-time.Hour)
	b.update(clock.Now(), evidence{total: 100, orphans: 1}, HoldRecord{Reason: wentBack, Since: since})
	if hold := b.held(); hold == nil || hold.Reason != wentBack || !hold.Since.Equal(since) {
		t.Fatalf("hold %+v", hold)
	}
	if !b.update(clock.Now(), evidence{total: 100, orphans: 1}, HoldRecord{Reason: wentBack, Since: since, Allowed: since}) {
		t.Error("the operator's word counts for nothing")
	}
	b.update(clock.Now(), evidence{total: 99}, HoldRecord{Reason: wentBack, Since: since, Allowed: since})
	b.update(clock.Now(), evidence{total: 99, orphans: 1, replaced: true}, HoldRecord{Reason: wentBack, Since: since, Allowed: since})
	if b.held() == nil {
		t.Error("what was allowed for one loss is allowed for the next")
	}
}

// TestSeveralLossesAreOne: what was removed lately without a witness counts, and
// what a hold has let go does not.
func TestSeveralLossesAreOne(t *testing.T) {
	b, clock := newTestBrake()
	remove := func(names ...string) {
		for _, name := range names {
			b.mayRemove(key(name))
		}
		clock.Step(settleTime)
		b.update(clock.Now(), evidence{total: 40, orphans: len(names)}, HoldRecord{})
		for _, name := range names {
			if got := b.mayRemove(key(name)); got != (answer{}) {
				t.Fatalf("%s: %+v", name, got)
			}
		}
	}
	remove("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
	if got := b.withRemoved(evidence{total: 30, orphans: 9}); got != (evidence{total: 40, orphans: 19}) {
		t.Errorf("evidence %+v", got)
	}
	if got := b.withRemoved(evidence{total: 30}); got != (evidence{total: 30}) {
		t.Errorf("nothing is absent: %+v", got)
	}
	clock.Step(11 * time.Minute)
	if got := b.withRemoved(evidence{total: 30, orphans: 9}); got != (evidence{total: 30, orphans: 9}) {
		t.Errorf("after a while: %+v", got)
	}
}
