// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"virtualcluster.io/virtualcluster/pkg/local/host"
)

// state is what a cluster remembers. Its file also says that the folder is a
// cluster's, which is what allows Down to remove it.
type state struct {
	// HostIP and NodeIP are the two ends of the veth pair.
	HostIP netip.Addr `json:"hostIP"`
	NodeIP netip.Addr `json:"nodeIP"`
	// APIPort is the API server's port on NodeIP.
	APIPort int `json:"apiPort"`
	// Complete is set by the first Up that succeeded.
	Complete bool `json:"complete"`
}

// readState returns nil if there is no cluster.
func readState(l layout) (*state, error) {
	content, err := os.ReadFile(l.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's state: %w", err)
	}
	found := &state{}
	if err := json.Unmarshal(content, found); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove the cluster with local down", l.stateFile(), err)
	}
	return found, nil
}

func (s *state) write(l layout) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the cluster's state: %w", err)
	}
	return writeFile(l.stateFile(), append(content, '\n'), 0o644)
}

func (s *state) link(l layout) host.Link {
	return host.Link{Name: l.linkName(), Host: s.HostIP, Node: s.NodeIP, Bits: linkBits}
}

// server is the URL of the API.
func (s *state) server() string {
	return "https://" + netip.AddrPortFrom(s.NodeIP, uint16(s.APIPort)).String()
}

// writeFile writes a file whole or not at all, and leaves one alone that has the content.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return fmt.Errorf("writing a file: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("writing a file: %w", err)
	}
	return nil
}
