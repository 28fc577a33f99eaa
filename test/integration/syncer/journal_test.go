// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// op is what a write did.
type op string

const (
	created op = "create"
	updated op = "update"
	deleted op = "delete"
	// unknown is how counts names writes whose fate nobody knows.
	unknown op = "unknown"
)

// objectKey names an object of a tenant.
type objectKey struct{ tenant, kind, namespace, name string }

func (k objectKey) String() string {
	return fmt.Sprintf("%s %s %s/%s", k.tenant, k.kind, k.namespace, k.name)
}

// entry is one write of a client. It was acknowledged by the API server, or
// nobody knows what became of it; a write that was refused is no entry.
type entry struct {
	op       op
	key      objectKey
	uid      types.UID
	version  string // resource version
	revision string // what the client wrote into the object
	unknown  bool
	at       time.Time
}

// journal is what clients wrote, in the order of each object. It is safe for
// concurrent use; each object has one writer.
type journal struct {
	mu      sync.Mutex
	entries []entry
	acked   int
	// chronicle is nil or says what both sides showed of pods meanwhile.
	chronicle *chronicle
}

func (j *journal) add(e entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
	if !e.unknown {
		j.acked++
	}
}

// story returns what is known about one object: what was written, and what
// both sides showed of it. The caller holds no lock of the chronicle.
func (j *journal) story(key objectKey) string {
	var lines []string
	for _, e := range j.entries {
		if e.key == key {
			lines = append(lines, fmt.Sprintf("  %s wrote: %s %s (unknown: %v)", e.at.Format(time.StampMilli), e.op, e.uid, e.unknown))
		}
	}
	lines = lines[max(0, len(lines)-12):]
	if j.chronicle != nil {
		for _, line := range j.chronicle.last(key) {
			lines = append(lines, "  "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// acknowledged returns how many writes were acknowledged.
func (j *journal) acknowledged() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.acked
}

// counts says how many acknowledged entries there are of each operation.
func (j *journal) counts() map[op]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	counts := map[op]int{}
	for _, e := range j.entries {
		if e.unknown {
			counts[unknown]++
		} else {
			counts[e.op]++
		}
	}
	return counts
}

// tenantImage is an object as its tenant sees it.
type tenantImage struct {
	uid      types.UID
	revision string
	status   string
	// wanted says that the super cluster must have it.
	wanted bool
}

// superImage is an object of the super cluster that carries the stamp of key.
type superImage struct {
	key      objectKey
	owner    types.UID
	revision string
	status   string
	// attached says that it belongs to the pod of key, and stands for no object.
	attached bool
}

// worldState is everything at rest.
type worldState struct {
	tenant map[objectKey]tenantImage
	super  []superImage
	// runs is how many super pods there ever were for a tenant's pod.
	runs map[types.UID]int
}

// The classes of defects.
const (
	lost        = "lost"
	duplicate   = "duplicate"
	resurrected = "resurrected"
	orphan      = "orphan"
)

// defect is a promise that was broken.
type defect struct {
	class  string
	key    objectKey
	detail string
}

// check compares what clients were promised with what is there at rest. It
// knows nothing of how the syncer works.
func check(entries []entry, state worldState) []defect {
	defects := append(checkJournal(entries, state), checkTwins(state)...)
	return append(defects, checkSuper(state)...)
}

// checkJournal: the last acknowledged write of each object is what its tenant
// sees, and what was deleted is nowhere.
func checkJournal(entries []entry, state worldState) []defect {
	last, gone := map[objectKey]entry{}, map[types.UID]bool{}
	for _, e := range entries {
		last[e.key] = e
		if e.op == deleted && !e.unknown {
			gone[e.uid] = true
		}
	}
	var defects []defect
	for _, key := range slices.SortedFunc(maps.Keys(last), compareKeys) {
		e := last[key]
		image, exists := state.tenant[key]
		switch {
		case exists && gone[image.uid]:
			defects = append(defects, defect{resurrected, key, fmt.Sprintf("the tenant has %s, which it deleted", image.uid)})
		case e.unknown:
		case e.op == deleted && exists:
			defects = append(defects, defect{resurrected, key, fmt.Sprintf("the tenant has %s after its deletion", image.uid)})
		case e.op != deleted && !exists:
			defects = append(defects, defect{lost, key, "the tenant's object is gone"})
		case e.op != deleted && (image.uid != e.uid || image.revision != e.revision):
			defects = append(defects, defect{lost, key, fmt.Sprintf("the tenant sees %+v, written was %+v", image, e)})
		}
	}
	for _, super := range state.super {
		if gone[super.owner] {
			defects = append(defects, defect{resurrected, super.key, "the super cluster has what the tenant deleted"})
		}
	}
	return defects
}

// checkTwins: each tenant object that the super cluster must have is there
// once, as the tenant wants it, and its status is back.
func checkTwins(state worldState) []defect {
	twins, attachments := map[types.UID][]superImage{}, map[types.UID]int{}
	for _, super := range state.super {
		if super.attached {
			attachments[super.owner]++
			continue
		}
		twins[super.owner] = append(twins[super.owner], super)
	}
	var defects []defect
	for _, key := range slices.SortedFunc(maps.Keys(state.tenant), compareKeys) {
		image := state.tenant[key]
		if !image.wanted {
			continue
		}
		switch own := twins[image.uid]; {
		case len(own) == 0:
			defects = append(defects, defect{lost, key, "it is not in the super cluster"})
		case own[0].revision != image.revision:
			defects = append(defects, defect{lost, key, fmt.Sprintf("revision %q, in the super cluster %q", image.revision, own[0].revision)})
		case own[0].status != image.status:
			defects = append(defects, defect{lost, key, fmt.Sprintf("status %q, in the super cluster %q", image.status, own[0].status)})
		case key.kind == kindPod && attachments[image.uid] == 0:
			defects = append(defects, defect{lost, key, "its token is not in the super cluster"})
		}
	}
	return defects
}

// checkSuper: nothing in the super cluster is there twice or stands for nothing.
func checkSuper(state worldState) []defect {
	var defects []defect
	type identity struct {
		kind     string
		owner    types.UID
		attached bool
	}
	seen := map[identity]bool{}
	for _, super := range state.super {
		id := identity{super.key.kind, super.owner, super.attached}
		if seen[id] {
			defects = append(defects, defect{duplicate, super.key, fmt.Sprintf("two super objects stand for %s", super.owner)})
		}
		seen[id] = true
		switch image, exists := state.tenant[super.key]; {
		case !exists:
			defects = append(defects, defect{orphan, super.key, "the tenant has no such object"})
		case image.uid != super.owner:
			defects = append(defects, defect{orphan, super.key, fmt.Sprintf("it stands for %s, the tenant has %s", super.owner, image.uid)})
		case !image.wanted && !super.attached:
			defects = append(defects, defect{orphan, super.key, "nothing in the tenant asks for it"})
		}
	}
	for uid, times := range state.runs {
		if times > 1 {
			defects = append(defects, defect{duplicate, objectKey{kind: kindPod, name: string(uid)}, fmt.Sprintf("it ran %d times", times)})
		}
	}
	return defects
}

func compareKeys(a, b objectKey) int {
	switch sa, sb := a.String(), b.String(); {
	case sa < sb:
		return -1
	case sa > sb:
		return 1
	}
	return 0
}

// classes counts defects by their class.
func classes(defects []defect) map[string]int {
	counts := map[string]int{}
	for _, d := range defects {
		counts[d.class]++
	}
	return counts
}
