// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	// DefaultDir is where a cluster lives unless Options.Dir says otherwise.
	DefaultDir = "_local"
	// DefaultAPIPort is the API server's port on the node's address.
	DefaultAPIPort = 6443
	// DefaultMinFree is how many bytes must be free below the cluster's folder. A
	// new cluster takes one GiB; the rest is for tenants, pods and images.
	DefaultMinFree = 5 << 30
)

// Options is all that Up, Down and Status need to know. The zero value is a
// cluster with the platform in ./_local.
type Options struct {
	// Dir holds everything of the cluster. Default DefaultDir.
	Dir string
	// BinDir holds kube, containerd and the other programs. Default the folder
	// of the program that runs.
	BinDir string
	// ImagesDir holds the images, *.tar. Default images below BinDir.
	ImagesDir string
	// APIPort is the API server's port. Default DefaultAPIPort.
	APIPort int
	// MinFree is how many bytes must be free below Dir. Default DefaultMinFree.
	MinFree uint64
	// WithoutPlatform leaves the platform's chart out: a plain cluster.
	WithoutPlatform bool
	// KeepData makes Down end the cluster but keep its folder, so that Up can
	// start it again as it was.
	KeepData bool
	// Values are merged over the values that Up gives the platform's chart.
	Values map[string]any
	// Out is where progress is told. Default nowhere.
	Out io.Writer
	// InstallPlatform installs the platform's chart into the cluster that the
	// kubeconfig at the path leads to. Default: the chart built into this program.
	InstallPlatform func(ctx context.Context, kubeconfig string, values map[string]any) error
}

// complete returns the options with every default filled in and paths absolute.
func (o Options) complete() (Options, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	dir, err := absolute(o.Dir)
	if err != nil {
		return o, err
	}
	o.Dir = dir
	if o.BinDir == "" {
		program, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("finding the folder of this program: %w", err)
		}
		o.BinDir = filepath.Dir(program)
	}
	if o.BinDir, err = absolute(o.BinDir); err != nil {
		return o, err
	}
	if o.ImagesDir == "" {
		o.ImagesDir = filepath.Join(o.BinDir, "images")
	}
	if o.APIPort == 0 {
		o.APIPort = DefaultAPIPort
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.InstallPlatform == nil {
		o.InstallPlatform = installPlatform
	}
	return o, nil
}

// absolute returns the one path of a folder that need not exist yet: the
// cluster's names are made from it, so every link on the way is followed.
func absolute(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("making %q absolute: %w", path, err)
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved, nil
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	if parent, err = absolute(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}
