// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"slices"

	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
)

// scalingFacts is all that decides how the number of members changes next.
type scalingFacts struct {
	// desired is how many members there are to be: 1 or 3.
	desired int32
	// exists: there is a StatefulSet. The next three are about it.
	exists bool
	// pods is how many it has. Without one: of how many members there are volumes.
	pods int32
	// replicated: its pods run as members of several.
	replicated bool
	// settled: every pod is as the StatefulSet asks for, and ready.
	settled bool
	// ready are the ordinals of the pods that are ready.
	ready []int32
	// members of the database, nil if it was not asked; trouble is why not.
	members []members.Member
	trouble string
	// before is how many members there were when it was last asked.
	before int32
}

// scalingStep is what is to be done next. Whatever it is, it is safe to do it
// again, and to stop before or after it.
type scalingStep struct {
	// pods and replicated are what the StatefulSet is to be.
	pods       int32
	replicated bool
	// lead is the member that is to be given the lead, remove the one that is to
	// be taken out of the database; nil: none. The facts must be gathered anew after it.
	lead, remove *members.Member
	// waiting says how far it is; empty: as many as desired.
	waiting string
}

// asksMembers reports whether the next step depends on the members of the
// database: while their number changes, and when a replica is down, which may
// be because it is no member any more.
func (f scalingFacts) asksMembers() bool {
	return f.exists && f.replicated && (f.desired == 1 || f.desired != f.pods || int32(len(f.ready)) < f.pods)
}

// nextStep decides the next step of scaling. It is pure, and knows no history:
// each step is decided from what is.
//
// Up: first the one replica starts again as one of several, so that others can
// reach its database. Then one pod is added at a time, when all that there are
// have a vote and are ready; a pod adds itself to the database.
//
// Down: a member is taken out of the database before its pod goes, since two of
// two members cannot lose one. What a pod without membership holds is of no use.
func nextStep(f scalingFacts) scalingStep {
	switch {
	case !f.exists:
		return stepFirst(f)
	case f.desired == 1:
		return stepDown(f)
	default:
		return stepUp(f)
	}
}

// stepFirst makes the StatefulSet. If somebody has deleted an earlier one, it
// must not begin with fewer pods than there are members: the volumes of the
// others would go.
func stepFirst(f scalingFacts) scalingStep {
	step := scalingStep{pods: max(f.pods, 1)}
	step.replicated = step.pods > 1 || f.desired > 1
	if step.pods != f.desired {
		step.waiting = progress(f, "waiting for the first replica")
	}
	return step
}

func stepUp(f scalingFacts) scalingStep {
	step := scalingStep{pods: max(f.pods, f.needed()), replicated: true}
	switch {
	case !f.replicated:
		step.waiting = progress(f, "the first replica starts again as one of several")
	case f.pods >= f.desired && (f.members == nil || f.voters() >= f.desired):
		step.pods = f.desired
	case f.members == nil:
		step.waiting = progress(f, f.trouble)
	case !f.settled || f.voters() < f.pods:
		step.waiting = progress(f, "waiting for the others to be ready: "+f.describeMembers())
	default:
		step.pods = min(f.pods+1, f.desired)
		step.waiting = progress(f, "adding "+component.MemberName(step.pods-1))
	}
	return step
}

func stepDown(f scalingFacts) scalingStep {
	step := scalingStep{pods: max(f.pods, f.needed()), replicated: f.replicated}
	if !f.replicated {
		step.pods = 1
		return step
	}
	if f.members == nil {
		step.waiting = progress(f, f.trouble)
		return step
	}
	first, others := f.split()
	switch {
	case first == nil || !slices.Contains(f.ready, 0):
		step.waiting = progress(f, component.MemberName(0)+", which is to keep the data, must be ready first")
	case f.needed() > f.pods:
		step.waiting = progress(f, "bringing the pods of members back")
	case f.needed() < f.pods:
		step.pods = f.needed()
		step.waiting = progress(f, "removing the pods of former members")
	case len(others) == 0:
		// The last step: the one that is left starts again as the only one.
		step.replicated = false
	case !first.Leader:
		step.lead = first
		step.waiting = progress(f, "handing the lead over to "+component.MemberName(0))
	default:
		stepRemove(f, others, &step)
	}
	return step
}

// stepRemove takes out a member that is down before one that serves, so that
// those that are left can go on without it, and else the one with the highest ordinal.
func stepRemove(f scalingFacts, others []members.Member, step *scalingStep) {
	slices.SortFunc(others, func(a, b members.Member) int {
		aReady, bReady := slices.Contains(f.ready, a.Ordinal), slices.Contains(f.ready, b.Ordinal)
		if aReady != bReady {
			if bReady {
				return -1
			}
			return 1
		}
		return int(b.Ordinal - a.Ordinal)
	})
	victim := others[0]
	if !victim.Learner && f.voters() == 2 && !slices.Contains(f.ready, victim.Ordinal) {
		// Two of two must agree, also that one of them goes.
		step.waiting = progress(f, component.MemberName(victim.Ordinal)+" must be ready once more, to agree that it goes")
		return
	}
	step.remove = &victim
	step.waiting = progress(f, "taking "+component.MemberName(victim.Ordinal)+" out of the database")
}

// split returns the first member and the others.
func (f scalingFacts) split() (first *members.Member, others []members.Member) {
	for i := range f.members {
		if f.members[i].Ordinal == 0 {
			first = &f.members[i]
			continue
		}
		others = append(others, f.members[i])
	}
	return first, others
}

// needed is how many pods there must be for every member to have its own. Who
// takes pods away by hand must not take the majority, which alone could tell.
func (f scalingFacts) needed() int32 {
	needed := int32(1)
	if f.members == nil && f.replicated {
		needed = max(needed, min(f.before, component.MaxMembers))
	}
	for _, member := range f.members {
		needed = max(needed, min(member.Ordinal+1, component.MaxMembers))
	}
	return needed
}

func (f scalingFacts) voters() int32 {
	var voters int32
	for _, member := range f.members {
		if !member.Learner {
			voters++
		}
	}
	return voters
}

func (f scalingFacts) describeMembers() string {
	return fmt.Sprintf("%d of %d replicas are ready, %d vote", len(f.ready), f.pods, f.voters())
}

// progress says how far scaling is.
func progress(f scalingFacts, now string) string {
	return fmt.Sprintf("from %d to %d replicas: %s", max(f.pods, 1), f.desired, now)
}
