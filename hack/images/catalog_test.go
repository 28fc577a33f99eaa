// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"sigs.k8s.io/yaml"
)

// TestMain makes the test program a busybox of two tools: the tests need a static program
// that answers --list.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		fmt.Println("busybox\nnc\nsh")
		return
	}
	os.Exit(m.Run())
}

// programs is a folder with a static program for every image.
func programs(t *testing.T) inputs {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := requireStatic(self); err != nil {
		t.Skipf("the tests were built with cgo: %v", err)
	}
	in := inputs{bin: t.TempDir(), busybox: self}
	for _, name := range []string{"agnhost", "coredns", "kube", "kube-v1.36", "local-path-provisioner", "pause"} {
		if err := os.Symlink(self, filepath.Join(in.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	certificate := filepath.Join(in.bin, "agnhost-certificate")
	if err := os.Mkdir(certificate, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost.crt", "localhost.key"} {
		if err := os.WriteFile(filepath.Join(certificate, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// read returns the configuration of an archived image, and each path in it with its mode
// and what a link points to.
func read(t *testing.T, archive string) (v1.Config, map[string]string) {
	t.Helper()
	img, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, want 1 (%v)", len(layers), err)
	}
	stream, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	paths := map[string]string{}
	for reader := tar.NewReader(stream); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return file.Config, paths
		}
		if err != nil {
			t.Fatal(err)
		}
		paths["/"+header.Name] = strings.TrimSpace(fmt.Sprintf("%o %s", header.Mode, header.Linkname))
	}
}

func TestImages(t *testing.T) {
	in, out := programs(t), t.TempDir()
	path := []string{searchPath}
	tests := map[string]struct {
		reference string
		config    v1.Config
		paths     map[string]string
	}{
		"agnhost": {
			reference: "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
			config:    v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}, Env: path},
			paths: map[string]string{
				"/agnhost": "755", "/agnhost-2": "777 agnhost", "/localhost.crt": "644", "/bin/sh": "777 busybox",
				"/bin/nc": "777 busybox", "/etc/nsswitch.conf": "644", "/tmp/": "1777",
			},
		},
		"busybox": {
			reference: "docker.io/library/busybox:1.36",
			config:    v1.Config{Cmd: []string{"sh"}, Env: path},
			paths: map[string]string{
				"/bin/busybox": "755", "/bin/sh": "777 busybox", "/usr/bin/env": "777 /bin/busybox",
				"/etc/passwd": "644", "/etc/group": "644", "/tmp/": "1777", "/root/": "700",
			},
		},
		"control-plane": {
			reference: "ghcr.io/virtualcluster/control-plane:v1.37.1",
			config:    v1.Config{Entrypoint: []string{"/kube"}, Env: []string{"PATH=/", "HOME=/tmp"}, User: "65532:65532"},
			paths:     map[string]string{"/kube": "755", "/kubectl": "777 /kube", "/tmp/": "1777", "/data/": "700"},
		},
		"control-plane-v1.36": {
			reference: "ghcr.io/virtualcluster/control-plane:v1.36.4",
			config:    v1.Config{Entrypoint: []string{"/kube"}, Env: []string{"PATH=/", "HOME=/tmp"}, User: "65532:65532"},
			paths:     map[string]string{"/kube": "755", "/kubectl": "", "/tmp/": "1777", "/data/": "700"},
		},
		"coredns": {
			reference: "registry.k8s.io/coredns/coredns:v1.15.0",
			config:    v1.Config{Entrypoint: []string{"/coredns"}, User: "65532:65532", WorkingDir: "/"},
			paths:     map[string]string{"/coredns": "755"},
		},
		"local-path-provisioner": {
			reference: "docker.io/rancher/local-path-provisioner:v0.0.30",
			config:    v1.Config{Cmd: []string{"local-path-provisioner"}, Env: path, User: "65532:65532"},
			paths:     map[string]string{"/usr/bin/local-path-provisioner": "755", "/tmp/": "1777"},
		},
		"pause": {
			reference: "registry.k8s.io/pause:3.10.1",
			config:    v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"},
			paths:     map[string]string{"/pause": "755"},
		},
	}
	for name := range catalog() {
		if _, ok := tests[name]; !ok {
			t.Errorf("image %s has no test", name)
		}
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), in, out, "", []string{name}); err != nil {
				t.Fatal(err)
			}
			archive := filepath.Join(out, name+".tar")
			manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(archive) })
			if err != nil || len(manifest) != 1 {
				t.Fatalf("manifest %v (%v), want one image", manifest, err)
			}
			if diff := cmp.Diff([]string{tc.reference}, manifest[0].RepoTags); diff != "" {
				t.Errorf("reference (-want +got):\n%s", diff)
			}
			config, paths := read(t, archive)
			if diff := cmp.Diff(tc.config, config); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			for p, want := range tc.paths {
				if paths[p] != want {
					t.Errorf("%s is %q, want %q", p, paths[p], want)
				}
			}
		})
	}
}

func TestTagsFollowModules(t *testing.T) {
	tests := map[string]struct{ module, path, tag string }{
		"kubernetes":             {module: "../../kube/v1.37", path: "k8s.io/kubernetes", tag: kubernetesTag},
		"kubernetes 1.36":        {module: "../../kube/v1.36", path: "k8s.io/kubernetes", tag: kubernetes136Tag},
		"coredns":                {module: "../tools/coredns", path: "github.com/coredns/coredns", tag: corednsTag},
		"local-path-provisioner": {module: "../tools/local-path-provisioner", path: "github.com/rancher/local-path-provisioner", tag: provisionerTag},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module, err := os.ReadFile(filepath.Join(tc.module, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(module) {
				fields := strings.Fields(string(line))
				if len(fields) > 1 && fields[0] == "require" {
					fields = fields[1:]
				}
				if len(fields) > 1 && fields[0] == tc.path && strings.HasPrefix(fields[1], "v") {
					if fields[1] != tc.tag {
						t.Errorf("the image is tagged %s and the module is %s", tc.tag, fields[1])
					}
					return
				}
			}
			t.Errorf("%s/go.mod does not require %s", tc.module, tc.path)
		})
	}
}

// TestTheChartOffersWhatIsBuilt: a version whose image nobody makes cannot start, and an
// image that no class offers is built for nothing.
func TestTheChartOffersWhatIsBuilt(t *testing.T) {
	content, err := os.ReadFile("../../charts/virtualcluster/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Class struct {
			Versions []struct{ Name, Image string }
		}
	}
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	offered := map[string]string{}
	for _, version := range values.Class.Versions {
		offered[version.Name] = version.Image
	}
	built := map[string]string{}
	for name, describe := range catalog() {
		if !strings.HasPrefix(name, "control-plane") {
			continue
		}
		spec, err := describe(t.Context(), programs(t))
		if err != nil {
			t.Fatal(err)
		}
		_, tag, _ := strings.Cut(spec.Reference, ":")
		built[tag] = spec.Reference
	}
	if diff := cmp.Diff(built, offered); diff != "" {
		t.Errorf("versions (-built +offered by the chart):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	in := programs(t)
	script := filepath.Join(in.bin, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		in      inputs
		koCache string
		names   []string
		want    string
	}{
		"no name":            {in: in, want: "name at least one image of: agnhost, busybox"},
		"unknown name":       {in: in, names: []string{"nginx"}, want: `there is no image "nginx"; there are: agnhost`},
		"name for ko's base": {in: in, koCache: t.TempDir(), names: []string{"pause"}, want: "takes no image names"},
		"missing program":    {in: inputs{bin: t.TempDir()}, names: []string{"pause"}, want: "no such file"},
		"busybox no program": {in: inputs{bin: in.bin, busybox: script}, names: []string{"busybox"}, want: "install busybox-static"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), tc.in, t.TempDir(), tc.koCache, tc.names)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
