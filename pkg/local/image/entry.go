// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
)

// parentMode is the mode of directories that no entry names but that an entry lies in.
const parentMode = 0o755

// Entry is one path in an image. Make one with File, Text, Link or Dir and change its
// owner with OwnedBy; the zero Entry is refused.
type Entry struct {
	path     string
	typeflag byte
	mode     int64
	owner    int
	source   string
	text     string
	target   string
}

// File is a regular file at the absolute path p with the content of the file source on
// this machine. The mode is a Unix mode (as in 0o1777), not an fs.FileMode, and is not
// taken from source: the bits a build machine gives a file are no property of the image.
func File(p, source string, mode int64) Entry {
	return Entry{path: p, typeflag: tar.TypeReg, mode: mode, source: source}
}

// Text is a regular file at the absolute path p with the content given.
func Text(p, content string, mode int64) Entry {
	return Entry{path: p, typeflag: tar.TypeReg, mode: mode, text: content}
}

// Link is a symbolic link at the absolute path p to target, which is kept as written.
func Link(p, target string) Entry {
	return Entry{path: p, typeflag: tar.TypeSymlink, mode: 0o777, target: target}
}

// Dir is a directory at the absolute path p. Directories above an entry need not be
// listed: they are made, owned by root, with mode 0755.
func Dir(p string, mode int64) Entry {
	return Entry{path: p, typeflag: tar.TypeDir, mode: mode}
}

// OwnedBy returns the entry with the numeric user and group id given. The default is root.
func (e Entry) OwnedBy(id int) Entry {
	e.owner = id
	return e
}

// complete returns the entries sorted by path and with the missing parent directories.
// It refuses paths that are not absolute and clean, a path given twice, and an entry
// below something that is not a directory: a runtime would unpack those in a way that
// depends on their order.
func complete(entries []Entry) ([]Entry, error) {
	byPath, err := index(entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		for dir := path.Dir(e.path); dir != "/"; dir = path.Dir(dir) {
			parent, ok := byPath[dir]
			if ok && parent.typeflag != tar.TypeDir {
				return nil, fmt.Errorf("path %q lies below %q, which is not a directory", e.path, dir)
			}
			if !ok {
				byPath[dir] = Dir(dir, parentMode)
			}
		}
	}
	sorted := make([]Entry, 0, len(byPath))
	for _, e := range byPath {
		sorted = append(sorted, e)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].path < sorted[j].path })
	return sorted, nil
}

// index checks each entry by itself and returns them by path.
func index(entries []Entry) (map[string]Entry, error) {
	byPath := make(map[string]Entry, len(entries))
	for _, e := range entries {
		if e.typeflag == 0 {
			return nil, fmt.Errorf("entry %q has no type", e.path)
		}
		if !path.IsAbs(e.path) || path.Clean(e.path) != e.path || e.path == "/" {
			return nil, fmt.Errorf("path %q is not an absolute, clean path below /", e.path)
		}
		if _, twice := byPath[e.path]; twice {
			return nil, fmt.Errorf("path %q is given twice", e.path)
		}
		byPath[e.path] = e
	}
	return byPath, nil
}

// writeTo appends the entry to a layer.
func (e Entry) writeTo(layer *tar.Writer) error {
	if e.source != "" {
		return e.copySource(layer)
	}
	if err := layer.WriteHeader(e.header(int64(len(e.text)))); err != nil {
		return fmt.Errorf("writing header of %s: %w", e.path, err)
	}
	if _, err := io.WriteString(layer, e.text); err != nil {
		return fmt.Errorf("writing %s: %w", e.path, err)
	}
	return nil
}

// copySource streams the entry's file into the layer.
func (e Entry) copySource(layer *tar.Writer) error {
	source, err := os.Open(e.source)
	if err != nil {
		return fmt.Errorf("opening content of %s: %w", e.path, err)
	}
	defer func() { _ = source.Close() }() // it was only read
	info, err := source.Stat()
	if err != nil {
		return fmt.Errorf("reading size of %s: %w", e.source, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("content of %s: %s is not a regular file", e.path, e.source)
	}
	if err := layer.WriteHeader(e.header(info.Size())); err != nil {
		return fmt.Errorf("writing header of %s: %w", e.path, err)
	}
	if _, err := io.Copy(layer, source); err != nil {
		return fmt.Errorf("copying %s to %s: %w", e.source, e.path, err)
	}
	return nil
}

// header is the entry's tar header. Names in a layer have no leading slash, and those of
// directories end in one.
func (e Entry) header(size int64) *tar.Header {
	name := strings.TrimPrefix(e.path, "/")
	if e.typeflag == tar.TypeDir {
		name += "/"
	}
	return &tar.Header{
		Typeflag: e.typeflag,
		Name:     name,
		Linkname: e.target,
		Size:     size,
		Mode:     e.mode,
		Uid:      e.owner,
		Gid:      e.owner,
		ModTime:  epoch(),
		Format:   tar.FormatPAX,
	}
}
