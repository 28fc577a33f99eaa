// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"virtualcluster.io/virtualcluster/pkg/local/host"
)

// configure writes every file that the parts of the cluster read.
func (s *starter) configure(context.Context) (bool, error) {
	changed, err := s.settle()
	if err != nil {
		return changed, err
	}
	for _, dir := range []string{"bin", "containerd", "control-plane", "etc", "kubelet", "logs/pods", "pids", "storage"} {
		if err := os.MkdirAll(s.layout.path(dir), 0o755); err != nil {
			return changed, fmt.Errorf("making a folder of the cluster: %w", err)
		}
	}
	if err := os.Chmod(s.layout.path("control-plane"), 0o700); err != nil {
		return changed, fmt.Errorf("closing the control plane's folder: %w", err)
	}
	files, err := configFiles(s.settings())
	if err != nil {
		return changed, err
	}
	for _, file := range files {
		if err := writeFile(s.layout.path(filepath.FromSlash(file.path)), file.content, fs.FileMode(file.mode)); err != nil {
			return changed, err
		}
	}
	made, err := writeCertificates(s.layout, s.state, s.clock.Now())
	return changed || made, err
}

// settle chooses a new cluster's addresses and marks its folder as a cluster's.
func (s *starter) settle() (changed bool, err error) {
	if s.state != nil && s.state.Complete {
		return false, nil
	}
	used, err := host.UsedPrefixes()
	if err != nil {
		return false, err
	}
	s.state = &state{APIPort: s.options.APIPort}
	if s.state.HostIP, s.state.NodeIP, err = s.layout.linkAddresses(used); err != nil {
		return false, err
	}
	if err := s.state.write(s.layout); err != nil {
		return false, err
	}
	return true, writeFile(s.layout.path(logsDir, logsMark), nil, 0o644)
}

func (s *starter) settings() settings {
	return settings{
		BinDir:           s.options.BinDir,
		CNIBinDir:        s.facts.cniBinDir,
		Cgroup:           s.layout.cgroups().Name,
		ClusterDomain:    clusterDomain,
		DNSIP:            dnsIP,
		NodeName:         NodeName,
		PauseImage:       pauseImage,
		PodCIDR:          podCIDR,
		RestrictOOMScore: s.facts.withheld,
	}
}

// prepare makes namespaces, network and cgroup, together or not at all: after
// the machine was started anew, all are gone.
func (s *starter) prepare(ctx context.Context) (bool, error) {
	link := s.state.link(s.layout)
	if s.layout.namespaces().Exist() && link.Exists() {
		return false, s.layout.cgroups().Create()
	}
	if err := vacate(ctx, s.layout); err != nil {
		return false, err
	}
	s.prepared = true
	if err := s.layout.cgroups().Create(); err != nil {
		return false, err
	}
	if err := s.layout.namespaces().Create(func() error { return furnish(s.layout, s.options) }); err != nil {
		return false, err
	}
	return true, link.Create(s.layout.namespaces())
}

// startRuntime starts containerd, and the control plane, which need not wait
// for each other.
func (s *starter) startRuntime(ctx context.Context) (bool, error) {
	controlPlane, err := s.start(ctx, daemonControlPlane)
	if err != nil {
		return controlPlane, err
	}
	changed, err := s.start(ctx, daemonContainerd)
	if err != nil {
		return changed || controlPlane, err
	}
	return changed || controlPlane, s.await(ctx, 30*time.Second, daemonContainerd, func(ctx context.Context) error {
		return dialInside(ctx, s.layout, daemonContainerd, containerdSocket)
	})
}

func (s *starter) importImages(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	changed, err := importImages(ctx, s.layout, s.options)
	if err != nil {
		err = fmt.Errorf("%w; see %s", err, s.layout.logFile(daemonContainerd))
	}
	return changed, err
}

// startClients starts everything that is a client of the API.
func (s *starter) startClients(ctx context.Context) (bool, error) {
	changed := false
	for _, name := range []string{daemonScheduler, daemonKubelet, daemonProxy} {
		started, err := s.start(ctx, name)
		if err != nil {
			return changed, err
		}
		changed = changed || started
	}
	return changed, nil
}
