// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// idleFor is how long a control plane rests before its memory is read: its
// caches are full then, and garbage of the start was collected.
const idleFor = 60 * time.Second

// idle measures the memory and the processor time of a virtual cluster that
// nobody uses, beside another: the pages of the binary are those of both.
func idle(b *testing.B, t *timeline) {
	const scenario, name, neighbour = "idle", "idle", "neighbour"
	id, _ := create(b, name, "default")
	other, _ := create(b, neighbour, "default")
	t.await(b, partReady, 2*time.Minute, id, other)
	pid := processOf(b, id, name)
	before := processorTime(b, pid)
	pause(b, idleFor)
	spent := processorTime(b, pid) - before
	memory := memoryOf(b, pid)
	private := memory["Private_Clean"] + memory["Private_Dirty"]
	results.Note(scenario, "private memory", "MiB", private)
	results.Note(scenario, "of it heap and stacks (anonymous)", "MiB", memory["Anonymous"])
	results.Note(scenario, "shared with the other tenants (the binary's pages)", "MiB", memory["Rss"]-private)
	results.Note(scenario, "processor", "millicores", float64(spent.Milliseconds())/idleFor.Seconds())
	remove(b, name, neighbour)
}

// pause lets real time pass, which is what is measured.
func pause(b *testing.B, duration time.Duration) {
	b.Helper()
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.Context().Done():
		b.Fatal(b.Context().Err())
	}
}

// processOf returns the process id of the control plane of a virtual cluster,
// which is known by its service range: no other tenant has it.
func processOf(b *testing.B, id types.UID, name string) int {
	b.Helper()
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	if err := superClient.Get(b.Context(), types.NamespacedName{Namespace: "default", Name: name}, virtualCluster); err != nil {
		b.Fatal(err)
	}
	want := []byte("--service-cluster-ip-range=" + virtualCluster.Status.Network.ServiceCIDR + "\x00")
	return findProcess(b, func(cmdline []byte) bool { return bytes.Contains(cmdline, want) }, string(id))
}

// findProcess returns the id of the one process whose command line matches.
func findProcess(b *testing.B, matches func(cmdline []byte) bool, what string) int {
	b.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.Fatal(err)
	}
	found := 0
	for _, path := range paths {
		cmdline, err := os.ReadFile(path)
		if err != nil || !matches(cmdline) {
			continue // it ended in the meantime, or is another's
		}
		if found != 0 {
			b.Fatalf("two processes of %s", what)
		}
		if found, err = strconv.Atoi(filepath.Base(filepath.Dir(path))); err != nil {
			b.Fatal(err)
		}
	}
	if found == 0 {
		b.Fatalf("no process of %s", what)
	}
	return found
}

// memoryOf returns the fields of /proc/PID/smaps_rollup in MiB.
func memoryOf(b *testing.B, pid int) map[string]float64 {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		parts := strings.Fields(lines.Text())
		if len(parts) != 3 || parts[2] != "kB" {
			continue
		}
		value, err := strconv.ParseFloat(parts[1], 64)
		if err != nil {
			b.Fatal(err)
		}
		fields[strings.TrimSuffix(parts[0], ":")] = value / 1024
	}
	return fields
}

// processorTime returns what a process has used, from /proc/PID/stat (proc(5)).
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The name, in brackets, may hold anything; the fields after it are counted from 3.
	_, rest, _ := bytes.Cut(content, []byte(") "))
	fields := strings.Fields(string(rest))
	const utime, stime, ticks = 14 - 3, 15 - 3, 100
	var sum int
	for _, i := range []int{utime, stime} {
		value, err := strconv.Atoi(fields[i])
		if err != nil {
			b.Fatal(err)
		}
		sum += value
	}
	return time.Duration(sum) * time.Second / ticks
}
