// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command images writes the container images of the local super cluster, from programs
// that were built before, as docker-archives: one file NAME.tar for each name given.
//
//	images --bin bin --out bin/images --version 0.1.0 pause busybox
//
// The images and what is in them are listed in catalog.go.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"virtualcluster.io/virtualcluster/pkg/local/image"
)

func main() {
	var in inputs
	flag.StringVar(&in.bin, "bin", "bin", "folder with the programs")
	flag.StringVar(&in.version, "version", "", "tag of the platform's own images")
	flag.StringVar(&in.busybox, "busybox", "/bin/busybox", "statically linked busybox of this machine")
	out := flag.String("out", "bin/images", "folder for the archives")
	flag.Parse()
	if err := run(in, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// run writes the named images into the folder out.
func run(in inputs, out string, names []string) error {
	all := catalog()
	if len(names) == 0 {
		return fmt.Errorf("name at least one image of: %s", known(all))
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("creating folder for archives: %w", err)
	}
	for _, name := range names {
		describe, ok := all[name]
		if !ok {
			return fmt.Errorf("there is no image %q; there are: %s", name, known(all))
		}
		spec, err := describe(in)
		if err != nil {
			return fmt.Errorf("describing image %s: %w", name, err)
		}
		if err := image.WriteFile(filepath.Join(out, name+".tar"), spec); err != nil {
			return err
		}
	}
	return nil
}

// known lists the names of the catalog.
func known(all map[string]describe) string {
	return strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}
