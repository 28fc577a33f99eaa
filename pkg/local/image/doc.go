// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package image builds small container images without a container engine or a
// registry. An image is data: a Spec lists files, links and directories and the
// configuration a runtime needs. The result is one uncompressed layer on an empty
// base, written as a docker-archive, the format that `ctr images import` and
// `docker load` read.
//
// The bytes depend only on the Spec and on the content of the files it names:
// entries are sorted, every time stamp is the Unix epoch and no host name, user or
// path is recorded. Building twice gives the same file.
//
//	spec := image.Spec{
//		Reference: "registry.k8s.io/pause:3.10.1",
//		Entries:   []image.Entry{image.File("/pause", "bin/pause", 0o755)},
//		Config:    image.Config{Entrypoint: []string{"/pause"}, User: "65532:65532"},
//	}
//	written, err := image.WriteFile("pause.tar", spec)
//
// Layers are not compressed: the archives are read once, on the machine that wrote
// them, and compressing a 200 MB program costs more than reading it. File content is
// streamed from disk, so memory use does not grow with the size of an image.
package image
