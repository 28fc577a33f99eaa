// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package virtualcluster_test

import (
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
