// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"
)

// Situation is all that decides how a replica starts.
type Situation struct {
	// Replicated: the database has several members. Otherwise this is the only one.
	Replicated bool
	// Ordinal of this replica.
	Ordinal int
	// Disk is what its volume holds.
	Disk Disk
	// Intent is what the manager wants.
	Intent Intent
	// Others is what the other members answered; it is looked at only if AskOthers says so.
	Others Answer
}

// Answer is what asking the other members has brought.
type Answer struct {
	// Membership is their list, if Err is nil.
	Membership Membership
	// Err wraps ErrSilent or ErrNoMajority.
	Err error
}

// exists reports whether the answer proves that there is a database.
func (a Answer) exists() bool { return !errors.Is(a.Err, ErrSilent) }

// AskOthers reports whether the decision depends on the other members.
func (s Situation) AskOthers() bool { return s.Replicated && !s.Disk.Removed }

// Action is how a replica starts.
type Action int

// Actions.
const (
	// Start the database that is on the volume.
	Start Action = iota
	// Create a database of which this is the only member.
	Create
	// Join the database of the others as a new member, with an empty volume.
	Join
	// MarkRemoved: remember that the others have removed this member, and decide again.
	MarkRemoved
	// Wait until the intent changes, and decide again.
	Wait
	// Refuse to start: a person has to act.
	Refuse
)

// Decision is an action with its reason, for the log.
type Decision struct {
	Action Action
	Reason string
}

// remedy ends every refusal for want of a database.
const remedy = "restore its volume, or, if the data may be lost, annotate the VirtualCluster with " +
	"tenancy.virtualcluster.io/allow-empty-database=<now, RFC 3339>; see docs/operators.md"

// Decide says how the replica starts. It is pure.
func Decide(s Situation) Decision {
	switch {
	case s.Disk.Removed:
		return s.removed()
	case s.Disk.Data:
		return s.withData()
	case s.Replicated:
		return s.emptyOfSeveral()
	default:
		return s.emptyAlone()
	}
}

// removed: what the volume holds must never vote again, also not alone.
func (s Situation) removed() Decision {
	switch {
	case !s.Replicated:
		return Decision{Refuse, "this member was removed from the database, so its data is not the newest: start another one, or " + remedy}
	case s.Intent.Revision == s.Disk.RemovedAt:
		return Decision{Wait, "this member was removed from the database"}
	case !s.Intent.wants(s.Ordinal):
		return Decision{Wait, "this member was removed from the database, and is not wanted"}
	default:
		return Decision{Join, "this member was removed from the database, and is wanted again"}
	}
}

func (s Situation) withData() Decision {
	identity := s.Disk.Identity
	switch {
	case !s.Replicated:
		return Decision{Start, "the volume holds the database"}
	case s.Others.Err != nil || identity == nil:
		// Were it removed, the others would refuse it, and it would find out then.
		return Decision{Start, "the volume holds a member of the database"}
	case s.Others.Membership.Cluster != identity.Cluster:
		return Decision{Refuse, fmt.Sprintf("the other members have database %x, and this volume holds a member of database %x: "+
			"nothing is removed before a person has looked; to join theirs, empty this volume", s.Others.Membership.Cluster, identity.Cluster)}
	case !s.Others.Membership.Has(identity.Member):
		return Decision{MarkRemoved, "the other members have removed this one"}
	default:
		return Decision{Start, "the volume holds a member of the database"}
	}
}

func (s Situation) emptyOfSeveral() Decision {
	switch {
	case !s.Intent.wants(s.Ordinal):
		return Decision{Wait, "this member is not wanted"}
	case s.Others.exists():
		return Decision{Join, "the other members have a database"}
	case s.Ordinal == 0 && s.mayCreate():
		return Decision{Create, "there is no database yet"}
	default:
		return Decision{Join, "another member has the database"}
	}
}

func (s Situation) emptyAlone() Decision {
	if s.mayCreate() {
		return Decision{Create, "there is no database yet"}
	}
	return Decision{Refuse, "the database is gone, and a new one would be empty: " + remedy}
}

// mayCreate: if nobody says anything, a volume that once held a running
// database is one that has lost it.
func (s Situation) mayCreate() bool {
	return s.Intent.Bootstrap == Allowed || s.Intent.Bootstrap == Unsaid && s.Disk.Identity == nil
}
