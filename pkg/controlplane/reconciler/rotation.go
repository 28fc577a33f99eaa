// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"slices"
	"time"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// maxTrustDelay is the longest that a new generation waits before it signs.
const maxTrustDelay = 5 * time.Minute

// generation is what a rotation has to know of one generation of authorities.
type generation struct {
	number int32
	// created is when it was made, to the second; renewAt, when it is due to be replaced.
	created, renewAt time.Time
}

// rotationInput is all that a rotation depends on. Nothing else is remembered:
// who takes over in the middle of one comes to the same.
type rotationInput struct {
	// generations that there are, by number. At least one.
	generations []generation
	// now, by the clock that made the generations.
	now time.Time
	// requested is AnnotationRotateAuthorities, zero if nobody asks.
	requested time.Time
	// overlap is how long the old are trusted beside the new.
	overlap time.Duration
	// signing is the generation that signs by the files that the control plane
	// was last given, and trusted are those that they accept. Zero and none if
	// there are no files.
	signing int32
	trusted []int32
	// rolledOut says that every replica and every client works with those files.
	rolledOut bool
}

// rotationPlan is how things should be now.
type rotationPlan struct {
	// trusted are the generations that the control plane accepts.
	trusted []int32
	// known are the generations that clients accept: those that are trusted
	// and, as long as a replica may be certified by it, the one before.
	known []int32
	// signing is the generation that certifies clients and signs tokens, serving
	// the one that certifies the API server.
	signing, serving int32
	// create is a generation to create first. Zero means none.
	create int32
	// remove are generations that nothing needs any more.
	remove []int32
	// wake is when time alone changes the plan. Zero means never.
	wake time.Time
}

// planRotation decides where a rotation stands. It has four steps, of which
// each begins only when the one before has reached every replica and client:
//
//  1. a new generation is there and trusted beside the old;
//  2. after a delay it signs: clients' certificates, tokens, users. The API
//     server itself keeps a certificate of the old: whoever was given the
//     authorities before the rotation knows no other, and goes on for the overlap;
//  3. at the end of the overlap the old is trusted no longer;
//  4. its Secret is deleted, and clients forget it.
//
// How far steps 2 and 3 have come is read off the files, not off the clock: a
// clock that is set back does not undo them. There are never more than two
// generations on the way: who asks during a rotation gets the next one after it.
func planRotation(in rotationInput) rotationPlan {
	newest := in.generations[len(in.generations)-1]
	if len(in.generations) == 1 {
		return settledPlan(in, newest)
	}
	all := make([]int32, 0, len(in.generations))
	for _, one := range in.generations {
		all = append(all, one.number)
	}
	if in.signing != newest.number {
		return trustingPlan(in, newest, all)
	}
	return signingPlan(in, newest, all)
}

// trustingPlan is the plan until the newest generation signs, steps 1 and 2.
func trustingPlan(in rotationInput, newest generation, all []int32) rotationPlan {
	plan := rotationPlan{trusted: all, known: all, signing: newest.number, serving: all[0]}
	delayed := newest.created.Add(min(maxTrustDelay, in.overlap/4))
	if in.rolledOut && slices.Contains(in.trusted, newest.number) && !in.now.Before(delayed) {
		return plan
	}
	plan.signing = in.signing
	if !slices.Contains(all, in.signing) {
		// The files are lost. The control plane may still run with them.
		plan.signing = all[len(all)-2]
	}
	plan.wake = later(delayed, in.now)
	return plan
}

// signingPlan is the plan from when the newest generation signs, steps 2 to 4.
func signingPlan(in rotationInput, newest generation, all []int32) rotationPlan {
	plan := rotationPlan{trusted: all, known: all, signing: newest.number, serving: all[0]}
	dropped := slices.Equal(in.trusted, []int32{newest.number})
	ends := newest.created.Add(in.overlap)
	if !dropped && (!in.rolledOut || in.now.Before(ends)) {
		plan.wake = later(ends, in.now)
		return plan
	}
	plan.trusted, plan.serving = []int32{newest.number}, newest.number
	if dropped && in.rolledOut {
		plan.known, plan.remove = plan.trusted, all[:len(all)-1]
	}
	return plan
}

// settledPlan is the plan without a rotation under way. One begins only when
// everything is in order, so that two changes do not get into each other's way.
func settledPlan(in rotationInput, only generation) rotationPlan {
	plan := rotationPlan{
		trusted: []int32{only.number}, known: []int32{only.number}, signing: only.number, serving: only.number,
	}
	due := only.renewAt
	if in.requested.After(only.created) && in.requested.Before(due) {
		due = in.requested
	}
	plan.wake = later(due, in.now)
	if plan.wake.IsZero() && in.rolledOut {
		plan.create = only.number + 1
	}
	return plan
}

// later returns at if it is after now, else zero.
func later(at, now time.Time) time.Time {
	if at.After(now) {
		return at
	}
	return time.Time{}
}

// requestedRotation returns the time in AnnotationRotateAuthorities, to the
// second, as the times of generations are: asked and made within one second is
// made. problem says why the annotation has no effect, if it has none.
func requestedRotation(virtualCluster *tenancyv1alpha1.VirtualCluster, now time.Time) (requested time.Time, problem string) {
	value, ok := virtualCluster.Annotations[tenancyv1alpha1.AnnotationRotateAuthorities]
	if !ok {
		return time.Time{}, ""
	}
	requested, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Sprintf(rotationRemark+"%q is not a time like %s: the authorities are not rotated",
			cut(value, maxAnnotation), exampleTime)
	}
	requested = requested.Truncate(time.Second)
	if requested.After(now) {
		problem = fmt.Sprintf(rotationRemark+"%s is in the future: the authorities are not rotated before", value)
	}
	return requested, problem
}

const (
	// maxAnnotation is how much of an annotation a message shows, in bytes.
	maxAnnotation = 64
	// rotationRemark begins every remark on the annotation.
	rotationRemark = "annotation " + tenancyv1alpha1.AnnotationRotateAuthorities + ": "
	exampleTime    = "2027-03-01T12:00:00Z"
)
