// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"virtualcluster.io/virtualcluster/pkg/local/image"
)

// found is what the tests look at in a tar header.
type found struct {
	Type    byte
	Mode    int64
	Owner   int
	Link    string
	Content string
}

// writeSource makes a file whose mode and time are unlike those of any entry.
func writeSource(t *testing.T, content string, modified time.Time) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(source, modified, modified); err != nil {
		t.Fatal(err)
	}
	return source
}

// archive writes the image of spec and returns the bytes.
func archive(t *testing.T, spec image.Spec) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := image.Write(&out, spec); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// members returns the content of every member of a tar stream, and their headers.
func members(t *testing.T, stream []byte) (map[string]string, []*tar.Header) {
	t.Helper()
	contents := map[string]string{}
	var headers []*tar.Header
	for reader := tar.NewReader(bytes.NewReader(stream)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return contents, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		contents[header.Name] = string(content)
		headers = append(headers, header)
	}
}

// manifest is the manifest.json of a docker-archive.
type manifest []struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// unpack takes an archive of one image and one layer apart.
func unpack(t *testing.T, stream []byte) (m manifest, config, layer string) {
	t.Helper()
	contents, _ := members(t, stream)
	if err := json.Unmarshal([]byte(contents["manifest.json"]), &m); err != nil {
		t.Fatalf("parsing manifest.json: %v", err)
	}
	if len(m) != 1 || len(m[0].Layers) != 1 {
		t.Fatalf("manifest %+v, want one image of one layer", m)
	}
	return m, contents[m[0].Config], contents[m[0].Layers[0]]
}

// digest is the name of a blob in a configuration.
func digest(blob string) string {
	sum := sha256.Sum256([]byte(blob))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestLayer(t *testing.T) {
	program := writeSource(t, "program", time.Now())
	spec := image.Spec{
		Reference: "example.com/a/b:1",
		Entries: []image.Entry{
			image.Link("/usr/bin/sh", "../../tool"),
			image.Dir("/tmp", 0o1777),
			image.File("/tool", program, 0o755),
			image.Text("/etc/passwd", "root:x:0:0::/:/bin/sh\n", 0o644),
			image.Dir("/data", 0o700).OwnedBy(65532),
		},
	}
	_, _, layer := unpack(t, archive(t, spec))
	contents, headers := members(t, []byte(layer))
	got, names := map[string]found{}, []string{}
	for _, h := range headers {
		if h.Uid != h.Gid {
			t.Errorf("%s: user %d and group %d differ", h.Name, h.Uid, h.Gid)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s: time stamp %s, want the epoch", h.Name, h.ModTime)
		}
		got[h.Name] = found{Type: h.Typeflag, Mode: h.Mode, Owner: h.Uid, Link: h.Linkname, Content: contents[h.Name]}
		names = append(names, h.Name)
	}
	want := map[string]found{
		"data/":      {Type: tar.TypeDir, Mode: 0o700, Owner: 65532},
		"etc/":       {Type: tar.TypeDir, Mode: 0o755},
		"etc/passwd": {Type: tar.TypeReg, Mode: 0o644, Content: "root:x:0:0::/:/bin/sh\n"},
		"tmp/":       {Type: tar.TypeDir, Mode: 0o1777},
		"tool":       {Type: tar.TypeReg, Mode: 0o755, Content: "program"},
		"usr/":       {Type: tar.TypeDir, Mode: 0o755},
		"usr/bin/":   {Type: tar.TypeDir, Mode: 0o755},
		"usr/bin/sh": {Type: tar.TypeSymlink, Mode: 0o777, Link: "../../tool"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	wantNames := []string{"data/", "etc/", "etc/passwd", "tmp/", "tool", "usr/", "usr/bin/", "usr/bin/sh"}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestReproducible(t *testing.T) {
	entries := func(modified time.Time) []image.Entry {
		return []image.Entry{
			image.File("/a", writeSource(t, "same", modified), 0o755),
			image.Text("/b/c", "text", 0o644),
			image.Link("/b/d", "c"),
			image.Dir("/e", 0o1777),
		}
	}
	spec := image.Spec{Reference: "example.com/a:1", Entries: entries(time.Unix(1e9, 0)), Config: image.Config{User: "65532"}}
	first := archive(t, spec)

	again := spec
	again.Entries = entries(time.Unix(2e9, 0))
	again.Entries[0], again.Entries[3] = again.Entries[3], again.Entries[0]
	if !bytes.Equal(first, archive(t, again)) {
		t.Error("other source times, paths and order of entries changed the archive")
	}

	changes := map[string]func(*image.Spec){
		"content":   func(s *image.Spec) { s.Entries[1] = image.Text("/b/c", "Text", 0o644) },
		"mode":      func(s *image.Spec) { s.Entries[1] = image.Text("/b/c", "text", 0o600) },
		"owner":     func(s *image.Spec) { s.Entries[1] = s.Entries[1].OwnedBy(1) },
		"link":      func(s *image.Spec) { s.Entries[2] = image.Link("/b/d", "./c") },
		"user":      func(s *image.Spec) { s.Config.User = "1" },
		"reference": func(s *image.Spec) { s.Reference = "example.com/a:2" },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			changed := spec
			changed.Entries = append([]image.Entry(nil), spec.Entries...)
			change(&changed)
			if bytes.Equal(first, archive(t, changed)) {
				t.Error("the archive did not change")
			}
		})
	}
}

func TestConfig(t *testing.T) {
	spec := image.Spec{
		Reference: "example.com/a:1",
		Entries:   []image.Entry{image.Dir("/tmp", 0o1777)},
		Config: image.Config{
			Entrypoint: []string{"/agnhost"},
			Cmd:        []string{"pause"},
			Env:        []string{"PATH=/bin"},
			User:       "65532:65532",
			WorkingDir: "/tmp",
		},
	}
	_, raw, layer := unpack(t, archive(t, spec))
	var got map[string]any
	if err := json.Unmarshal([]byte(raw), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "history")
	want := map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      "1970-01-01T00:00:00Z",
		"config": map[string]any{
			"Entrypoint": []any{"/agnhost"},
			"Cmd":        []any{"pause"},
			"Env":        []any{"PATH=/bin"},
			"User":       "65532:65532",
			"WorkingDir": "/tmp",
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{digest(layer)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestReference(t *testing.T) {
	tests := map[string]struct {
		reference string
		refused   bool
	}{
		"registry, path and tag":     {reference: "registry.k8s.io/e2e-test-images/agnhost:2.66.1"},
		"docker.io stays as written": {reference: "docker.io/library/busybox:1.36"},
		"tag with a dash":            {reference: "ghcr.io/virtualcluster/syncer:0.1.0-dev"},
		"no tag":                     {reference: "registry.k8s.io/pause", refused: true},
		"no registry":                {reference: "library/busybox:1.36", refused: true},
		"short name":                 {reference: "busybox:1.36", refused: true},
		"illegal character":          {reference: "ghcr.io/VirtualCluster/syncer:1", refused: true},
		"empty":                      {refused: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := image.Write(&out, image.Spec{Reference: tc.reference, Entries: []image.Entry{image.Dir("/tmp", 0o1777)}})
			if refused := err != nil; refused != tc.refused {
				t.Fatalf("error %v, want one: %t", err, tc.refused)
			}
			if tc.refused {
				if out.Len() != 0 {
					t.Errorf("%d bytes were written in spite of the error", out.Len())
				}
				return
			}
			m, _, _ := unpack(t, out.Bytes())
			if diff := cmp.Diff([]string{tc.reference}, m[0].RepoTags); diff != "" {
				t.Errorf("RepoTags (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusedEntries(t *testing.T) {
	tests := map[string]struct {
		entries []image.Entry
		want    string
	}{
		"relative path":  {entries: []image.Entry{image.Dir("tmp", 0o755)}, want: "not an absolute, clean path"},
		"parent in path": {entries: []image.Entry{image.Dir("/a/../tmp", 0o755)}, want: "not an absolute, clean path"},
		"trailing slash": {entries: []image.Entry{image.Dir("/tmp/", 0o755)}, want: "not an absolute, clean path"},
		"root":           {entries: []image.Entry{image.Dir("/", 0o755)}, want: "not an absolute, clean path"},
		"twice":          {entries: []image.Entry{image.Dir("/tmp", 0o755), image.Link("/tmp", "x")}, want: "given twice"},
		"below a link":   {entries: []image.Entry{image.Text("/a/b/c", "", 0o644), image.Link("/a", "/etc")}, want: `below "/a"`},
		"below a file":   {entries: []image.Entry{image.Text("/a", "", 0o644), image.Dir("/a/b", 0o755)}, want: `below "/a"`},
		"zero":           {entries: []image.Entry{{}}, want: "no type"},
		"no source":      {entries: []image.Entry{image.File("/a", "/nonexistent/file", 0o755)}, want: "opening content of /a"},
		"source is a directory": {
			entries: []image.Entry{image.File("/a", "/", 0o755)}, want: "not a regular file",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := image.Build(image.Spec{Reference: "example.com/a:1", Entries: tc.entries})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.tar")
	spec := image.Spec{Reference: "example.com/a:1", Entries: []image.Entry{image.Dir("/tmp", 0o1777)}}
	writeFile(t, path, spec, true)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, archive(t, spec)) {
		t.Error("WriteFile and Write differ")
	}

	broken := spec
	broken.Entries = []image.Entry{image.File("/a", filepath.Join(dir, "missing"), 0o755)}
	if _, err := image.WriteFile(path, broken); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want %v", err, fs.ErrNotExist)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("the older archive did not survive a failed build (%v)", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%d files in the folder, want the archive alone (%v)", len(left), err)
	}
}

// writeFile writes the archive and checks whether that was found necessary.
func writeFile(t *testing.T, path string, spec image.Spec, want bool) {
	t.Helper()
	written, err := image.WriteFile(path, spec)
	if err != nil {
		t.Fatal(err)
	}
	if written != want {
		t.Errorf("written: %t, want %t", written, want)
	}
}

func TestWriteFileOnlyOnChange(t *testing.T) {
	base := image.Spec{Reference: "example.com/a:1", Entries: []image.Entry{image.Text("/a", "a", 0o644)}}
	tests := map[string]struct {
		spoil func(t *testing.T, path string)
		spec  image.Spec
		want  bool
	}{
		"same": {spec: base},
		"other content": {
			spec: image.Spec{Reference: base.Reference, Entries: []image.Entry{image.Text("/a", "b", 0o644)}},
			want: true,
		},
		"other name": {spec: image.Spec{Reference: "example.com/a:2", Entries: base.Entries}, want: true},
		"other configuration": {
			spec: image.Spec{Reference: base.Reference, Entries: base.Entries, Config: image.Config{User: "1"}},
			want: true,
		},
		"no archive any more": {
			spoil: func(t *testing.T, path string) {
				if err := os.WriteFile(path, []byte("no tar"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			spec: base,
			want: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.tar")
			writeFile(t, path, base, true)
			if tc.spoil != nil {
				tc.spoil(t, path)
			}
			writeFile(t, path, tc.spec, tc.want)
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, archive(t, tc.spec)) {
				t.Errorf("the file is not the archive of the image (%v)", err)
			}
		})
	}
}
