// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"net"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/utils/clock"
)

// leaseDuration is the Lease's, and how long an unrenewed one still counts as good.
const leaseDuration = 40 * time.Second

// health is what an agent knows of its Node.
type health struct {
	clock clock.PassiveClock
	// changed is called, without locks held, when Ready or the trouble changes.
	changed func()
	// started is when the agent began.
	started time.Time

	mu         sync.Mutex
	registered bool
	renewed    time.Time
	trouble    string
	told       Health // what changed was last called for
}

// Health is a snapshot of an agent's state.
type Health struct {
	// Ready: the Node is registered and its Lease was renewed recently.
	Ready bool
	// Trouble says why not. It is stable: repeated failures say the same.
	Trouble string
	// Starting: it is not known yet. The agent began less than a lease ago and
	// has met no trouble, so a lease that was good is still good.
	Starting bool
}

func (h *health) get() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.snapshot()
}

func (h *health) snapshot() Health {
	if h.registered && h.clock.Since(h.renewed) <= leaseDuration {
		return Health{Ready: true}
	}
	starting := h.trouble == "" && (!h.registered || h.renewed.IsZero()) && h.clock.Since(h.started) <= leaseDuration
	return Health{Trouble: h.trouble, Starting: starting}
}

// update applies change and tells if the outcome is another than was told
// before. Time alone may have changed it since: a lease grows old.
func (h *health) update(change func()) {
	h.mu.Lock()
	change()
	now := h.snapshot()
	news := now != h.told
	h.told = now
	h.mu.Unlock()
	if news {
		h.changed()
	}
}

// setRegistered notes that the Node is as it should be.
func (h *health) setRegistered() {
	h.update(func() { h.registered = true })
}

// observeRenewal notes how a renewal of the Lease went.
func (h *health) observeRenewal(err error) {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return // the library answers these by creating or reading it
	}
	h.update(func() {
		if err == nil {
			h.renewed, h.trouble = h.clock.Now(), ""
			return
		}
		h.trouble = describe(err)
	})
}

// setTrouble notes that an attempt to register failed.
func (h *health) setTrouble(err error) {
	h.update(func() { h.trouble = describe(err) })
}

// describe says what is wrong in words that stay the same while it is: ports
// and times that are different in each attempt would make each a change.
func describe(err error) string {
	var status apierrors.APIStatus
	var timeout net.Error
	switch {
	case errors.As(err, &status):
		return "the API server refuses: " + string(apierrors.ReasonForError(err))
	case utilnet.IsConnectionRefused(err):
		return "the API server refuses connections"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the API server does not answer"
	default:
		return "the API server cannot be reached"
	}
}
