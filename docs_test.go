// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package virtualcluster_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// markdownLink finds [text](target) and keeps the target.
var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// notInAnchor is what a heading loses on its way into an address.
var notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// TestLinksOfTheDocuments: every link within the repository leads to a file and,
// where it names one, to a heading of it.
func TestLinksOfTheDocuments(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(name)
		}
		if filepath.Ext(name) == ".md" {
			seen += checkLinks(t, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("found no link at all")
	}
}

// TestReasonsAreExplained: every reason that a condition or an event of the
// platform may have stands in the document for whoever meets it.
func TestReasonsAreExplained(t *testing.T) {
	for source, document := range map[string]string{
		"apis/tenancy/v1alpha1/conditions.go": "docs/troubleshooting.md",
		"pkg/syncer/engine/events.go":         "docs/tenants.md",
	} {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		reasons := reasonsIn(t, source)
		if len(reasons) == 0 {
			t.Errorf("%s has no reasons", source)
		}
		for _, reason := range reasons {
			if !strings.Contains(string(content), "| "+reason+" |") {
				t.Errorf("%s does not explain the reason %s of %s", document, reason, source)
			}
		}
	}
}

// reasonsIn returns the values of a file's constants that are called Reason…,
// but for the one that is no trouble.
func reasonsIn(t *testing.T, file string) []string {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	ast.Inspect(syntax, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") || spec.Names[0].Name == "ReasonReady" {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
			reasons = append(reasons, strings.Trim(literal.Value, `"`))
		}
		return true
	})
	return reasons
}

// checkLinks returns how many links of a document it has followed.
func checkLinks(t *testing.T, document string) int {
	t.Helper()
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, match := range markdownLink.FindAllStringSubmatch(string(content), -1) {
		if strings.Contains(match[1], "://") {
			continue
		}
		followed++
		file, anchor, _ := strings.Cut(match[1], "#")
		target := filepath.Join(filepath.Dir(document), file)
		if file == "" {
			target = document
		}
		linked, err := os.ReadFile(target)
		if err != nil {
			t.Errorf("%s: the link to %s leads nowhere: %v", document, match[1], err)
		} else if anchor != "" && !slices.Contains(anchors(string(linked)), anchor) {
			t.Errorf("%s: %s has no heading for #%s", document, target, anchor)
		}
	}
	return followed
}

// anchors are the headings of a document as addresses name them.
func anchors(content string) []string {
	var found []string
	for line := range strings.Lines(content) {
		if title, isHeading := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); isHeading && strings.HasPrefix(line, "#") {
			words := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			found = append(found, strings.ReplaceAll(words, " ", "-"))
		}
	}
	return found
}
