// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

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
	same, err := holds(path, img)
	if same || err != nil {
		return false, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return false, fmt.Errorf("creating archive: %w", err)
	}
	defer os.Remove(file.Name()) // fails, as it should, once the file was renamed
	if err := fill(file, img); err != nil {
		return false, err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return false, fmt.Errorf("moving archive into place: %w", err)
	}
	return true, nil
}

// fill writes the archive to the file, makes it readable for everybody and closes it.
func fill(file *os.File, img map[name.Reference]v1.Image) error {
	if err := write(file, img); err != nil {
		file.Close()
		return err
	}
	if err := file.Chmod(0o644); err != nil {
		file.Close()
		return fmt.Errorf("setting mode of archive: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("closing archive: %w", err)
	}
	return nil
}

// write writes the archive to w.
func write(w io.Writer, img map[name.Reference]v1.Image) error {
	if err := tarball.MultiRefWrite(img, w); err != nil {
		return fmt.Errorf("writing archive: %w", err)
	}
	return nil
}

// holds reports whether the file path is an archive of this image under this name. It
// compares the manifests, which name everything else by its digest. Whatever is no
// archive is simply not this one.
func holds(path string, img map[name.Reference]v1.Image) (bool, error) {
	want, err := tarball.ComputeManifest(img)
	if err != nil {
		return false, fmt.Errorf("computing manifest: %w", err)
	}
	got, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		return false, nil //nolint:nilerr // it is written anew, and an unreadable folder fails there
	}
	return len(got) == 1 && len(want) == 1 &&
		got[0].Config == want[0].Config &&
		reflect.DeepEqual(got[0].RepoTags, want[0].RepoTags) &&
		reflect.DeepEqual(got[0].Layers, want[0].Layers), nil
}
