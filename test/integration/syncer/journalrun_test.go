// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/flowcontrol"
)

// journalPlan is the size of a run.
type journalPlan struct {
	writes, kills int
	// rate is how many writes a second the clients attempt together.
	rate float32
	seed uint64
}

// readJournalPlan: a short run by default, and the whole one with
// SYNCER_TEST=full. JOURNAL_SEED repeats the choices of an earlier run.
func readJournalPlan(t *testing.T) journalPlan {
	t.Helper()
	plan := journalPlan{writes: 2000, kills: 8, rate: 90, seed: rand.Uint64()} //nolint:gosec // printed, to be replayed.
	if full() {
		plan.writes, plan.kills = 20000, 50
	}
	if text := os.Getenv("JOURNAL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		must(t, err)
		plan.seed = seed
	}
	return plan
}

// full reports whether the long variants were asked for: SYNCER_TEST=full.
func full() bool { return os.Getenv("SYNCER_TEST") == "full" }

// TestJournal: clients in three tenants write while the syncer is killed (kill
// -9) at random points. At rest nothing that was acknowledged is lost (it is in
// the super cluster as written, and its status is back), nothing is there twice
// or ran twice, nothing that was deleted is back, and nothing stands for nothing.
func TestJournal(t *testing.T) {
	const tenantCount, writersPerTenant = 3, 4
	plan := readJournalPlan(t)
	t.Logf("%d writes, %d kills; repeat with JOURNAL_SEED=%d", plan.writes, plan.kills, plan.seed)
	e := newEnvironment(t)
	node := e.runFakeKubelet(t)
	tenants := e.addTenants(t, tenantCount)
	p := e.newProgram(t, nil)
	p.start(t)
	p.waitTenants(t, tenantCount)

	j := &journal{chronicle: e.follow(t, tenants)}
	pace := flowcontrol.NewTokenBucketRateLimiter(plan.rate, 10)
	began := time.Now()
	var clients sync.WaitGroup
	for i := range tenantCount * writersPerTenant {
		w := newWriter(tenants[i%tenantCount], j, pace, plan.seed, i)
		clients.Go(func() {
			if err := w.write(t.Context(), plan.writes); err != nil {
				t.Error(err)
			}
		})
	}
	inSync := killAtRandom(t, p, j, plan, tenantCount)
	clients.Wait()
	wrote := time.Since(began)
	rested := e.waitAtRest(t, tenants, j, node)
	counts := j.counts()
	t.Logf("journal: %d acknowledged writes (%d creations, %d updates, %d deletions; the fate of %d more is unknown) in %s, %d kills, %d of them of a syncer that was in sync; %d pods ran; at rest after %s: 0 lost, 0 duplicate, 0 resurrected, 0 orphans",
		j.acknowledged(), counts[created], counts[updated], counts[deleted], counts[unknown], wrote.Round(time.Second), plan.kills, inSync, len(node.timesRun()), rested.Round(time.Second))
	if least := 10 * plan.kills; counts[created] < least || counts[updated] < least || counts[deleted] < least {
		t.Errorf("the clients did too little for a proof: %v", counts)
	}
}

// addTenants starts so many control planes.
func (e *environment) addTenants(t *testing.T, n int) []*tenant {
	t.Helper()
	tenants := make([]*tenant, n)
	for i := range n {
		tenants[i] = e.addTenant(t, fmt.Sprintf("tenant-%d", i), fmt.Sprintf("10.112.%d.0/22", 4*i))
	}
	return tenants
}

// killAtRandom kills the syncer after random numbers of writes and starts it
// again. It returns how many of the kills met one that was in sync.
func killAtRandom(t *testing.T, p *program, j *journal, plan journalPlan, tenants int) (inSync int) {
	t.Helper()
	random := rand.New(rand.NewPCG(plan.seed, 1<<32)) //nolint:gosec // replayed by its seed.
	points := make([]int, plan.kills)
	for i := range points {
		points[i] = random.IntN(plan.writes)
	}
	slices.Sort(points)
	for _, point := range points {
		err := wait.PollUntilContextCancel(t.Context(), 5*time.Millisecond, true, func(context.Context) (bool, error) {
			return j.acknowledged() >= point, nil
		})
		must(t, err)
		if random.IntN(4) > 0 { // else it may die while it starts
			p.waitTenants(t, tenants)
			waitFor(t, time.Duration(random.IntN(300))*time.Millisecond)
		}
		if n, err := p.metric(t.Context(), "virtualcluster_syncer_tenants_synced"); err == nil && int(n) == tenants {
			inSync++
		}
		p.kill(t)
		p.start(t)
	}
	return inSync
}

// waitFor waits for a time that is part of the test.
func waitFor(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// waitAtRest waits until the checker finds nothing, and then looks again once
// nothing has been written for a while. It returns how long it took.
func (e *environment) waitAtRest(t *testing.T, tenants []*tenant, j *journal, node *kubelet) time.Duration {
	t.Helper()
	const limit, calm = 2 * time.Minute, 3 * time.Second
	began := time.Now()
	var defects []defect
	look := func(ctx context.Context) (bool, error) {
		state, err := e.readWorld(ctx, tenants, node.timesRun())
		if err != nil {
			return false, err
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		defects = check(j.entries, state)
		return len(defects) == 0, nil
	}
	report := func(err error) {
		if err != nil {
			t.Errorf("at rest: %v; %v", err, classes(defects))
			for _, d := range defects[:min(len(defects), 40)] {
				t.Errorf("%s: %s: %s\n%s", d.class, d.key, d.detail, j.story(d.key))
			}
			t.FailNow()
		}
	}
	report(wait.PollUntilContextTimeout(t.Context(), 500*time.Millisecond, limit, true, look))
	rested := time.Since(began)
	before := e.stamped(t, nil)
	waitFor(t, calm)
	calmly, err := look(t.Context())
	must(t, err)
	if !calmly {
		report(errStill)
	}
	if diff := cmpVersions(before, e.stamped(t, nil)); diff != "" {
		t.Errorf("something is still written at rest:\n%s", diff)
	}
	return rested
}
