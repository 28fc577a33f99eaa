// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package charts carries the platform's Helm chart inside of the binaries that
// install it, so that kubectl-vc needs no file of this repository at run time.
package charts

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// Names under which the chart is installed by default.
const (
	// ReleaseName is the name of the Helm release.
	ReleaseName = "virtualcluster"
	// Namespace is the platform's namespace.
	Namespace = "vc-system"
)

const root = "virtualcluster"

//go:embed all:virtualcluster
var files embed.FS

// Load returns the chart that was compiled in. Each call returns a copy of its
// own, which the caller may change.
func Load() (*chart.Chart, error) {
	var buffered []*archive.BufferedFile
	err := fs.WalkDir(files, root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		buffered = append(buffered, &archive.BufferedFile{Name: strings.TrimPrefix(path, root+"/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the embedded chart: %w", err)
	}
	loaded, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("loading the embedded chart: %w", err)
	}
	return loaded, nil
}
