// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hack

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// aptGet writes down how it is called. It installs only after an update, as on
// a machine whose list of packages is old, unless the file never-installs exists.
const aptGet = `echo "$@" >>calls
case "$*" in
*update*) touch updated ;;
*) test -e updated && test ! -e never-installs || { echo "Unable to locate package"; exit 100; } ;;
esac`

// TestInstallDeps lets runc be missing on machines whose apt-get is a small program.
func TestInstallDeps(t *testing.T) {
	tests := map[string]struct {
		missing bool
		id      string
		setup   string
		fails   bool
		want    string
		calls   []string
	}{
		"nothing is missing": {id: "echo 0"},
		"installed after an update": {
			missing: true, id: "echo 0", want: "installing Debian packages: runc\n",
			calls: []string{"install", "update", "install"},
		},
		"not root":              {missing: true, id: "echo 1000", fails: true, want: "missing Debian packages: runc; run as root: apt-get install"},
		"it cannot be had":      {missing: true, id: "echo 0", setup: "never-installs", fails: true, want: "could not install: runc; the lines above say why", calls: []string{"install", "update", "install"}},
		"what apt-get has said": {missing: true, id: "echo 0", setup: "never-installs", fails: true, want: "Unable to locate package", calls: []string{"install", "update", "install"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tc.setup != "" {
				write(t, filepath.Join(dir, tc.setup), "")
			}
			output, err := installDeps(t, dir, tc.missing, tc.id)
			if (err != nil) != tc.fails || !strings.Contains(output, tc.want) || tc.want == "" && output != "" {
				t.Errorf("got %v and %q, want %q, failure %v", err, output, tc.want, tc.fails)
			}
			checkCalls(t, filepath.Join(dir, "calls"), tc.calls)
		})
	}
}

// installDeps runs the script in dir on a machine that has every program but,
// if it is to be missing, runc.
func installDeps(t *testing.T, dir string, missing bool, id string) (string, error) {
	t.Helper()
	content, err := os.ReadFile("install-deps.sh")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(content), "<<'EOF'\n")
	list, after, found := strings.Cut(rest, "EOF\n")
	if !found {
		t.Fatal("the script has no list of packages")
	}
	var packages strings.Builder
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(line, " ")
		provides := "/"
		if missing && name == "runc" {
			provides = "/no/such/program"
		}
		packages.WriteString(name + " " + provides + "\n")
	}
	script := before + "<<'EOF'\n" + packages.String() + "EOF\n" + after
	write(t, filepath.Join(dir, "install-deps.sh"), script)
	write(t, filepath.Join(dir, "stubs", "id"), "#!/bin/sh\n"+id+"\n")
	write(t, filepath.Join(dir, "stubs", "apt-get"), "#!/bin/sh\n"+aptGet+"\n")
	// No busybox is linked to libraries here.
	write(t, filepath.Join(dir, "stubs", "ldd"), "#!/bin/sh\nexit 1\n")
	cmd := exec.CommandContext(t.Context(), "sh", "install-deps.sh")
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + filepath.Join(dir, "stubs") + ":" + os.Getenv("PATH")}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// checkCalls compares what apt-get was asked for, and that nothing it does waits for a person.
func checkCalls(t *testing.T, path string, want []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	calls := strings.Split(strings.TrimSpace(string(content)), "\n")
	if len(content) == 0 {
		calls = nil
	}
	if len(calls) != len(want) {
		t.Fatalf("got the calls %q, want %v", calls, want)
	}
	for i, call := range calls {
		if !strings.Contains(call, want[i]) || want[i] == "install" && !strings.Contains(call, "install -y") {
			t.Errorf("call %d is %q, want %s without questions", i, call, want[i])
		}
	}
}
