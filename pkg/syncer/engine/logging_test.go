// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
)

// TestLazyValuesAreLogged with everything else, in the order in which they were given.
func TestLazyValuesAreLogged(t *testing.T) {
	var lines []string
	logger := funcr.New(func(prefix, args string) { lines = append(lines, prefix+" "+args) }, funcr.Options{})
	lazy := withLazyValues(logger.WithName("syncer"), "kind", "Pod")
	lazy.Info("one", "a", 1)
	lazy.WithValues("name", "web").Info("two")
	lazy.WithName("inner").Error(errors.New("bad"), "three")
	lazy.Info("four")
	want := []string{
		`syncer "level"=0 "msg"="one" "kind"="Pod" "a"=1`,
		`syncer "level"=0 "msg"="two" "kind"="Pod" "name"="web"`,
		`syncer/inner "msg"="three" "error"="bad" "kind"="Pod"`,
		`syncer "level"=0 "msg"="four" "kind"="Pod"`,
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("logged:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}
