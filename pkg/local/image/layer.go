// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time stamp of everything in an image.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// layer is an uncompressed layer whose tar stream is made anew, from the files on disk,
// each time it is read. The layers of go-containerregistry compress what they are given,
// or hold it in memory.
type layer struct {
	entries []Entry
	digest  v1.Hash
	size    int64
}

var _ v1.Layer = (*layer)(nil)

// newLayer completes the entries and reads them once for their digest.
func newLayer(entries []Entry) (*layer, error) {
	all, err := complete(entries)
	if err != nil {
		return nil, err
	}
	l := &layer{entries: all}
	stream, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }() // ends the writer when reading failed
	l.digest, l.size, err = v1.SHA256(stream)
	if err != nil {
		return nil, fmt.Errorf("computing digest of layer: %w", err)
	}
	return l, nil
}

// Digest is the digest of the blob; without compression it equals DiffID.
func (l *layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID is the digest of the tar stream.
func (l *layer) DiffID() (v1.Hash, error) { return l.digest, nil }

// Size is the length of the tar stream in bytes.
func (l *layer) Size() (int64, error) { return l.size, nil }

// MediaType says that the layer is a plain tar stream.
func (l *layer) MediaType() (types.MediaType, error) { return types.DockerUncompressedLayer, nil }

// Compressed is the blob: the tar stream as it is.
func (l *layer) Compressed() (io.ReadCloser, error) { return l.Uncompressed() }

// Uncompressed streams the entries. Closing the reader early ends the writer behind it.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeEntries(writer, l.entries)) }()
	return reader, nil
}

// writeEntries writes the entries as one tar stream.
func writeEntries(w io.Writer, entries []Entry) error {
	stream := tar.NewWriter(w)
	for _, e := range entries {
		if err := e.writeTo(stream); err != nil {
			return err
		}
	}
	if err := stream.Close(); err != nil {
		return fmt.Errorf("ending layer: %w", err)
	}
	return nil
}
