// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package host

import (
	"context"
	"net/netip"
	"time"
)

// Namespaces are Linux namespaces; see ErrNotLinux.
type Namespaces struct{ Dir string }

// NetFile is empty on this system.
func (n Namespaces) NetFile() string { return "" }

// MountFile is empty on this system.
func (n Namespaces) MountFile() string { return "" }

// Exist is false on this system.
func (n Namespaces) Exist() bool { return false }

// Create returns ErrNotLinux.
func (n Namespaces) Create(func() error) error { return ErrNotLinux }

// Run returns ErrNotLinux.
func (n Namespaces) Run(func() error) error { return ErrNotLinux }

// Kill returns ErrNotLinux.
func (n Namespaces) Kill(context.Context) error { return ErrNotLinux }

// Remove returns ErrNotLinux.
func (n Namespaces) Remove() error { return ErrNotLinux }

// UnmountBelow returns ErrNotLinux.
func UnmountBelow(string) error { return ErrNotLinux }

// UnmountAt returns ErrNotLinux.
func UnmountAt(string) error { return ErrNotLinux }

// Daemon is a detached program; see ErrNotLinux.
type Daemon struct {
	Argv, Env        []string
	PidFile, LogFile string
}

// Start returns ErrNotLinux.
func Start(Namespaces, Cgroups, Daemon) (Process, error) { return Process{}, ErrNotLinux }

// Stop returns ErrNotLinux.
func Stop(context.Context, Process, time.Duration) error { return ErrNotLinux }

func kill(int) error { return ErrNotLinux }

// Link is a veth pair; see ErrNotLinux.
type Link struct {
	Name       string
	Host, Node netip.Addr
	Bits       int
}

// Create returns ErrNotLinux.
func (l Link) Create(Namespaces) error { return ErrNotLinux }

// Exists is false on this system.
func (l Link) Exists() bool { return false }

// Remove returns ErrNotLinux.
func (l Link) Remove() error { return ErrNotLinux }

// UsedPrefixes returns ErrNotLinux.
func UsedPrefixes() ([]netip.Prefix, error) { return nil, ErrNotLinux }
