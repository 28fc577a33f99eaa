// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package names maps a tenant's keys to names in the super and meta clusters.
// It is the only place that builds such a name.
//
// A mapped name ends in 128 bits of a SHA-256 digest over the length-prefixed
// tuple it stands for, so that no tenant can construct a collision: 20-bit and
// 40-bit hashes were collided in seconds, and joining with "-" is ambiguous
// ("a"+"b-c" against "a-b"+"c"). What precedes the digest is for people only.
// Names are never parsed: back-mapping reads the stamp of package identity.
//
// Functions are pure and safe for concurrent use.
package names

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
)

// digestBytes is how much of the SHA-256 digest a name carries: 128 bits, 26 characters of base32.
const digestBytes = 16

// hint is the longest readable part taken from each input.
const hint = 12

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Tenant identifies a tenant for naming.
type Tenant struct {
	// ID is the tenant id, the UID of the VirtualCluster. Names depend on it.
	ID string
	// Name is the VirtualCluster's name. It is only the readable part of names.
	Name string
}

// Namespace returns the super namespace of a tenant namespace:
// vc-<cluster>-<namespace>-<digest>, at most 55 characters, a DNS label.
func (t Tenant) Namespace(tenantNamespace string) string {
	return "vc-" + short(t.Name) + "-" + short(tenantNamespace) + "-" + digest("namespace", t.ID, tenantNamespace)
}

// ControlPlaneNamespace returns the meta cluster's namespace of the tenant's
// control plane: vcp-<cluster>-<digest>, at most 43 characters, a DNS label.
func (t Tenant) ControlPlaneNamespace() string {
	return "vcp-" + short(t.Name) + "-" + digest("control-plane", t.ID)
}

// PodSecret returns the name of the super Secret that carries what a pod must
// be told with its tenant's values (service account tokens, downward API).
// podUID is the UID of the tenant's pod, so a re-created pod never meets its
// forerunner's tokens. The prefix is reserved: see IsReserved.
func PodSecret(podUID string) string {
	return reservedPrefix + "pod-" + digest("pod-secret", podUID)
}

// reservedPrefix begins the names that the platform keeps for itself in a
// tenant's super namespaces.
const reservedPrefix = "vc-reserved-"

// rootCAConfigMap is what every control plane publishes in every namespace,
// with its own CA: the super cluster owns that name in super namespaces.
const rootCAConfigMap = "kube-root-ca.crt"

// ConfigMap returns the super name of a tenant's ConfigMap: its own name, but
// for kube-root-ca.crt, which the super cluster's control plane keeps.
func ConfigMap(tenantName string) string {
	if tenantName == rootCAConfigMap {
		return reservedPrefix + rootCAConfigMap
	}
	return tenantName
}

// IsReserved reports whether a tenant's object of this name would clash with
// the platform's own objects in a super namespace; such an object is rejected.
func IsReserved(tenantName string) bool {
	return strings.HasPrefix(tenantName, reservedPrefix)
}

// digest returns 128 bits of SHA-256 over the length-prefixed parts. The first
// part separates what the name is for.
func digest(parts ...string) string {
	h := sha256.New()
	var size [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return encoding.EncodeToString(h.Sum(nil)[:digestBytes])
}

// short returns at most hint characters that may stand in the middle of a DNS label.
func short(s string) string {
	if len(s) > hint {
		s = s[:hint]
	}
	return strings.TrimRight(s, "-.")
}
