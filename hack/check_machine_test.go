// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hack holds the scripts of the build, and the tests of those that
// speak to a newcomer.
package hack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckMachine runs the script in a checkout of its own on machines made of
// small programs that answer for the real ones.
func TestCheckMachine(t *testing.T) {
	good := map[string]string{
		"uname": "echo Linux", "id": "echo 0", "git": "",
		"go": `case $2 in GOVERSION) echo go1.26.3 ;; *) echo "$HOME/$2" ;; esac`,
		"df": "echo head; echo /dev/a 0 0 31457280 0% /",
	}
	tests := map[string]struct {
		change map[string]string
		built  bool
		want   string
	}{
		"all is well":                 {},
		"another system":              {change: map[string]string{"uname": "echo Darwin"}, want: "needs Linux, this is Darwin"},
		"not root":                    {change: map[string]string{"id": "echo 1000"}, want: "needs root"},
		"an old Go":                   {change: map[string]string{"go": "echo go1.19.8"}, want: "go1.19.8 is too old"},
		"a Go that says nothing":      {change: map[string]string{"go": ""}, want: "too old"},
		"too little disk":             {change: map[string]string{"df": "echo head; echo /dev/a 0 0 3145728 0% /"}, want: "only 3 GiB are free"},
		"what is built needs no more": {change: map[string]string{"df": "echo head; echo /dev/a 0 0 3145728 0% /"}, built: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			output, err := checkMachine(t, good, tc.change, tc.built)
			if (err == nil) != (tc.want == "") {
				t.Fatalf("got %v, want the error %q; output:\n%s", err, tc.want, output)
			}
			if !strings.Contains(output, tc.want) {
				t.Errorf("got %q, want %q in it", output, tc.want)
			}
			if lines := strings.Count(output, "\n"); tc.want != "" && lines != 1 || tc.want == "" && lines != 0 {
				t.Errorf("got %d lines, want one for an error and else none:\n%s", lines, output)
			}
		})
	}
}

func checkMachine(t *testing.T, programs, change map[string]string, built bool) (string, error) {
	t.Helper()
	checkout := t.TempDir()
	script, err := os.ReadFile("check-machine.sh")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(checkout, "hack", "check-machine.sh"), string(script))
	if built {
		write(t, filepath.Join(checkout, "bin", "kube"), "")
	}
	stubs := filepath.Join(checkout, "stubs")
	for _, answers := range []map[string]string{programs, change} {
		for program, answer := range answers {
			write(t, filepath.Join(stubs, program), "#!/bin/sh\n"+answer+"\n")
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(checkout, "hack", "check-machine.sh"))
	cmd.Env = []string{"PATH=" + stubs + ":" + os.Getenv("PATH"), "HOME=" + checkout}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
