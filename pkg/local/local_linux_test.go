// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestRemoveFolder(t *testing.T) {
	tests := map[string]struct {
		files []string
		keep  leftover
		want  []string
	}{
		"all goes":             {files: []string{"state.json", "logs/x.log", "etc/y"}, keep: keepNothing},
		"logs stay":            {files: []string{"state.json", "logs/x.log", "etc/y"}, keep: keepLogs, want: []string{"logs/x.log"}},
		"nothing is there":     {keep: keepLogs},
		"nothing is there yet": {keep: keepNothing},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := layout{dir: filepath.Join(t.TempDir(), "c")}
			makeFiles(t, l, tc.files)
			if err := removeFolder(l, tc.keep); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, file := range tc.files {
				if _, err := os.Stat(l.path(file)); err == nil {
					got = append(got, file)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRemoveFolderThatIsADisk: the folder that --dir names may be where a disk is mounted.
func TestRemoveFolderThatIsADisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	l := layout{dir: t.TempDir()}
	if err := unix.Mount("tmpfs", l.dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("this machine mounts nothing: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(l.dir, 0); err != nil {
			t.Errorf("the disk is not there any more: %v", err)
		}
	})
	makeFiles(t, l, []string{"state.json", "etc/y"})
	if err := removeFolder(l, keepNothing); err != nil {
		t.Fatal(err)
	}
	if !isEmpty(l.dir) {
		t.Error("something is left on the disk")
	}
}

func TestIsForeign(t *testing.T) {
	tests := map[string]struct {
		files []string
		want  bool
	}{
		"not there":                 {},
		"a cluster":                 {files: []string{"state.json", "etc/x"}},
		"logs of a failed start":    {files: []string{"logs/" + logsMark, "logs/kubelet.log"}},
		"somebody's logs":           {files: []string{"logs/mail.log"}, want: true},
		"somebody's files":          {files: []string{"thesis.tex"}, want: true},
		"logs and somebody's files": {files: []string{"logs/" + logsMark, "thesis.tex"}, want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := layout{dir: filepath.Join(t.TempDir(), "c")}
			makeFiles(t, l, tc.files)
			got, err := isForeign(l)
			if err != nil || got != tc.want {
				t.Errorf("got %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestMasked(t *testing.T) {
	for path, want := range map[string]bool{"/var/lib/x": true, "/run/x": true, "/home/var/x": false, "/variant": false} {
		if got := masked(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

func TestImportImageIsSkippedByDigest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	// There is no containerd: whatever does not skip the import fails.
	importInto := func(known importedImage) (importedImage, error) {
		return importImage(t.Context(), layout{dir: t.TempDir()}, Options{}, path, known)
	}
	const digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
	found, err := importInto(importedImage{Digest: digest})
	if err != nil || found.Size != 7 || found.Digest != digest {
		t.Fatalf("the same content was imported again: %+v, %v", found, err)
	}
	if again, err := importInto(found); err != nil || again != found {
		t.Errorf("an untouched file was looked at: %+v, %v", again, err)
	}
	if _, err := importInto(importedImage{Digest: "other"}); err == nil {
		t.Error("new content was not imported")
	}
}

// TestPortInUse lets a foreign process listen where the API server must, in a
// real network namespace: the error names the port, the remedy and how to find
// who has it, in one line.
func TestPortInUse(t *testing.T) {
	s := &starter{layout: isolated(t), state: &state{APIPort: 6443}}
	if err := s.checkPorts(t.Context(), daemonControlPlane); err != nil {
		t.Fatalf("nobody listens: %v", err)
	}
	for name, address := range map[string]string{"on the loopback": "127.0.0.1:6443", "everywhere": ":6443"} {
		t.Run(name, func(t *testing.T) {
			foreign := listenInside(t, s.layout, address)
			impatient, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := s.checkPorts(impatient, daemonControlPlane)
			for _, want := range []string{"port 6443, which control-plane needs, is in use", "nsenter --net=" + s.layout.namespaces().NetFile(), "run local down"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than one line", err)
			}
			if err := s.checkPorts(t.Context(), daemonScheduler); err != nil {
				t.Errorf("another daemon is kept from its own ports: %v", err)
			}
			if err := foreign.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.checkPorts(t.Context(), daemonControlPlane); err != nil {
				t.Errorf("the port is free again: %v", err)
			}
		})
	}
}

// isolated returns a layout whose namespaces are real, with a loopback and nothing else.
func isolated(t *testing.T) layout {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := layout{dir: dir}
	t.Cleanup(func() {
		if err := l.namespaces().Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := l.namespaces().Create(func() error { return nil }); err != nil {
		t.Skipf("this machine makes no namespaces: %v", err)
	}
	err = l.namespaces().Run(func() error {
		loopback, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(loopback)
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func listenInside(t *testing.T, l layout, address string) net.Listener {
	t.Helper()
	var listener net.Listener
	err := l.namespaces().Run(func() error {
		var err error
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func makeFiles(t *testing.T, l layout, files []string) {
	t.Helper()
	for _, file := range files {
		if err := writeFile(l.path(file), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
