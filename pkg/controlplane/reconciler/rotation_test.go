// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

var rotationEpoch = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	testOverlap = 8 * time.Minute // the new generation signs after 2
	testLife    = 1000 * time.Hour
)

// TestPlanRotation shows each decision by itself.
func TestPlanRotation(t *testing.T) {
	at := rotationEpoch.Add
	first := generation{number: 1, created: at(-100 * time.Hour), renewAt: at(testLife)}
	second := generation{number: 2, created: at(0), renewAt: at(2 * testLife)}
	one, both := []generation{first}, []generation{first, second}
	settled := rotationPlan{trusted: []int32{1}, known: []int32{1}, signing: 1, serving: 1}
	with := func(plan rotationPlan, change func(*rotationPlan)) rotationPlan {
		change(&plan)
		return plan
	}
	trusting := rotationPlan{trusted: []int32{1, 2}, known: []int32{1, 2}, signing: 1, serving: 1}
	signing := with(trusting, func(p *rotationPlan) { p.signing = 2 })
	dropping := rotationPlan{trusted: []int32{2}, known: []int32{1, 2}, signing: 2, serving: 2}
	done := with(dropping, func(p *rotationPlan) { p.known, p.remove = []int32{2}, []int32{1} })
	wakes := func(plan rotationPlan, when time.Time) rotationPlan {
		return with(plan, func(p *rotationPlan) { p.wake = when })
	}
	creates := with(settled, func(p *rotationPlan) { p.create = 2 })
	cases := map[string]struct {
		in   rotationInput
		want rotationPlan
	}{
		"nothing was made of it yet":     {rotationInput{generations: one, now: at(0)}, wakes(settled, at(testLife))},
		"nothing to do":                  {rotationInput{generations: one, now: at(0), signing: 1, trusted: []int32{1}, rolledOut: true}, wakes(settled, at(testLife))},
		"two thirds of its life":         {rotationInput{generations: one, now: at(testLife), signing: 1, trusted: []int32{1}, rolledOut: true}, creates},
		"asked for":                      {rotationInput{generations: one, now: at(0), requested: at(0), rolledOut: true}, creates},
		"asked for while not rolled out": {rotationInput{generations: one, now: at(0), requested: at(0)}, settled},
		"asked for in the future":        {rotationInput{generations: one, now: at(0), requested: at(time.Hour), rolledOut: true}, wakes(settled, at(time.Hour))},
		"asked for before it was made":   {rotationInput{generations: one, now: at(0), requested: first.created.Add(-1), rolledOut: true}, wakes(settled, at(testLife))},
		"asked for when it was made":     {rotationInput{generations: one, now: at(0), requested: first.created, rolledOut: true}, wakes(settled, at(testLife))},
		"made, and not trusted yet":      {rotationInput{generations: both, now: at(time.Hour), signing: 1, trusted: []int32{1}, rolledOut: true}, trusting},
		"trusted, too early":             {rotationInput{generations: both, now: at(time.Minute), signing: 1, trusted: []int32{1, 2}, rolledOut: true}, wakes(trusting, at(2*time.Minute))},
		"trusted, not rolled out":        {rotationInput{generations: both, now: at(time.Hour), signing: 1, trusted: []int32{1, 2}}, trusting},
		"trusted and rolled out":         {rotationInput{generations: both, now: at(2 * time.Minute), signing: 1, trusted: []int32{1, 2}, rolledOut: true}, signing},
		"signs":                          {rotationInput{generations: both, now: at(2 * time.Minute), signing: 2, trusted: []int32{1, 2}}, wakes(signing, at(testOverlap))},
		"signs, and the clock goes back": {rotationInput{generations: both, now: at(-time.Hour), signing: 2, trusted: []int32{1, 2}, rolledOut: true}, wakes(signing, at(testOverlap))},
		"signs, asked for another":       {rotationInput{generations: both, now: at(3 * time.Minute), requested: at(3 * time.Minute), signing: 2, trusted: []int32{1, 2}, rolledOut: true}, wakes(signing, at(testOverlap))},
		"the overlap ends":               {rotationInput{generations: both, now: at(testOverlap), signing: 2, trusted: []int32{1, 2}, rolledOut: true}, dropping},
		"it ends, not rolled out":        {rotationInput{generations: both, now: at(testOverlap), signing: 2, trusted: []int32{1, 2}}, signing},
		"dropped":                        {rotationInput{generations: both, now: at(testOverlap), signing: 2, trusted: []int32{2}}, dropping},
		"dropped, the clock goes back":   {rotationInput{generations: both, now: at(-time.Hour), signing: 2, trusted: []int32{2}}, dropping},
		"dropped and rolled out":         {rotationInput{generations: both, now: at(testOverlap), signing: 2, trusted: []int32{2}, rolledOut: true}, done},
		"the files are lost":             {rotationInput{generations: both, now: at(time.Hour), rolledOut: true}, trusting},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.in.overlap = testOverlap
			if diff := cmp.Diff(tc.want, planRotation(tc.in), cmp.AllowUnexported(rotationPlan{})); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// rotated plays everything that a rotation has to do with: what is stored, and
// what runs. It does what the reconciler does, write by write.
type rotated struct {
	now       time.Time
	requested time.Time
	stored    []generation
	created   map[int32]int
	files     rotatedFiles
	known     []int32
	// running are the files that the replicas run with.
	running rotatedFiles
	// crashAt ends a pass before its write of that number; zero does not.
	crashAt int
}

type rotatedFiles struct {
	signing, serving int32
	trusted          []int32
}

func newRotated() *rotated {
	files := rotatedFiles{signing: 1, serving: 1, trusted: []int32{1}}
	return &rotated{
		now: rotationEpoch, created: map[int32]int{1: 1}, files: files, running: files, known: []int32{1},
		stored: []generation{{number: 1, created: rotationEpoch.Add(-time.Hour), renewAt: rotationEpoch.Add(testLife)}},
	}
}

// plan is what the reconciler would do now.
func (r *rotated) plan() rotationPlan {
	return planRotation(rotationInput{
		generations: r.stored, now: r.now, requested: r.requested, overlap: testOverlap,
		signing: r.files.signing, trusted: r.files.trusted,
		rolledOut: cmp.Equal(r.files, r.running, cmp.AllowUnexported(rotatedFiles{})) && containsAll(r.known, r.files.trusted),
	})
}

// pass is one reconcile.
func (r *rotated) pass() {
	written := 0
	write := func(do func()) bool {
		if written++; written == r.crashAt {
			return false
		}
		do()
		return true
	}
	plan := r.plan()
	if plan.create != 0 {
		if !write(func() {
			r.created[plan.create]++
			r.stored = append(r.stored, generation{
				number: plan.create, created: r.now.Truncate(time.Second), renewAt: r.now.Add(testLife),
			})
		}) {
			return
		}
		plan = r.plan()
	}
	files := rotatedFiles{plan.signing, plan.serving, plan.trusted}
	if !cmp.Equal(files, r.files, cmp.AllowUnexported(rotatedFiles{})) && !write(func() { r.files = files }) {
		return
	}
	if !slices.Equal(plan.known, r.known) && !write(func() { r.known = plan.known }) {
		return
	}
	for _, number := range plan.remove {
		if !write(func() {
			r.stored = slices.DeleteFunc(r.stored, func(g generation) bool { return g.number == number })
		}) {
			return
		}
	}
}

func containsAll(list, wanted []int32) bool {
	return !slices.ContainsFunc(wanted, func(one int32) bool { return !slices.Contains(list, one) })
}

// check is what must hold at any moment, whatever was stopped where.
func (r *rotated) check(t *testing.T) {
	t.Helper()
	for _, running := range []rotatedFiles{r.running, r.files} {
		if !slices.Contains(r.known, running.serving) {
			t.Errorf("the API server shows a certificate of generation %d, clients know %v", running.serving, r.known)
		}
		for _, other := range []rotatedFiles{r.running, r.files} {
			if !slices.Contains(other.trusted, running.signing) {
				t.Errorf("generation %d signs in one replica, another trusts %v", running.signing, other.trusted)
			}
		}
	}
	if !slices.Contains(r.known, r.files.signing) {
		t.Errorf("vn-agent is shown a certificate of generation %d, and knows %v", r.files.signing, r.known)
	}
	for number, times := range r.created {
		if times != 1 {
			t.Errorf("generation %d was made %d times", number, times)
		}
	}
	if len(r.stored) == 0 || len(r.stored) > 2 {
		t.Errorf("there are %d generations", len(r.stored))
	}
}

// TestRotationStepByStep goes through whole rotations with a clock, in steps of
// half a minute, with a rollout that takes three of them, and a process that
// dies before each of its writes, or comes back with a clock that is wrong.
func TestRotationStepByStep(t *testing.T) {
	cases := map[string]struct {
		crashAt int
		// disturb is called before each step.
		disturb func(r *rotated, step int)
		// rollout is how many steps a change takes to reach every replica. Default 3.
		rollout int
		// want is the generation that is left.
		want int32
	}{
		"one":                   {want: 2},
		"crash at first write":  {crashAt: 1, want: 2},
		"crash at second write": {crashAt: 2, want: 2},
		"crash at third write":  {crashAt: 3, want: 2},
		"crash at fourth write": {crashAt: 4, want: 2},
		"rollouts that last longer than the overlap": {rollout: 20, want: 2},
		"two in a row": {want: 3, disturb: func(r *rotated, step int) {
			if step == 5 {
				r.requested = r.now
			}
		}},
		"clock goes back and forth": {want: 2, disturb: func(r *rotated, step int) {
			if step%7 == 3 {
				r.now = r.now.Add(-10 * time.Minute)
			}
			if step%7 == 4 {
				r.now = r.now.Add(10 * time.Minute)
			}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRotated()
			r.requested = r.now
			rollout := max(tc.rollout, 3)
			ends := map[int32]time.Duration{}
			for step := range 80 {
				r.now = r.now.Add(30 * time.Second)
				if tc.disturb != nil {
					tc.disturb(r, step)
				}
				// Every other process dies, each at its write.
				if r.crashAt = 0; step%2 == 0 {
					r.crashAt = tc.crashAt
				}
				r.pass()
				r.check(t)
				if step%rollout == rollout-1 {
					r.running = r.files
					r.check(t)
				}
				for _, number := range r.running.trusted {
					ends[number] = r.now.Sub(rotationEpoch)
				}
			}
			r.crashAt = 0
			last := rotatedFiles{tc.want, tc.want, []int32{tc.want}}
			if diff := cmp.Diff(last, r.running, cmp.AllowUnexported(rotatedFiles{})); diff != "" {
				t.Errorf("in the end (-want +got):\n%s", diff)
			}
			if len(r.stored) != 1 || !slices.Equal(r.known, []int32{tc.want}) {
				t.Errorf("left are %v, known %v", r.stored, r.known)
			}
			if most := testOverlap + time.Duration(rollout)*90*time.Second; ends[1] < testOverlap || ends[1] > most {
				t.Errorf("the old was trusted for %s, want %s and little more", ends[1], testOverlap)
			}
		})
	}
}

func TestRequestedRotation(t *testing.T) {
	cases := map[string]struct {
		annotation string
		want       time.Time
		wantAbout  string
	}{
		"none":           {},
		"a time":         {annotation: "2027-03-01T11:00:00Z", want: rotationEpoch.Add(-time.Hour)},
		"another zone":   {annotation: "2027-03-01T12:00:00+01:00", want: rotationEpoch.Add(-time.Hour)},
		"parts of it":    {annotation: "2027-03-01T11:00:00.9Z", want: rotationEpoch.Add(-time.Hour)},
		"now":            {annotation: "2027-03-01T12:00:00Z", want: rotationEpoch},
		"in the future":  {annotation: "2027-03-01T12:00:01Z", want: rotationEpoch.Add(time.Second), wantAbout: "is in the future"},
		"garbage":        {annotation: "tomorrow", wantAbout: `"tomorrow" is not a time like 2027`},
		"a lot of it":    {annotation: strings.Repeat("x", 10_000), wantAbout: "is not a time"},
		"without a zone": {annotation: "2027-03-01T11:00:00", wantAbout: "is not a time"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			virtualCluster := &tenancyv1alpha1.VirtualCluster{}
			if name != "none" {
				virtualCluster.ObjectMeta = metav1.ObjectMeta{Annotations: map[string]string{
					tenancyv1alpha1.AnnotationRotateAuthorities: tc.annotation,
				}}
			}
			got, problem := requestedRotation(virtualCluster, rotationEpoch)
			if !got.Equal(tc.want) || !strings.Contains(problem, tc.wantAbout) || (problem == "") != (tc.wantAbout == "") || len(problem) > 300 {
				t.Errorf("got %s and %q, want %s and %q", got, problem, tc.want, tc.wantAbout)
			}
		})
	}
}
