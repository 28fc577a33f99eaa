// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
)

// Secrets are encrypted before they reach the database if the PKI directory
// holds encryption.keys: lines of 32 bytes in base64. The first key encrypts,
// all decrypt, and what was written before there were keys is read as it is.
//
// The keys never touch the volume of the database, or who gets hold of the
// volume would have both: kube-apiserver reads its configuration from memory.

// encryptionKeySize is that of a key of secretbox, in bytes.
const encryptionKeySize = 32

// encryptionKeyFile in DataDir names the key that encrypted last.
const encryptionKeyFile = "encryption-key"

// encryptionKeyName identifies a key in what it encrypted, wherever it stands
// in the file: 64 bits of a digest, which say nothing about 256 random ones.
func encryptionKeyName(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// parseEncryptionKeys reads the file's content. No error holds a part of it.
func parseEncryptionKeys(content []byte) ([][]byte, error) {
	var keys [][]byte
	seen := map[string]int{}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is not base64", number)
		}
		if len(key) != encryptionKeySize {
			return nil, fmt.Errorf("line %d holds %d bytes: a key has %d", number, len(key), encryptionKeySize)
		}
		name := encryptionKeyName(key)
		if earlier, ok := seen[name]; ok {
			return nil, fmt.Errorf("line %d repeats line %d", number, earlier)
		}
		seen[name] = number
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no key: remove the file to store Secrets unencrypted")
	}
	return keys, nil
}

// encryptionConfiguration is kube-apiserver's, for at least one key.
func encryptionConfiguration(keys [][]byte) ([]byte, error) {
	secretbox := &apiserverv1.SecretboxConfiguration{}
	for _, key := range keys {
		secretbox.Keys = append(secretbox.Keys, apiserverv1.Key{
			Name: encryptionKeyName(key), Secret: base64.StdEncoding.EncodeToString(key),
		})
	}
	content, err := json.Marshal(apiserverv1.EncryptionConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "EncryptionConfiguration"},
		Resources: []apiserverv1.ResourceConfiguration{{
			Resources: []string{"secrets"},
			Providers: []apiserverv1.ProviderConfiguration{
				{Secretbox: secretbox},
				{Identity: &apiserverv1.IdentityConfiguration{}},
			},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the encryption configuration: %w", err)
	}
	return content, nil
}

// readEncryptionKeys returns the keys of the PKI directory, or none. It is
// called before the database is opened, and it is an
// error if the key that the database was written with last is not among them:
// kube-apiserver would start, and fail on every Secret.
func readEncryptionKeys(o *Options) ([][]byte, error) {
	path := pki(o.PKIDir).path(fileEncryptionKeys)
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--pki-dir: %w", err)
	}
	var keys [][]byte
	if err == nil {
		if keys, err = parseEncryptionKeys(content); err != nil {
			return nil, fmt.Errorf("--pki-dir: %s: %w", path, err)
		}
	}
	last, err := lastEncryptionKey(o)
	if err != nil {
		return nil, err
	}
	if last != "" && !hasKey(keys, last) {
		return nil, fmt.Errorf("--pki-dir: %s lacks key %s, which Secrets in this database are encrypted with: put the key back", path, last)
	}
	return keys, nil
}

// lastEncryptionKey returns the name of the key that encrypted when the
// process ran last on this database, or nothing.
func lastEncryptionKey(o *Options) (string, error) {
	if _, err := os.Stat(filepath.Join(o.DataDir, "etcd", "member")); errors.Is(err, fs.ErrNotExist) {
		return "", nil // a new database; a name would be of one that is gone
	}
	name, err := os.ReadFile(filepath.Join(o.DataDir, encryptionKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("--data-dir: %w", err)
	}
	return string(bytes.TrimSpace(name)), nil
}

func hasKey(keys [][]byte, name string) bool {
	for _, key := range keys {
		if encryptionKeyName(key) == name {
			return true
		}
	}
	return false
}

// openEncryption makes kube-apiserver's configuration and returns its path,
// which is empty if there are no keys. The file is gone after release.
func openEncryption(o *Options, keys [][]byte) (path string, release func(), err error) {
	if len(keys) == 0 {
		return "", func() {}, nil
	}
	content, err := encryptionConfiguration(keys)
	if err != nil {
		return "", nil, err
	}
	file, err := memoryFile("encryption.json", content)
	if err != nil {
		return "", nil, fmt.Errorf("writing the encryption configuration: %w", err)
	}
	// Written before the first Secret is: a crash in between costs nothing.
	name := encryptionKeyName(keys[0]) + "\n"
	if err := os.WriteFile(filepath.Join(o.DataDir, encryptionKeyFile), []byte(name), 0o600); err != nil {
		return "", nil, errors.Join(fmt.Errorf("--data-dir: %w", err), file.Close())
	}
	release = func() { _ = file.Close() } // it is memory: nothing can be lost
	return fmt.Sprintf("/proc/self/fd/%d", file.Fd()), release, nil
}

// memoryFile makes a file that is on no disk (memfd_create(2)). Whoever may
// open it is whoever may read this process's memory.
func memoryFile(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	if _, err := file.Write(content); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
