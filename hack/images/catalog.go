// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"

	"virtualcluster.io/virtualcluster/pkg/local/image"
)

// Tags of the images whose program comes from a pinned Go module. TestTagsFollowModules
// compares them with the modules.
const (
	kubernetesTag    = "v1.37.1"
	kubernetes136Tag = "v1.36.4"
	corednsTag       = "v1.15.0"
	provisionerTag   = "v0.0.30"
)

const (
	// nonRoot is the user and group of everything that need not be root.
	nonRoot = "65532:65532"
	// nonRootID is its number.
	nonRootID = 65532
	// searchPath is PATH where an image has more than one program.
	searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// inputs is what images are made of.
type inputs struct {
	bin     string // folder with the programs we built
	busybox string // path of a static busybox
}

// program is the entry of a program of the bin folder. It must be static: there is no
// dynamic loader in an image, and the error a runtime reports then names the wrong file.
func (in inputs) program(p, name string) (image.Entry, error) {
	source := filepath.Join(in.bin, name)
	if err := requireStatic(source); err != nil {
		return image.Entry{}, err
	}
	return image.File(p, source, 0o755), nil
}

// describe makes the description of an image.
type describe func(ctx context.Context, in inputs) (image.Spec, error)

// catalog lists every image by the name of its archive. The platform's own commands are
// not in it: ko builds their images.
func catalog() map[string]describe {
	return map[string]describe{
		"agnhost":                describeAgnhost,
		"busybox":                describeBusybox,
		"control-plane":          describeControlPlane("kube", kubernetesTag, image.Link("/kubectl", "/kube")),
		"control-plane-v1.36":    describeControlPlane("kube-v1.36", kubernetes136Tag),
		"coredns":                describeCoreDNS,
		"local-path-provisioner": describeProvisioner,
		"pause":                  describePause,
	}
}

// describeControlPlane is the Kubernetes of a tenant: one image for each minor, which are
// called in the same way. Data lies in /data; HOME is where kubectl may write its cache.
// more is what only one of them has.
func describeControlPlane(program, tag string, more ...image.Entry) describe {
	return func(_ context.Context, in inputs) (image.Spec, error) {
		kube, err := in.program("/kube", program)
		return image.Spec{
			Reference: "ghcr.io/virtualcluster/control-plane:" + tag,
			Entries: append([]image.Entry{
				kube,
				image.Dir("/tmp", 0o1777),
				image.Dir("/data", 0o700).OwnedBy(nonRootID),
			}, more...),
			Config: image.Config{
				Entrypoint: []string{"/kube"},
				Env:        []string{"PATH=/", "HOME=/tmp"},
				User:       nonRoot,
			},
		}, err
	}
}

// describePause keeps the user id of the pause image it stands for.
func describePause(_ context.Context, in inputs) (image.Spec, error) {
	pause, err := in.program("/pause", "pause")
	return image.Spec{
		Reference: "registry.k8s.io/pause:3.10.1",
		Entries:   []image.Entry{pause},
		Config:    image.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"},
	}, err
}

// describeCoreDNS relies on the runtime to let everybody bind port 53, as containerd 2
// does: the program has no file capability.
func describeCoreDNS(_ context.Context, in inputs) (image.Spec, error) {
	coredns, err := in.program("/coredns", "coredns")
	return image.Spec{
		Reference: "registry.k8s.io/coredns/coredns:" + corednsTag,
		Entries:   []image.Entry{coredns},
		Config:    image.Config{Entrypoint: []string{"/coredns"}, User: nonRoot, WorkingDir: "/"},
	}, err
}

// describeProvisioner has a Cmd and no Entrypoint, like the image it stands for: manifests
// give the whole command.
func describeProvisioner(_ context.Context, in inputs) (image.Spec, error) {
	const name = "local-path-provisioner"
	provisioner, err := in.program("/usr/bin/"+name, name)
	return image.Spec{
		Reference: "docker.io/rancher/" + name + ":" + provisionerTag,
		Entries:   []image.Entry{provisioner, image.Dir("/tmp", 0o1777)},
		Config:    image.Config{Cmd: []string{name}, Env: []string{searchPath}, User: nonRoot},
	}, err
}
