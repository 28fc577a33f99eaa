// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// profileLength is how much of a scenario its processor profile shows, from the
// moment at which its load on the syncer begins.
const profileLength = 10 * time.Second

// profileDirectory is where profiles of the syncer and the logs of all programs
// are to be kept; empty if they are not wanted.
func profileDirectory() string { return os.Getenv("BENCH_PROFILES") }

// profiles keeps profiles of a scenario, if they are wanted. start begins that of
// the processor; save waits for it, and takes the heap's and the locks'. A
// scenario that ends the syncer's process has only the latter two, of the last one.
func (w *world) profiles(b *testing.B, scenario string) (start, save func()) {
	b.Helper()
	if profileDirectory() == "" {
		return func() {}, func() {}
	}
	take := func(kind, query string) {
		if err := w.syncer.saveProfile(b, scenario, kind, query); err != nil {
			b.Logf("no %s profile: %v", kind, err)
		}
	}
	var running sync.WaitGroup
	return func() {
			running.Go(func() { take("profile", fmt.Sprintf("?seconds=%d", int(profileLength.Seconds()))) })
		}, func() {
			running.Wait()
			take("heap", "")
			take("mutex", "")
		}
}

// saveProfile keeps what the syncer says of itself. That of the processor is
// called cpu. Nothing is collected for a heap: that would change what is measured next.
func (s *syncer) saveProfile(b *testing.B, scenario, kind, query string) error {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+s.profiling+"/debug/pprof/"+kind+query, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	name := strings.ReplaceAll(scenario, " ", "-") + "." + strings.Replace(kind, "profile", "cpu", 1) + ".pprof"
	file, err := os.Create(filepath.Join(profileDirectory(), name))
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}
