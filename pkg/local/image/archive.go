// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Write writes the image to w as a docker-archive that imports under spec.Reference. A
// reference without registry or tag is refused: importers would complete it, each in its
// own way, and kubelet would then not find it.
func Write(w io.Writer, spec Spec) error {
	img, err := tagged(spec)
	if err != nil {
		return err
	}
	return write(w, img)
}

// WriteFile writes the archive of Write to the file path and reports whether it did: a
// file that already holds this image is left alone with its time stamp, so that whoever
// uses it can see that nothing changed. The file is there complete or not at all; an
// older one stays until the new one replaces it.
func WriteFile(path string, spec Spec) (written bool, err error) {
	img, err := tagged(spec)
	if err != nil {
		return false, err
	}
	want, err := tarball.ComputeManifest(img)
	if err != nil {
		return false, fmt.Errorf("computing manifest: %w", err)
	}
	if holds(path, want) {
		return false, nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return false, fmt.Errorf("creating archive: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone once it was renamed
	if err := fill(file, img); err != nil {
		return false, fmt.Errorf("filling archive: %w", err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return false, fmt.Errorf("moving archive into place: %w", err)
	}
	return true, nil
}

// fill writes the archive to the file, makes it readable for everybody and closes it.
func fill(file *os.File, img map[name.Reference]v1.Image) error {
	err := write(file, img)
	if err == nil {
		err = file.Chmod(0o644)
	}
	return errors.Join(err, file.Close())
}

// write writes the archive to w.
func write(w io.Writer, img map[name.Reference]v1.Image) error {
	if err := tarball.MultiRefWrite(img, w); err != nil {
		return fmt.Errorf("writing archive: %w", err)
	}
	return nil
}

// holds reports whether the file path is an archive with this manifest. It compares the
// names and the digest of the configuration, in which those of the layers are. Whatever
// cannot be read as an archive is simply not this one.
func holds(path string, want tarball.Manifest) bool {
	got, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		return false
	}
	return slices.EqualFunc(got, want, func(a, b tarball.Descriptor) bool {
		return a.Config == b.Config && slices.Equal(a.RepoTags, b.RepoTags)
	})
}
