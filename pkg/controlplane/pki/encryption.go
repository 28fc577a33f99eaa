// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// encryptionKeyBytes is the length of a key of XSalsa20-Poly1305 (secretbox).
const encryptionKeyBytes = 32

// NewEncryptionKeys makes the key by which a control plane encrypts Secrets at
// rest, as the content of FileEncryptionKeys: a line of base64 for each key, of
// which the first encrypts and all decrypt. Whoever loses it has lost the Secrets.
func NewEncryptionKeys() ([]byte, error) {
	key := make([]byte, encryptionKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("generating the encryption key: %w", err)
	}
	return []byte(base64.StdEncoding.EncodeToString(key) + "\n"), nil
}

// CheckEncryptionKeys reports what is wrong with the content of FileEncryptionKeys.
func CheckEncryptionKeys(content []byte) error {
	number := 0
	for line := range strings.FieldsSeq(string(content)) {
		number++
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != encryptionKeyBytes {
			// Neither the line nor the cause, which may quote it.
			return fmt.Errorf("encryption key %d is not the base64 of %d bytes", number, encryptionKeyBytes)
		}
	}
	if number == 0 {
		return errors.New("there is no encryption key")
	}
	return nil
}
