// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReadme runs the README's commands for a newcomer word for word, in one
// shell, but for `make`, which is how this test came to run.
func TestReadme(t *testing.T) {
	createTenant(t, "demo")

	script := newcomerScript(t)
	for _, essential := range []string{"get nodes", "create deployment web", "expose deployment web", "logs deploy/web", "exec deploy/web -- uname -r", "create ns team-a", "delete ns team-a"} {
		if !strings.Contains(script, essential) {
			t.Errorf("the README's commands lack %q", essential)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = repository, environment()
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Fatalf("the README's commands fail: %v", err)
	}
	for _, want := range []string{"virtual-node-0", "Ready", "deployment.apps/web created", "service/web exposed", gvisorKernel, `namespace "team-a" deleted`} {
		if !strings.Contains(string(output), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
}

// newcomerScript returns the README's fenced block that begins with the export
// of KUBECONFIG, without the lines that call make.
func newcomerScript(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(readme), "```") {
		if i%2 == 0 || !strings.Contains(block, "kubectl-vc kubeconfig demo") {
			continue
		}
		_, body, _ := strings.Cut(block, "\n")
		var lines []string
		for line := range strings.Lines(body) {
			if !strings.HasPrefix(strings.TrimSpace(line), "make ") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	t.Fatal("README.md has no block with `kubectl-vc kubeconfig demo`")
	return ""
}
