// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Identity is by what a database knows a member: two random-looking numbers.
type Identity struct{ Member, Cluster uint64 }

// Disk is a replica's volume, as far as the membership is concerned.
type Disk struct {
	// Data: there is the log of a database. etcd makes the log last and at
	// once, so whatever else is there without it was never a part of a database.
	Data bool
	// Identity is whom the volume's database knew this replica as when it last
	// ran; nil: it never did.
	Identity *Identity
	// Removed: the database's members have removed this one.
	Removed bool
	// RemovedAt is the Intent.Revision at which they did.
	RemovedAt string
}

// Volume is the directory of a replica's database and of what it knows about
// its membership.
type Volume string

const (
	dirDatabase  = "etcd"
	fileIdentity = "member"  // "<member id> <cluster id>", hexadecimal
	fileRemoved  = "removed" // the revision at which this member was removed
)

// Database is the directory of etcd.
func (v Volume) Database() string { return filepath.Join(string(v), dirDatabase) }

// Read reads what the volume knows.
func (v Volume) Read() (Disk, error) {
	logs, err := filepath.Glob(filepath.Join(v.Database(), "member", "wal", "*.wal"))
	if err != nil {
		return Disk{}, fmt.Errorf("looking for the database's log: %w", err)
	}
	disk := Disk{Data: len(logs) > 0}
	disk.Identity, err = v.readIdentity()
	if err != nil {
		return Disk{}, err
	}
	marker, err := os.ReadFile(v.path(fileRemoved))
	switch {
	case err == nil:
		disk.Removed, disk.RemovedAt = true, string(marker)
	case !errors.Is(err, fs.ErrNotExist):
		return Disk{}, fmt.Errorf("reading whether this member was removed: %w", err)
	}
	return disk, nil
}

func (v Volume) readIdentity() (*Identity, error) {
	content, err := os.ReadFile(v.path(fileIdentity))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no identity is an answer, and not an error.
	}
	if err != nil {
		return nil, fmt.Errorf("reading the member's identity: %w", err)
	}
	identity := &Identity{}
	if _, err := fmt.Sscanf(strings.TrimSpace(string(content)), "%x %x", &identity.Member, &identity.Cluster); err != nil {
		return nil, fmt.Errorf("%s does not hold two hexadecimal numbers: %w", v.path(fileIdentity), err)
	}
	return identity, nil
}

// WriteIdentity remembers who this replica is.
func (v Volume) WriteIdentity(identity Identity) error {
	if err := v.write(fileIdentity, fmt.Sprintf("%x %x\n", identity.Member, identity.Cluster)); err != nil {
		return fmt.Errorf("writing the member's identity: %w", err)
	}
	return nil
}

// MarkRemoved remembers that this member was removed, at which revision.
func (v Volume) MarkRemoved(revision string) error {
	if err := v.write(fileRemoved, revision); err != nil {
		return fmt.Errorf("writing that this member was removed: %w", err)
	}
	return nil
}

// Clear removes the database and all that is known about it. The mark of a
// removal goes last: a crash in between must not make a new replica of one
// whose data was half removed.
func (v Volume) Clear() error {
	for _, path := range []string{v.Database(), v.path(fileIdentity), v.path(fileRemoved)} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("clearing the database's directory: %w", err)
		}
	}
	return nil
}

func (v Volume) path(file string) string { return filepath.Join(string(v), file) }

// write replaces a file so that a crash leaves the old one or the new one.
func (v Volume) write(name, content string) error {
	file, err := os.CreateTemp(string(v), name+".*")
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), v.path(name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
