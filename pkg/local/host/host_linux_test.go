// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestMountPoints(t *testing.T) {
	const mountinfo = `22 1 8:1 / / rw - ext4 /dev/a rw
39 22 8:2 / /data/c1 rw - ext4 /dev/b rw
40 22 8:1 /x /data/c1/ns rw - ext4 /dev/a rw
41 40 0:4 net:[1] /data/c1/ns/net rw - nsfs none rw
42 22 8:1 / /data/c10 rw - ext4 /dev/a rw
43 22 8:1 / /data/c1/with\040space rw - ext4 /dev/a rw
`
	got, err := mountPoints(strings.NewReader(mountinfo), func(target string) bool { return isBelow(target, "/data/c1") })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/data/c1/ns", "/data/c1/ns/net", "/data/c1/with space"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

// TestUnmountBelowLeavesTheDisk: a cluster's folder may be where a disk of the
// machine's is mounted.
func TestUnmountBelowLeavesTheDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	disk, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := UnmountAt(disk); err != nil {
			t.Error(err)
		}
	})
	below := filepath.Join(disk, "below")
	for _, dir := range []string{disk, below} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
			t.Skipf("this machine mounts nothing: %v", err)
		}
	}
	if err := UnmountBelow(disk); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{disk: true, below: false} {
		var here, above unix.Stat_t
		if err := errors.Join(unix.Stat(dir, &here), unix.Stat(filepath.Dir(dir), &above)); err != nil {
			t.Fatal(err)
		}
		if mounted := here.Dev != above.Dev; mounted != want {
			t.Errorf("%s mounted: got %v, want %v", dir, mounted, want)
		}
	}
}

// TestNamespaces makes real namespaces: what is mounted inside stays inside,
// and nothing is left afterwards.
func TestNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hidden := filepath.Join(dir, "hidden")
	if err := os.Mkdir(hidden, 0o755); err != nil {
		t.Fatal(err)
	}
	namespaces := Namespaces{Dir: filepath.Join(dir, "ns")}
	t.Cleanup(func() {
		if err := namespaces.Remove(); err != nil {
			t.Error(err)
		}
	})
	setup := func() error { return unix.Mount("tmpfs", hidden, "tmpfs", 0, "") }
	if err := namespaces.Create(setup); err != nil {
		t.Skipf("this machine makes no namespaces: %v", err)
	}
	if !namespaces.Exist() {
		t.Error("the namespaces are not kept")
	}
	inside := func() error { return os.WriteFile(filepath.Join(hidden, "inside"), nil, 0o600) }
	if err := namespaces.Run(inside); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(hidden, "inside")); err == nil {
		t.Error("what is written inside is seen outside")
	}
	killsWhatIsInside(t, namespaces)
	if err := namespaces.Remove(); err != nil {
		t.Fatal(err)
	}
	if namespaces.Exist() {
		t.Error("the namespaces are still kept")
	}
}

func killsWhatIsInside(t *testing.T, namespaces Namespaces) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := namespaces.Run(cmd.Start); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := cmd.Wait(); err == nil {
			t.Error("the process ended by itself")
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := namespaces.Kill(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("a process inside was not killed")
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
}
