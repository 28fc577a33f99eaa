// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// scratchRepository is a name for the empty image. Nothing is ever pulled from it.
const scratchRepository = "localhost/scratch"

// writeScratch puts an image without layers into the cache folder of ko and returns its
// reference. ko knows no "scratch": every base is fetched from a registry, unless the
// cache holds the digest that the reference names.
func writeScratch(koCache string) (string, error) {
	scratch, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS:           "linux",
		Architecture: runtime.GOARCH,
		RootFS:       v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return "", fmt.Errorf("making empty image: %w", err)
	}
	digest, err := scratch.Digest()
	if err != nil {
		return "", fmt.Errorf("computing digest of empty image: %w", err)
	}
	cache, err := layout.Write(filepath.Join(koCache, "img"), empty.Index)
	if err != nil {
		return "", fmt.Errorf("creating image cache of ko: %w", err)
	}
	if err := cache.AppendImage(scratch); err != nil {
		return "", fmt.Errorf("adding empty image to cache of ko: %w", err)
	}
	return scratchRepository + "@" + digest.String(), nil
}
