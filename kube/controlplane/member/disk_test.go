// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestVolume(t *testing.T) {
	dir := t.TempDir()
	volume := Volume(dir)
	read := func() Disk {
		t.Helper()
		disk, err := volume.Read()
		if err != nil {
			t.Fatal(err)
		}
		return disk
	}
	check := func(what string, want Disk) {
		t.Helper()
		if diff := cmp.Diff(want, read()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("empty", Disk{})
	// A first start that crashed: etcd makes the log last.
	write(t, filepath.Join(dir, "etcd", "member", "snap", "db"), "")
	write(t, filepath.Join(dir, "etcd", "member", "wal.tmp", "0.wal"), "")
	write(t, filepath.Join(dir, "etcd", "member", "wal", "0.tmp"), "")
	check("without a log", Disk{})
	write(t, filepath.Join(dir, "etcd", "member", "wal", "0000000000000000-0000000000000000.wal"), "")
	check("with a log", Disk{Data: true})
	identity := Identity{Member: 0x8e9e05c52164694d, Cluster: 0xcdf818194e3a8c32}
	if err := volume.WriteIdentity(identity); err != nil {
		t.Fatal(err)
	}
	if err := volume.MarkRemoved("r1"); err != nil {
		t.Fatal(err)
	}
	check("removed", Disk{Data: true, Identity: &identity, Removed: true, RemovedAt: "r1"})
	if err := volume.Clear(); err != nil {
		t.Fatal(err)
	}
	check("cleared", Disk{})
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, error %v", left, err)
	}
}

func TestBrokenIdentityIsAnError(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, fileIdentity), "who?")
	if _, err := Volume(dir).Read(); err == nil || !strings.Contains(err.Error(), "two hexadecimal numbers") {
		t.Errorf("error %v", err)
	}
}

func TestReadIntent(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  Intent
		err   string
	}{
		"allowed":           {map[string]string{"bootstrap": "true", "revision": "a"}, Intent{Bootstrap: Allowed, Revision: "a"}, ""},
		"forbidden":         {map[string]string{"bootstrap": "false\n", "revision": "a\n", "members": "1\n"}, Intent{Bootstrap: Forbidden, Revision: "a", Members: 1}, ""},
		"no bootstrap":      {map[string]string{"revision": "a"}, Intent{}, "bootstrap"},
		"no revision":       {map[string]string{"bootstrap": "true"}, Intent{}, "revision"},
		"garbage":           {map[string]string{"bootstrap": "maybe", "revision": "a"}, Intent{}, `bootstrap is "maybe"`},
		"members: a word":   {map[string]string{"bootstrap": "true", "revision": "a", "members": "all"}, Intent{}, `members is "all"`},
		"members: too many": {map[string]string{"bootstrap": "true", "revision": "a", "members": "4"}, Intent{}, `members is "4"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range tc.files {
				write(t, filepath.Join(dir, file), content)
			}
			got, err := ReadIntent(dir)
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want one with %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got, err := ReadIntent(""); err != nil || got != (Intent{}) {
		t.Errorf("without a directory: %v, %v", got, err)
	}
}

func TestWaitForChange(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bootstrap"), "false")
	write(t, filepath.Join(dir, "revision"), "r1")
	known, err := ReadIntent(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := clocktesting.NewFakeClock(time.Unix(0, 0))
	ended := make(chan error, 1)
	go func() { ended <- WaitForChange(t.Context(), now, dir, known) }()
	for range 3 {
		for !now.HasWaiters() {
			continue
		}
		now.Step(intentPeriod)
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended though nothing has changed: %v", err)
	default:
	}
	write(t, filepath.Join(dir, "revision"), "r2")
	if err := stepUntil(now, ended); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WaitForChange(ctx, now, dir, known); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

func TestParseName(t *testing.T) {
	for name, want := range map[string]int{"control-plane-0": 0, "a-2": 2} {
		got, err := ParseName(name)
		if err != nil || got.Ordinal() != want || got.String() != name {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "0", "-0", "a-3", "a-00", "a-", "a--1", "a-x"} {
		if got, err := ParseName(name); err == nil && name != "a--1" {
			t.Errorf("%q is taken for %v", name, got)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
