// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package virtualcluster_test holds the rules of the repository that the
// compiler cannot check: which package may import which, and why.
package virtualcluster_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "virtualcluster.io/virtualcluster/"

// arrow says what the packages below one folder may import of this module.
type arrow struct {
	// from is a folder; the longest one that holds a package decides.
	from string
	// to are folders; a package may always import from its own arrow's folder.
	to []string
	// why is what a reader is told who broke it.
	why string
}

// arrows is the picture in docs/architecture.md. A folder that is in no arrow
// may not hold Go files: adding one is a decision that this table records.
var arrows = []arrow{
	{from: "apis/tenancy", why: "the users' contract imports nothing of ours, so that anyone can import it"},
	{from: "apis/config", why: "configuration is read before anything else runs, and by tools that want nothing else"},
	{from: "pkg/names", why: "names are pure: both sides must compute the same, whatever else changes"},
	{from: "pkg/identity", to: []string{"apis", "pkg/names"}, why: "a stamp is names and labels, nothing that does I/O"},
	{from: "pkg/policy", to: []string{"apis", "pkg/names", "pkg/identity"}, why: "what may cross the boundary is decided by pure functions"},
	{from: "pkg/leader", to: []string{"apis/config"}, why: "every component elects its leader in the same way, whatever it does"},
	{from: "pkg/command", to: []string{"apis/config"}, why: "every component is started in the same way, whatever it does"},
	{from: "pkg/fleet", to: []string{"apis", "pkg/identity"}, why: "connections know tenants, not what is synced over them"},
	{from: "pkg/shard", why: "who serves a tenant is decided by Leases alone, whatever is served"},
	{from: "pkg/controlplane", to: []string{"apis", "pkg/leader", "pkg/names", "pkg/identity"}, why: "vc-manager, syncer and vn-agent meet through API objects only"},
	{from: "pkg/controlplane/pki", why: "certificates are pure: the local cluster makes its own with the same code"},
	{from: "pkg/controlplane/members", why: "who belongs to a database is seen and changed without deciding anything"},
	{from: "pkg/syncer/kind", to: []string{"apis", "pkg/names", "pkg/policy"}, why: "what a kind is must not know how it is carried out"},
	{from: "pkg/syncer/kinds", to: []string{"apis", "pkg/syncer/kind", "pkg/names", "pkg/policy"}, why: "a kind is data: it cannot reach the engine, a connection or a stamp"},
	{from: "pkg/syncer/rule", to: []string{"apis", "pkg/syncer/kind", "pkg/names", "pkg/policy"}, why: "a rule is data like a kind: it cannot reach the engine, a connection or a stamp"},
	{from: "pkg/syncer/dynamic", to: []string{"apis", "pkg/syncer/engine", "pkg/syncer/kind", "pkg/syncer/rule", "pkg/fleet", "pkg/names", "pkg/identity"}, why: "kinds that come and go are run by the engine, and known to nobody else"},
	{from: "pkg/syncer/quota", why: "what fits is decided by amounts alone, whatever they are of"},
	{from: "pkg/syncer/stored", why: "what a cache holds is decided without knowing who reads it"},
	{from: "pkg/syncer/kindtest", to: []string{"apis", "pkg/syncer/kind", "pkg/names", "pkg/identity", "pkg/policy"}, why: "the contract suite sees what a kind sees"},
	{from: "pkg/syncer/engine", to: []string{"apis", "pkg/syncer/kind", "pkg/syncer/quota", "pkg/fleet", "pkg/names", "pkg/identity", "pkg/policy"}, why: "the engine treats all kinds alike: it must not know one of them"},
	{from: "pkg/syncer", to: []string{"apis", "pkg/leader", "pkg/shard", "pkg/syncer", "pkg/fleet", "pkg/names", "pkg/identity", "pkg/policy"}, why: "vc-manager, syncer and vn-agent meet through API objects only"},
	{from: "pkg/vnagent", to: []string{"apis", "pkg/leader", "pkg/names", "pkg/identity", "pkg/policy"}, why: "vc-manager, syncer and vn-agent meet through API objects only"},
	{from: "pkg/gateway", to: []string{"apis"}, why: "the gateway leads to tenants and is trusted by none: it knows where they are, and nothing else"},
	{from: "pkg/local", to: []string{"apis", "charts", "pkg"}, why: "local composes; nothing it composes may know it"},
	{from: "charts", to: []string{"apis"}, why: "the chart is data; its test reads the configuration as the components do"},
	{from: "cmd/vc-manager", to: []string{"apis", "pkg/command", "pkg/controlplane"}, why: "a command starts its own component and no other"},
	{from: "cmd/syncer", to: []string{"apis", "pkg/command", "pkg/syncer", "pkg/fleet"}, why: "a command starts its own component and no other"},
	{from: "cmd/vn-agent", to: []string{"apis", "pkg/command", "pkg/vnagent"}, why: "a command starts its own component and no other"},
	{from: "cmd/vc-gateway", to: []string{"apis", "pkg/command", "pkg/gateway"}, why: "a command starts its own component and no other"},
	{from: "cmd/kubectl-vc", to: []string{"apis", "charts", "pkg/local"}, why: "the plugin talks to the API; only `local` starts anything"},
	{from: "hack", to: []string{"pkg/local/image"}, why: "tools of the build must build without the platform"},
	{from: "images", why: "what runs inside of an image stands alone"},
	{from: "test", to: []string{"apis", "charts", "pkg", "test"}, why: "tests may see everything but commands, which they run"},
}

// testHelpers may be imported by any package's tests, and by nothing else.
var testHelpers = []string{"pkg/syncer/kindtest", "test/framework"}

func TestImportArrows(t *testing.T) {
	forEachGoFile(t, func(t *testing.T, file goFile) {
		folder := path.Dir(file.path)
		if folder == "." {
			return
		}
		rule := arrowFor(folder)
		if rule == nil {
			t.Errorf("%s: folder %s is in no arrow of arch_test.go and docs/architecture.md: decide what it may import, and add it", file.path, folder)
			return
		}
		for _, imported := range file.imports() {
			target, ours := strings.CutPrefix(imported, modulePath)
			if !ours || rule.allows(target) || file.isTest() && isBelowAny(target, testHelpers) {
				continue
			}
			t.Errorf("%s imports %s, but %s may import only %v of ours: %s", file.path, target, rule.from, append([]string{rule.from}, rule.to...), rule.why)
		}
	})
}

func TestNoInitFunctions(t *testing.T) {
	forEachGoFile(t, func(t *testing.T, file goFile) {
		for _, declaration := range file.syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if ok && function.Recv == nil && function.Name.Name == "init" {
				t.Errorf("%s has an init function: what happens at start stands in one visible list, not wherever an import leads", file.path)
			}
		}
	})
}

func TestNoUtilPackages(t *testing.T) {
	vague := []string{"util", "utils", "helper", "helpers", "misc", "base"}
	forEachGoFile(t, func(t *testing.T, file goFile) {
		if slices.Contains(vague, file.syntax.Name.Name) {
			t.Errorf("%s is in package %s: name a package for what it knows, or everything ends up in it", file.path, file.syntax.Name.Name)
		}
	})
}

func TestComponentsAreNamedInTheArrows(t *testing.T) {
	for _, rule := range arrows {
		if rule.why == "" {
			t.Errorf("arrow from %s has no reason", rule.from)
		}
		if info, err := os.Stat(rule.from); err != nil || !info.IsDir() {
			t.Errorf("arrow from %s is of a folder that is not there: remove it", rule.from)
		}
		for _, target := range rule.to {
			if strings.HasPrefix(target, "cmd/") {
				t.Errorf("arrow from %s leads to %s: nothing imports a command", rule.from, target)
			}
		}
	}
}

func (a *arrow) allows(target string) bool {
	return isBelow(target, a.from) || isBelowAny(target, a.to)
}

// arrowFor returns the arrow with the longest folder that holds the package, so
// that pkg/syncer/kinds is not judged by the wider rule of pkg/syncer.
func arrowFor(folder string) *arrow {
	var found *arrow
	for i := range arrows {
		if isBelow(folder, arrows[i].from) && (found == nil || len(arrows[i].from) > len(found.from)) {
			found = &arrows[i]
		}
	}
	return found
}

func isBelow(folder, of string) bool {
	return folder == of || strings.HasPrefix(folder, of+"/")
}

func isBelowAny(folder string, of []string) bool {
	return slices.ContainsFunc(of, func(one string) bool { return isBelow(folder, one) })
}

// goFile is a parsed file of this module.
type goFile struct {
	path   string
	syntax *ast.File
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f goFile) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		if unquoted, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, unquoted)
		}
	}
	return paths
}

// forEachGoFile runs check for every Go file of this module. It reads the files
// itself: the result of `go list` would be hidden by the test cache, which
// knows about opened files only.
func forEachGoFile(t *testing.T, check func(*testing.T, goFile)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(name)
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parsing %s: %w", name, err)
		}
		seen++
		check(t, goFile{path: filepath.ToSlash(name), syntax: syntax})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("found no Go file: the test does not run in the root of the repository")
	}
}

// skipFolder leaves out what is built, what is state, and other modules.
func skipFolder(name string) error {
	base := filepath.Base(name)
	hidden := name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_"))
	otherModule := name == "kube" || name == filepath.Join("hack", "tools")
	if hidden || otherModule || name == "bin" || base == "testdata" {
		return filepath.SkipDir
	}
	return nil
}
