// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

//go:embed templates
var templateFiles embed.FS

// uidMap is what the gVisor shim is shown; see templates/containerd-shim-runsc-v1.
// The kernel's own map of a machine ends in 4294967295.
const uidMap = "         0          0 4294967294\n"

// settings is all that differs between the configuration files of two clusters.
type settings struct {
	BinDir           string
	CNIBinDir        string
	Cgroup           string
	ClusterDomain    string
	DNSIP            string
	NodeName         string
	PauseImage       string
	PodCIDR          string
	RestrictOOMScore bool
}

// configFile is one rendered file, by its path in the cluster's folder.
type configFile struct {
	path    string
	content []byte
	mode    uint32
}

// configFiles renders every configuration file. It is pure.
func configFiles(in settings) ([]configFile, error) {
	templates, err := template.New("").Option("missingkey=error").ParseFS(templateFiles, "templates/*")
	if err != nil {
		return nil, fmt.Errorf("parsing the configuration templates: %w", err)
	}
	targets := map[string]string{
		"containerd.toml": "etc/containerd.toml",
		"runsc.toml":      "etc/runsc.toml",
		"10-ptp.conflist": "etc/cni/10-ptp.conflist",
		"kubelet.yaml":    "etc/kubelet.yaml",
		"proxy.yaml":      "etc/proxy.yaml",
		"scheduler.yaml":  "etc/scheduler.yaml",
	}
	var files []configFile
	for name, path := range targets {
		file, err := render(templates, name, path, 0o644, in)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	// Nothing outside the machine can be reached, so nobody is asked for names outside the cluster.
	files = append(files, configFile{path: "etc/resolv.conf", content: []byte("# no name server\n"), mode: 0o644})
	if in.RestrictOOMScore {
		wrapper, err := render(templates, "containerd-shim-runsc-v1", "bin/containerd-shim-runsc-v1", 0o755, in)
		if err != nil {
			return nil, err
		}
		files = append(files, wrapper, configFile{path: "etc/uid_map", content: []byte(uidMap), mode: 0o644})
	}
	return files, nil
}

func render(templates *template.Template, name, path string, mode uint32, in settings) (configFile, error) {
	var content bytes.Buffer
	if err := templates.ExecuteTemplate(&content, name, in); err != nil {
		return configFile{}, fmt.Errorf("rendering %s: %w", name, err)
	}
	return configFile{path: path, content: content.Bytes(), mode: mode}, nil
}
