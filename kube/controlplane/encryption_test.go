// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
)

// keyLine is a line of encryption.keys, made of one byte.
func keyLine(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, encryptionKeySize)) + "\n"
}

func TestParseEncryptionKeys(t *testing.T) {
	tests := map[string]struct {
		content string
		want    int    // keys
		refused string // part of the error
	}{
		"one":              {keyLine(1), 1, ""},
		"two":              {keyLine(1) + keyLine(2), 2, ""},
		"empty lines":      {"\n" + keyLine(1) + "\n\n" + keyLine(2), 2, ""},
		"no end of line":   {strings.TrimSpace(keyLine(1)), 1, ""},
		"nothing":          {"", 0, "it holds no key"},
		"only empty lines": {"\n \n", 0, "it holds no key"},
		"not base64":       {keyLine(1) + "%%%secret%%%\n", 0, "line 2 is not base64"},
		"too short":        {"c2hvcnQ=\n", 0, "line 1 holds 5 bytes: a key has 32"},
		"twice":            {keyLine(1) + "\n" + keyLine(1), 0, "line 3 repeats line 1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			keys, err := parseEncryptionKeys([]byte(tc.content))
			if len(keys) != tc.want {
				t.Errorf("%d keys, want %d", len(keys), tc.want)
			}
			if (err == nil) != (tc.refused == "") || (err != nil && !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("error %v, want %q", err, tc.refused)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells what the file holds: %v", err)
			}
		})
	}
}

func TestReadEncryptionKeys(t *testing.T) {
	name := encryptionKeyName(bytes.Repeat([]byte{1}, encryptionKeySize))
	tests := map[string]struct {
		file    string // empty: there is none
		last    string
		noData  bool
		refused string
	}{
		"never encrypted":          {},
		"first time":               {file: keyLine(1)},
		"again":                    {file: keyLine(1), last: name},
		"a new key before the old": {file: keyLine(2) + keyLine(1), last: name},
		"the old key is gone":      {file: keyLine(2), last: name, refused: "lacks key " + name},
		"the file is gone":         {last: name, refused: "lacks key " + name},
		"of a database that is no more": {
			file: keyLine(2), last: name, noData: true,
		},
		"damaged": {file: "x\n", refused: "line 1"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			o := validOptions()
			o.DataDir, o.PKIDir = t.TempDir(), t.TempDir()
			if !tc.noData {
				if err := os.MkdirAll(filepath.Join(o.DataDir, "etcd", "member"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for path, content := range map[string]string{
				filepath.Join(o.PKIDir, fileEncryptionKeys): tc.file, filepath.Join(o.DataDir, encryptionKeyFile): tc.last,
			} {
				if content == "" {
					continue
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := readEncryptionKeys(o)
			if (err == nil) != (tc.refused == "") || (err != nil && !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("error %v, want %q", err, tc.refused)
			}
		})
	}
}

// TestEncryption runs kube-apiserver's own reading of the configuration: what
// one list of keys wrote, another reads, wherever the key stands in it.
func TestEncryption(t *testing.T) {
	plain := []byte("the password")
	stored := map[string][]byte{
		"plain": plain,
		"1":     encrypt(t, keyLine(1), plain),
		"1,2":   encrypt(t, keyLine(1)+keyLine(2), plain),
		"2,1":   encrypt(t, keyLine(2)+keyLine(1), plain),
	}
	for by, content := range stored {
		prefix := []byte("k8s:enc:secretbox:v1:")
		if encrypted := by != "plain"; bytes.HasPrefix(content, prefix) != encrypted || bytes.Contains(content, plain) == encrypted {
			t.Errorf("written by %s: %q", by, content)
		}
	}
	tests := map[string]struct {
		keys  string
		reads []string
	}{
		"the first key":  {keyLine(1), []string{"plain", "1", "1,2"}},
		"the second key": {keyLine(2), []string{"plain", "2,1"}},
		"both":           {keyLine(2) + keyLine(1), []string{"plain", "1", "1,2", "2,1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			transformer := transformerOf(t, tc.keys)
			for by, content := range stored {
				read, _, err := transformer.TransformFromStorage(t.Context(), content, value.DefaultContext("key"))
				if want := slices.Contains(tc.reads, by); (err == nil && bytes.Equal(read, plain)) != want {
					t.Errorf("reading what %s wrote: %q, %v; readable should be %v", by, read, err, want)
				}
			}
		})
	}
}

func encrypt(t *testing.T, keys string, plain []byte) []byte {
	t.Helper()
	content, err := transformerOf(t, keys).TransformToStorage(t.Context(), plain, value.DefaultContext("key"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func transformerOf(t *testing.T, lines string) value.Transformer {
	t.Helper()
	keys, err := parseEncryptionKeys([]byte(lines))
	if err != nil {
		t.Fatal(err)
	}
	o := validOptions()
	o.DataDir = t.TempDir()
	path, release, err := openEncryption(o, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	entries, err := os.ReadDir(o.DataDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != encryptionKeyFile {
		t.Fatalf("the data directory holds %v, %v; want only %s: keys are not for its disk", entries, err, encryptionKeyFile)
	}
	configuration, err := encryptionconfig.LoadEncryptionConfig(context.WithoutCancel(t.Context()), path, false, "test")
	if err != nil {
		t.Fatal(err)
	}
	if len(configuration.Transformers) != 1 {
		t.Errorf("%d kinds are encrypted, want Secrets alone", len(configuration.Transformers))
	}
	return configuration.Transformers[schema.GroupResource{Resource: "secrets"}]
}
