// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

func TestWriteScratch(t *testing.T) {
	cache := t.TempDir()
	first, err := writeScratch(cache)
	if err != nil {
		t.Fatal(err)
	}
	again, err := writeScratch(cache)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the second call gave another reference (-first +second):\n%s", diff)
	}

	index, err := layout.ImageIndexFromPath(filepath.Join(cache, "img"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("the cache holds %d images, want 1 (%v)", len(manifest.Manifests), err)
	}
	_, digest, _ := strings.Cut(first, "@")
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatalf("reference %s: %v", first, err)
	}
	scratch, err := index.Image(hash)
	if err != nil {
		t.Fatalf("the cache does not hold %s: %v", first, err)
	}
	layers, err := scratch.Layers()
	if err != nil || len(layers) != 0 {
		t.Errorf("%d layers, want none (%v)", len(layers), err)
	}
}
