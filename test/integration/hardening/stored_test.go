// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	fileEncryptionKeys = "encryption.keys"
	encryptedPrefix    = "k8s:enc:secretbox:v1:"
)

// TestSecretsAtRest switches encryption on for a control plane that has
// Secrets already, and then changes the key.
func TestSecretsAtRest(t *testing.T) {
	controlPlane := controlplanetest.Start(t, controlplanetest.Options{})
	client, err := kubernetes.NewForConfig(controlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	s := &secrets{controlPlane: controlPlane, client: client, values: map[string]string{}}
	s.create(t, "before")
	if stored := s.stored(t, "before"); !bytes.Contains(stored, []byte(s.values["before"])) {
		t.Fatalf("without a key the Secret does not lie in the database as it is: %q", stored)
	}

	first, second := newKey(t), newKey(t)
	s.restart(t, first+"\n")
	s.create(t, "after")
	s.wantEncrypted(t, "after")
	s.wantReadable(t)
	s.wantNowhere(t, s.values["after"], first)

	// What is written again is encrypted.
	if _, err := client.CoreV1().Secrets("default").Patch(t.Context(), "before", "application/merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"again":"true"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.wantEncrypted(t, "before")

	s.restart(t, second+"\n"+first+"\n")
	s.create(t, "second")
	s.wantEncrypted(t, "second")
	s.wantReadable(t)
	if byFirst, bySecond := keyOf(s.stored(t, "after")), keyOf(s.stored(t, "second")); byFirst == bySecond {
		t.Errorf("both keys are called %s", byFirst)
	}
	s.wantNowhere(t, s.values["second"], first, second)
}

// secrets are Secrets of the namespace default with a random value each.
type secrets struct {
	controlPlane *controlplanetest.Instance
	client       kubernetes.Interface
	values       map[string]string
}

func (s *secrets) create(t *testing.T, name string) {
	t.Helper()
	s.values[name] = "value-" + rand.Text()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"key": []byte(s.values[name])}}
	if _, err := s.client.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (s *secrets) restart(t *testing.T, keys string) {
	t.Helper()
	s.controlPlane.Stop(t)
	s.controlPlane.ReplaceFiles(t, map[string][]byte{fileEncryptionKeys: []byte(keys)})
	s.controlPlane.Restart(t)
}

func (s *secrets) stored(t *testing.T, name string) []byte {
	t.Helper()
	return s.controlPlane.Stored(t, "/registry/secrets/default/"+name)
}

func (s *secrets) wantEncrypted(t *testing.T, name string) {
	t.Helper()
	stored := s.stored(t, name)
	if !bytes.HasPrefix(stored, []byte(encryptedPrefix)) || bytes.Contains(stored, []byte(s.values[name])) {
		t.Errorf("Secret %s lies in the database as %.80q", name, stored)
	}
}

// wantReadable reads all, one by one and in a list.
func (s *secrets) wantReadable(t *testing.T) {
	t.Helper()
	list, err := s.client.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != len(s.values) {
		t.Fatalf("listing Secrets: %v, %d of %d", err, len(list.Items), len(s.values))
	}
	for name, want := range s.values {
		secret, err := s.client.CoreV1().Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || string(secret.Data["key"]) != want {
			t.Errorf("Secret %s: %q, %v, want %q", name, secret.Data["key"], err, want)
		}
	}
}

// wantNowhere searches all files of the volume: database, log of writes, configuration.
func (s *secrets) wantNowhere(t *testing.T, value string, keys ...string) {
	t.Helper()
	searched := map[string][]byte{"the value": []byte(value), "the value in base64": []byte(base64.StdEncoding.EncodeToString([]byte(value)))}
	for _, key := range keys {
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		searched["a key"], searched["a key's bytes "+key[:4]] = []byte(key), raw
	}
	seen := 0
	err := filepath.WalkDir(s.controlPlane.DataDir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for what, bytesOf := range searched {
			if bytes.Contains(content, bytesOf) {
				t.Errorf("%s holds %s", path, what)
			}
		}
		return nil
	})
	if err != nil || seen < 4 {
		t.Errorf("searching the volume: %v, %d files", err, seen)
	}
}

// keyOf is the name of the key in what it encrypted.
func keyOf(stored []byte) string {
	name, _, _ := bytes.Cut(bytes.TrimPrefix(stored, []byte(encryptedPrefix)), []byte(":"))
	return string(name)
}

func newKey(t *testing.T) string {
	t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(key)
}
