// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestUpAgainChangesNothing: every process is the one that ran before.
func TestUpAgainChangesNothing(t *testing.T) {
	status := must(t, "kubectl-vc", "local", "status", "--dir", localDir)
	output := must(t, "kubectl-vc", "local", "up", "--dir", localDir)
	if !strings.Contains(output, "nothing changed") {
		t.Errorf("a second up does not say that nothing changed:\n%s", output)
	}
	if again := must(t, "kubectl-vc", "local", "status", "--dir", localDir); again != status {
		t.Errorf("the processes changed from\n%s\nto\n%s", status, again)
	}
}

// TestUpRefuses names the cause and the remedy in one line and leaves nothing behind.
func TestUpRefuses(t *testing.T) {
	tests := map[string]struct {
		args   []string
		nobody bool
		want   []string
	}{
		"not root":        {nobody: true, want: []string{"root"}},
		"too little disk": {args: []string{"--min-free", "1000000"}, want: []string{"GiB", "free"}},
		"no images":       {args: []string{"--images-dir", t.TempDir()}, want: []string{"make"}},
		"no programs":     {args: []string{"--bin-dir", t.TempDir()}, want: []string{"make"}},
		"port in use":     {args: []string{"--api-port", "10250"}, want: []string{"10250 is in use", "--api-port"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "local")
			refused(t, dir, tc.args, tc.nobody, tc.want)
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s was left behind", dir)
			}
		})
	}
}

// TestFailedUpLeavesNothing gives `up` programs that end at once, as broken ones
// do: it names the one and its log, and of what it started nothing is left. The
// logs stay, and the files of a cluster that had been up before.
func TestFailedUpLeavesNothing(t *testing.T) {
	tests := map[string]struct {
		working []string
		before  string
		want    string
		left    []string
	}{
		"containerd ends":        {want: "containerd ended by itself: broken", left: []string{"logs"}},
		"the control plane ends": {working: []string{"containerd", "ctr"}, want: "control-plane ended by itself: broken", left: []string{"logs"}},
		"a cluster that was up": {
			before: `{"hostIP": "198.19.255.253", "nodeIP": "198.19.255.254", "apiPort": 6443, "complete": true}`,
			want:   "containerd ended by itself: broken", left: []string{"kubeconfig", "logs", "pki", "state.json"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			programs, images, dir := t.TempDir(), t.TempDir(), localDir+"-broken"
			for _, program := range []string{"kube", "containerd", "ctr", "containerd-shim-runc-v2", "runsc", "containerd-shim-runsc-v1"} {
				if slices.Contains(tc.working, program) {
					copyFile(t, filepath.Join(binDir, program), filepath.Join(programs, program))
				} else if err := os.WriteFile(filepath.Join(programs, program), []byte("#!/bin/sh\necho broken\nexit 1\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			copyFile(t, filepath.Join(binDir, "images", "pause.tar"), filepath.Join(images, "pause.tar"))
			if tc.before != "" {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(tc.before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			refused(t, dir, []string{"--bin-dir", programs, "--images-dir", images}, false, []string{tc.want, filepath.Join(dir, "logs")})
			filesAreLeft(t, dir, tc.left, tc.before != "")
			nothingElseIsLeft(t, dir)
		})
	}
}

// filesAreLeft compares what is in a folder; there may be more only if more is true.
func filesAreLeft(t *testing.T, dir string, want []string, more bool) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		if !more || slices.Contains(want, entry.Name()) {
			got = append(got, entry.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("in %s there is %v, want %v", dir, got, want)
	}
}

// nothingElseIsLeft looks for what a cluster leaves outside its folder: mounts
// itself, and by way of `down` processes, cgroups and interfaces.
func nothingElseIsLeft(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Fatalf("mounts are left (%v):\n%s", err, mounts)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if output := must(t, "kubectl-vc", "local", "down", "--dir", dir); !strings.Contains(output, "nothing to remove") {
		t.Errorf("down found something to remove:\n%s", output)
	}
}

func refused(t *testing.T, dir string, args []string, nobody bool, want []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binDir, "kubectl-vc"), append([]string{"local", "up", "--dir", dir}, args...)...)
	cmd.Dir, cmd.Env = repository, environment()
	if nobody {
		const overflowID = 65534
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: overflowID, Gid: overflowID}}
		cmd.Path = readableCopy(t, cmd.Path)
	}
	output, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("up succeeded:\n%s", output)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	last := lines[len(lines)-1]
	for _, part := range want {
		if !strings.Contains(last, part) {
			t.Errorf("the last line %q lacks %q", last, part)
		}
	}
}

// readableCopy puts a program where another user may run it: a checkout may lie
// below a directory of root's.
func readableCopy(t *testing.T, program string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vc-e2e-") //nolint:usetesting // t.TempDir is below a directory that only root may enter.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.Base(program))
	copyFile(t, program, path)
	return path
}

// copyFile copies a program, or an image.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
