// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// importedImage remembers an image file that containerd has.
type importedImage struct {
	// Size and ModTime (nanoseconds) say whether the file may have changed.
	Size    int64 `json:"size"`
	ModTime int64 `json:"modTime"`
	// Digest is the SHA-256 of the file.
	Digest string `json:"digest"`
}

// imports is what containerd has, by the file's name without .tar.
type imports map[string]importedImage

func importsFile(l layout) string { return l.path("images.json") }

// readImports returns nothing if nothing was imported yet.
func readImports(l layout) (imports, error) {
	content, err := os.ReadFile(importsFile(l))
	if errors.Is(err, os.ErrNotExist) {
		return imports{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of imported images: %w", err)
	}
	found := imports{}
	if err := json.Unmarshal(content, &found); err != nil {
		return nil, fmt.Errorf("reading %s: %w", importsFile(l), err)
	}
	return found, nil
}

func (i imports) write(l layout) error {
	content, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the list of imported images: %w", err)
	}
	return writeFile(importsFile(l), append(content, '\n'), 0o644)
}

// imageFiles lists the image files in a folder, sorted; none if it is not there.
func imageFiles(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	slices.Sort(files)
	return files, nil
}

// importImages gives containerd every image file whose content it does not
// have yet.
func importImages(ctx context.Context, l layout, options Options) (changed bool, err error) {
	files, err := imageFiles(options.ImagesDir)
	if err != nil {
		return false, err
	}
	known, err := readImports(l)
	if err != nil {
		return false, err
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".tar")
		imported, err := importImage(ctx, l, options, file, known[name])
		if err != nil {
			return changed, fmt.Errorf("importing image %s: %w", file, err)
		}
		if imported == known[name] {
			continue
		}
		changed = changed || imported.Digest != known[name].Digest
		known[name] = imported
		if err := known.write(l); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

func importImage(ctx context.Context, l layout, options Options, path string, known importedImage) (importedImage, error) {
	file, err := os.Open(path)
	if err != nil {
		return known, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return known, err
	}
	if known.Size == info.Size() && known.ModTime == info.ModTime().UnixNano() {
		return known, nil
	}
	digest, err := digestOf(file)
	if err != nil {
		return known, err
	}
	found := importedImage{Size: info.Size(), ModTime: info.ModTime().UnixNano(), Digest: digest}
	if digest == known.Digest {
		return found, nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return known, err
	}
	return found, ctr(ctx, l, options, file, "--namespace=k8s.io", "images", "import", "--local", "-")
}

func digestOf(file io.Reader) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// ctr runs containerd's client inside. What it said is part of the error.
func ctr(ctx context.Context, l layout, options Options, stdin *os.File, args ...string) error {
	args = append([]string{"--address=" + containerdSocket}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(options.BinDir, "ctr"), args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if err := l.namespaces().Run(cmd.Run); err != nil {
		return fmt.Errorf("ctr %s: %w: %s", args[len(args)-1], err, lastLine(output.String()))
	}
	return nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
