// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command images writes the container images of the local super cluster, from programs
// that were built before, as docker-archives: one file NAME.tar for each name given.
//
//	images --bin bin --out bin/images pause busybox
//
// An archive that would not change is left alone. The images and what is in them are
// listed in catalog.go. The images of the platform's own commands are built by ko; for
// them
//
//	images --ko-cache DIR
//
// writes an empty base image where ko finds it without a registry, and prints the
// reference to give ko as KO_DEFAULTBASEIMAGE together with KOCACHE=DIR.
package main

import (
	"context"
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
	flag.StringVar(&in.busybox, "busybox", "/bin/busybox", "statically linked busybox of this machine")
	out := flag.String("out", "bin/images", "folder for the archives")
	koCache := flag.String("ko-cache", "", "write ko's base image into this cache folder instead")
	flag.Parse()
	if err := run(context.Background(), in, *out, *koCache, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// run writes ko's base image when koCache is set, else the named images.
func run(ctx context.Context, in inputs, out, koCache string, names []string) error {
	if koCache == "" {
		return writeImages(ctx, in, out, names)
	}
	if len(names) > 0 {
		return fmt.Errorf("--ko-cache takes no image names, got: %s", strings.Join(names, ", "))
	}
	reference, err := writeScratch(koCache)
	if err != nil {
		return err
	}
	fmt.Println(reference)
	return nil
}

// writeImages writes the named images into the folder out.
func writeImages(ctx context.Context, in inputs, out string, names []string) error {
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
		spec, err := describe(ctx, in)
		if err != nil {
			return fmt.Errorf("describing image %s: %w", name, err)
		}
		archive := filepath.Join(out, name+".tar")
		written, err := image.WriteFile(archive, spec)
		if err != nil {
			return fmt.Errorf("writing image %s: %w", name, err)
		}
		if written {
			fmt.Println("wrote", archive)
		}
	}
	return nil
}

// known lists the names of the catalog.
func known(all map[string]describe) string {
	return strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}
