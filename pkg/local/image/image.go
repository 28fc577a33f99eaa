// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Spec describes an image.
type Spec struct {
	// Reference is the name the image gets where it is imported: registry, repository and
	// tag, all three written out.
	Reference string
	// Entries is the content of the image, in any order.
	Entries []Entry
	// Config is what a runtime reads to start a container.
	Config Config
}

// Config is the part of an image configuration that our images use. Empty fields stay
// unset.
type Config struct {
	// Entrypoint is the program to run; Kubernetes calls it command.
	Entrypoint []string
	// Cmd holds the default arguments; Kubernetes calls them args.
	Cmd []string
	// Env holds variables as NAME=value, in this order.
	Env []string
	// User is the numeric user, or user:group, of the first process; unset means root.
	// Numeric, because kubelet cannot check runAsNonRoot for a name.
	User string
	// WorkingDir is the directory the first process starts in; unset means /.
	WorkingDir string
}

// Build returns the image. The files that entries name are read once now, for the digest,
// and again whenever a layer is read; they must not change in between. It is an error when
// one is missing, or when the entries contradict each other.
func Build(spec Spec) (v1.Image, error) {
	l, err := newLayer(spec.Entries)
	if err != nil {
		return nil, fmt.Errorf("building layer of %s: %w", spec.Reference, err)
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   l,
		History: v1.History{Created: v1.Time{Time: epoch()}, CreatedBy: "virtualcluster"},
	})
	if err != nil {
		return nil, fmt.Errorf("appending layer of %s: %w", spec.Reference, err)
	}
	file, err := configFile(img, spec.Config)
	if err != nil {
		return nil, fmt.Errorf("reading configuration of %s: %w", spec.Reference, err)
	}
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		return nil, fmt.Errorf("setting configuration of %s: %w", spec.Reference, err)
	}
	return img, nil
}

// configFile is the configuration of img with ours set. The architecture is the one this
// program was built for, because images are built for the machine they are imported on.
func configFile(img v1.Image, config Config) (*v1.ConfigFile, error) {
	base, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file := base.DeepCopy()
	file.Created = v1.Time{Time: epoch()}
	file.OS = "linux"
	file.Architecture = runtime.GOARCH
	file.Config = v1.Config{
		Entrypoint: config.Entrypoint,
		Cmd:        config.Cmd,
		Env:        config.Env,
		User:       config.User,
		WorkingDir: config.WorkingDir,
	}
	return file, nil
}

// tagged is an image with the tag it imports under.
func tagged(spec Spec) (map[name.Reference]v1.Image, error) {
	tag, err := name.NewTag(spec.Reference, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("parsing reference %q: %w", spec.Reference, err)
	}
	img, err := Build(spec)
	if err != nil {
		return nil, err
	}
	return map[name.Reference]v1.Image{tag: img}, nil
}
