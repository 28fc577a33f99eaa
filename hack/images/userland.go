// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"virtualcluster.io/virtualcluster/pkg/local/image"
)

// users and groups are the accounts of the images with a shell. The last of each are in
// the agnhost image we stand for; a test of supplementary groups looks for them.
const (
	users = `root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
nonroot:x:65532:65532:nonroot:/tmp:/bin/sh
user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh
`
	groups = `root:x:0:
nogroup:x:65534:
nonroot:x:65532:
user-defined-in-image:x:1000:
group-defined-in-image:x:50000:user-defined-in-image
`
	nameServices = `passwd: files
group: files
hosts: files dns
`
)

// userland is a small Unix: busybox under the name of each of its tools, accounts and a
// place for temporary files.
func userland(ctx context.Context, in inputs) ([]image.Entry, error) {
	if err := requireStatic(in.busybox); err != nil {
		return nil, fmt.Errorf("%w; on Debian, install busybox-static", err)
	}
	tools, err := applets(ctx, in.busybox)
	if err != nil {
		return nil, err
	}
	entries := []image.Entry{
		image.File("/bin/busybox", in.busybox, 0o755),
		image.Link("/usr/bin/env", "/bin/busybox"), // where the first line of scripts expects it
		image.Text("/etc/passwd", users, 0o644),
		image.Text("/etc/group", groups, 0o644),
		image.Text("/etc/nsswitch.conf", nameServices, 0o644),
		image.Dir("/root", 0o700),
		image.Dir("/home/user-defined-in-image", 0o755).OwnedBy(1000),
		image.Dir("/tmp", 0o1777),
		image.Dir("/var/tmp", 0o1777),
	}
	for _, tool := range tools {
		entries = append(entries, image.Link("/bin/"+tool, "busybox"))
	}
	return entries, nil
}

// applets asks busybox for the names of its tools, without its own.
func applets(ctx context.Context, busybox string) ([]string, error) {
	list, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing tools of %s: %w", busybox, err)
	}
	var tools []string
	for _, tool := range strings.Fields(string(list)) {
		if tool != "busybox" {
			tools = append(tools, tool)
		}
	}
	return tools, nil
}

func describeBusybox(ctx context.Context, in inputs) (image.Spec, error) {
	entries, err := userland(ctx, in)
	return image.Spec{
		Reference: "docker.io/library/busybox:1.36",
		Entries:   entries,
		Config:    image.Config{Cmd: []string{"sh"}, Env: []string{searchPath}},
	}, err
}

// describeAgnhost is Kubernetes' test image. It runs as root, as tests expect that bind
// low ports or change files. The certificate is the one agnhost serves with unless told
// otherwise; it is published in its source and protects nothing.
func describeAgnhost(ctx context.Context, in inputs) (image.Spec, error) {
	agnhost, err := in.program("/agnhost", "agnhost")
	if err != nil {
		return image.Spec{}, err
	}
	entries, err := userland(ctx, in)
	certificate := filepath.Join(in.bin, "agnhost-certificate")
	return image.Spec{
		Reference: "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
		Entries: append(entries,
			agnhost,
			image.Link("/agnhost-2", "agnhost"), // the second program that tests of commands name
			image.File("/localhost.crt", filepath.Join(certificate, "localhost.crt"), 0o644),
			image.File("/localhost.key", filepath.Join(certificate, "localhost.key"), 0o644),
			image.Dir("/uploads", 0o755),
		),
		Config: image.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}, Env: []string{searchPath}},
	}, err
}
