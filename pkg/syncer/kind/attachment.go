// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"k8s.io/apimachinery/pkg/types"
)

// Attachment is a super Secret that belongs to a super object: the engine
// creates it after that object, owned by it, and keeps it up to date.
type Attachment struct {
	// Name of the Secret in the super object's namespace.
	Name string
	// Data are the literal entries.
	Data map[string][]byte
	// Tokens are entries that the engine fills with service account tokens of
	// the tenant, and renews before they expire. Keys are as in Data.
	Tokens map[string]Token
}

// Token is a request for a service account token of the tenant, bound to a pod
// of the tenant.
type Token struct {
	// Namespace and ServiceAccount say whose token it is.
	Namespace, ServiceAccount string
	// Audience of the token; empty means the tenant's API server.
	Audience string
	// ExpirationSeconds is the lifetime asked for; nil means the API server's default.
	ExpirationSeconds *int64
	// Pod and PodUID are the tenant pod that the token dies with.
	Pod    string
	PodUID types.UID
}
