// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// settleTime is how long an absence that nobody saw begin must last before it
// is believed: a cache that is being replaced shows half of it first.
const settleTime = 2 * time.Second

// unusedTime is the same for an object that the tenant has and nothing refers to
// any more. It is longer: what referred to it may be part of a loss.
const unusedTime = 5 * time.Second

// judgedFor is how long evidence is good for.
const judgedFor = 10 * time.Second

// BrakePolicy says when the brake holds deletions. The zero value of a field
// stands for its default.
type BrakePolicy struct {
	// Percent of a tenant's super objects, and at least Minimum of them, may
	// lose their tenant's object unseen before their deletion is held. Default 30 and 10.
	Percent, Minimum int
	// Grace is how long deletions are held that are only many. Default 10 min.
	Grace time.Duration
}

func (p *BrakePolicy) setDefaults() {
	if p.Percent == 0 {
		p.Percent = 30
	}
	if p.Minimum == 0 {
		p.Minimum = 10
	}
	if p.Grace == 0 {
		p.Grace = 10 * time.Minute
	}
}

// Hold says that deletions of a tenant's super objects are held.
type Hold struct {
	// Reason is one of the reasons of tenancyv1alpha1.ConditionDeletionsSynced.
	Reason string
	// Message is for an operator: what was seen and what to do.
	Message string
	// Since is when it began. An operator who allows deletions names this time or a later one.
	Since time.Time
}

// HoldRecord is what the VirtualCluster says about the brake: what an earlier
// process, or replica, found, and what an operator has decided.
type HoldRecord struct {
	// Reason and Since are of a Hold that was in force; empty if there was none.
	Reason string
	Since  time.Time
	// Allowed is up to which Since an operator allows held deletions.
	Allowed time.Time
}

// evidence is what can be known about super objects whose tenant's object is
// absent, and whose deletion nobody saw.
type evidence struct {
	// total super objects, and orphans among them.
	total, orphans int
	// replaced: orphans come from a tenant cluster of another identity.
	replaced bool
	// wentBack: the tenant's database is older than what was synced from it.
	wentBack bool
}

// judge returns the reason to hold deletions, or "". This is the decision table
// of docs/designs/20261120-deletion-brake.md.
func (p BrakePolicy) judge(e evidence) string {
	switch {
	case e.orphans == 0:
		return ""
	case e.replaced:
		return tenancyv1alpha1.ReasonTenantReplaced
	case e.wentBack:
		return tenancyv1alpha1.ReasonTenantWentBack
	case p.tooMany(e.orphans, e.total):
		return tenancyv1alpha1.ReasonManyObjectsGone
	default:
		return ""
	}
}

func (p BrakePolicy) tooMany(orphans, total int) bool {
	return orphans > p.Minimum && orphans*100 > total*p.Percent
}

// weight orders the reasons of a hold: a stronger one replaces a weaker one,
// never the other way round, because the evidence of a loss fades while the
// tenant goes on writing.
func weight(reason string) int {
	switch reason {
	case tenancyv1alpha1.ReasonTenantReplaced:
		return 3
	case tenancyv1alpha1.ReasonTenantWentBack:
		return 2
	case tenancyv1alpha1.ReasonManyObjectsGone:
		return 1
	default:
		return 0
	}
}

// orphanKey names a super object by the tenant object that it stands for.
type orphanKey struct {
	kind string
	types.NamespacedName
}

// brake decides for one tenant whether super objects may be deleted because
// their tenant's objects are not there. It is safe for concurrent use.
type brake struct {
	policy BrakePolicy
	clock  clock.PassiveClock
	// judging is held while evidence is collected.
	judging sync.Mutex

	mu       sync.Mutex
	absent   map[orphanKey]time.Time // since when
	judged   time.Time               // when the evidence began to be collected
	adopted  bool                    // the record of an earlier process was looked at
	hold     *Hold
	released bool // hold has outlived its grace, or an operator allows it
	// removed counts deletions without a witness since windowStart: several
	// losses in a row are one.
	removed     int
	windowStart time.Time
}

func newBrake(policy BrakePolicy, c clock.PassiveClock) *brake {
	policy.setDefaults()
	return &brake{policy: policy, clock: c, absent: map[orphanKey]time.Time{}}
}

// answer is what the brake says about one deletion.
type answer struct {
	// wait is how long to wait before asking again; zero with the others.
	wait time.Duration
	// judge asks for evidence first.
	judge bool
	// held: not now. Everything is asked again when the hold ends.
	held bool
}

// mayRemove decides about a super object whose tenant's object is absent.
func (b *brake) mayRemove(key orphanKey) answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	believed := b.since(key, now).Add(settleTime)
	switch {
	case b.holding():
		return answer{held: true}
	case now.Before(believed):
		return answer{wait: believed.Sub(now)}
	case b.judged.Before(believed), now.Sub(b.judged) > judgedFor:
		return answer{judge: true}
	}
	delete(b.absent, key)
	if now.Sub(b.windowStart) > b.policy.Grace {
		b.removed, b.windowStart = 0, now
	}
	if b.hold == nil { // what a hold has let go is settled
		b.removed++
	}
	return answer{}
}

// mayTidy decides about a super object that the tenant has but does not use.
func (b *brake) mayTidy(key orphanKey) answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	due := b.since(key, now).Add(unusedTime)
	switch {
	case b.holding():
		return answer{held: true}
	case now.Before(due):
		return answer{wait: due.Sub(now)}
	}
	delete(b.absent, key)
	return answer{}
}

// present forgets that an object was absent or unused.
func (b *brake) present(key orphanKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.absent, key)
}

func (b *brake) since(key orphanKey, now time.Time) time.Time {
	since, ok := b.absent[key]
	if !ok {
		since = now
		b.absent[key] = since
	}
	return since
}

func (b *brake) holding() bool { return b.hold != nil && !b.released }

// held returns the hold in force, or nil.
func (b *brake) held() *Hold {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.holding() {
		return nil
	}
	hold := *b.hold
	return &hold
}

// withRemoved adds what was removed lately to what is absent now.
func (b *brake) withRemoved(e evidence) evidence {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clock.Now().Sub(b.windowStart) <= b.policy.Grace && e.orphans > 0 {
		e.orphans, e.total = e.orphans+b.removed, e.total+b.removed
	}
	return e
}

// update takes evidence that began to be collected at asked. It reports whether
// requests that were held may go on.
func (b *brake) update(asked time.Time, e evidence, record HoldRecord) (freed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.holding()
	b.judged = asked
	if !b.adopted && record.Reason != "" {
		b.hold = &Hold{Reason: record.Reason, Since: record.Since}
	}
	b.adopted = true
	reason := b.policy.judge(e)
	switch {
	case e.orphans == 0:
		b.hold, b.released = nil, false
	case b.hold == nil && reason != "":
		b.hold = &Hold{Reason: reason, Since: b.clock.Now().UTC().Truncate(time.Second)}
	case b.hold != nil && weight(reason) > weight(b.hold.Reason):
		b.hold.Reason = reason
	}
	if b.hold != nil {
		b.removed = 0
		b.released = !record.Allowed.Before(b.hold.Since) || b.outlived()
		b.hold.Message = b.message(e)
	}
	return was && !b.holding()
}

// outlived reports that a hold for numbers alone has lasted its grace. One that
// has evidence of a loss waits for an operator however long it takes.
func (b *brake) outlived() bool {
	return b.hold.Reason == tenancyv1alpha1.ReasonManyObjectsGone && b.clock.Since(b.hold.Since) >= b.policy.Grace
}

func (b *brake) message(e evidence) string {
	why := map[string]string{
		tenancyv1alpha1.ReasonTenantReplaced: "the tenant's API server serves another cluster than the one they came from",
		tenancyv1alpha1.ReasonTenantWentBack: "the tenant's database is older than what was synced from it, as after a restore",
		tenancyv1alpha1.ReasonManyObjectsGone: fmt.Sprintf("nobody was seen to delete them; they are deleted at %s",
			b.hold.Since.Add(b.policy.Grace).Format(time.RFC3339)),
	}[b.hold.Reason]
	return fmt.Sprintf("the objects of %d of %d super objects are gone from the tenant, and %s; to delete the super objects now, set the annotation %s=%s",
		e.orphans, e.total, why, tenancyv1alpha1.AnnotationAllowDeletions, b.hold.Since.Format(time.RFC3339))
}
