// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"
)

// progress tells what happens, a line a step, each with the time it took.
type progress struct {
	out     io.Writer
	clock   clock.PassiveClock
	began   time.Time
	changes int
}

func newProgress(out io.Writer, passive clock.PassiveClock) *progress {
	return &progress{out: out, clock: passive, began: passive.Now()}
}

// step runs fn and tells how long it took. fn reports whether it changed
// anything; a step that did not is not worth a line.
func (p *progress) step(name string, fn func() (changed bool, err error)) error {
	began := p.clock.Now()
	changed, err := fn()
	if err != nil {
		fmt.Fprintf(p.out, "%-34s failed after %s\n", name, seconds(p.clock.Since(began)))
		return err
	}
	if changed {
		p.changes++
		fmt.Fprintf(p.out, "%-34s %6s\n", name, seconds(p.clock.Since(began)))
	}
	return nil
}

func (p *progress) total() string { return seconds(p.clock.Since(p.began)) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
