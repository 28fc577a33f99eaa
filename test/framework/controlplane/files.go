// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplanetest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// currentFiles is the link in the PKI directory that says which files are the
// current ones, as in a volume that the kubelet makes of a Secret.
const currentFiles = "..data"

// ReplaceFiles changes files of the PKI directory, and adds new ones, all at
// one moment, as the kubelet does when the Secret of a volume has changed. The
// process runs on. Content nil removes a file.
func (i *Instance) ReplaceFiles(t testing.TB, files map[string][]byte) {
	t.Helper()
	if err := i.replaceFiles(files); err != nil {
		t.Fatalf("replacing files of the control plane: %v", err)
	}
}

// replaceFiles writes all files to a directory of their own, and then lets the
// link point there.
func (i *Instance) replaceFiles(changed map[string][]byte) error {
	files := maps.Clone(i.files)
	if files == nil {
		files = map[string][]byte{}
	}
	maps.Copy(files, changed)
	maps.DeleteFunc(files, func(_ string, content []byte) bool { return content == nil })
	if err := os.MkdirAll(i.pkiDir(), 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(i.pkiDir(), "..")
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	old, err := os.Readlink(filepath.Join(i.pkiDir(), currentFiles))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := i.point(filepath.Base(dir)); err != nil {
		return err
	}
	if err := i.link(files); err != nil {
		return err
	}
	i.files = files
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(i.pkiDir(), old))
}

// point lets currentFiles point to dir.
func (i *Instance) point(dir string) error {
	next := filepath.Join(i.pkiDir(), currentFiles+"_tmp")
	if err := os.Symlink(dir, next); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(i.pkiDir(), currentFiles))
}

// link makes a link for each file that has none, and removes those of files that are gone.
func (i *Instance) link(files map[string][]byte) error {
	for name := range files {
		err := os.Symlink(filepath.Join(currentFiles, name), filepath.Join(i.pkiDir(), name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for name := range i.files {
		if _, kept := files[name]; !kept {
			if err := os.Remove(filepath.Join(i.pkiDir(), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Log returns all that the process has printed, its audit log too.
func (i *Instance) Log(t testing.TB) []byte {
	t.Helper()
	content, err := os.ReadFile(i.logFile())
	if err != nil {
		t.Fatal(fmt.Errorf("reading the control plane's log: %w", err))
	}
	return content
}
