// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// kubeconfig leads nowhere: a manager that is made and not asked to connect needs no more.
const kubeconfig = `{"apiVersion":"v1","kind":"Config","current-context":"a",
"clusters":[{"name":"a","cluster":{"server":"https://192.0.2.1"}}],"users":[{"name":"a","user":{}}],
"contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}]}`

type manager struct{ err error }

func (m manager) Start(context.Context) error { return m.err }

func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", "apiVersion: config.virtualcluster.io/v1alpha1\nkind: SyncerConfiguration\nworkersPerKind: 3\n")
	bad := write("bad.yaml", "apiVersion: config.virtualcluster.io/v1alpha1\nkind: SyncerConfiguration\nworkers: 3\n")
	t.Setenv("KUBECONFIG", write("kubeconfig", kubeconfig))

	// Run is called once in a process, because the second handler of a signal
	// panics: so one case gets as far as the manager, and it is the last.
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"help", []string{"-h"}, flag.ErrHelp.Error()},
		{"unknown flag", []string{"--frob"}, "-frob"},
		{"log format", []string{"--log-format=xml"}, `--log-format "xml": must be json or text`},
		{"no file", []string{"--config=" + filepath.Join(dir, "none")}, "reading the configuration"},
		{"unknown field", []string{"--config=" + bad}, `unknown field "workers"`},
		{"the manager's own end", []string{"--config=" + good, "-v=1", "--log-format=text"}, "ended with 3 workers"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var output bytes.Buffer
			err := Run("syncer", tc.args, &output, &configv1alpha1.SyncerConfiguration{},
				func(_ context.Context, restConfig *rest.Config, c *configv1alpha1.SyncerConfiguration) (manager, error) {
					if restConfig.Host != "https://192.0.2.1" || c.WorkersPerKind != 3 {
						t.Errorf("made with %s and %d workers", restConfig.Host, c.WorkersPerKind)
					}
					return manager{errors.New("ended with 3 workers")}, nil
				})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if tc.name == "help" && !strings.Contains(output.String(), "SyncerConfiguration") {
				t.Errorf("the help does not name the configuration: %s", output.String())
			}
		})
	}
}
