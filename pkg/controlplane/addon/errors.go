// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package addon

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kinds of trouble; errors of Keep and Remove wrap one of them.
var (
	// ErrUnreachable: the API server does not answer as one.
	ErrUnreachable = errors.New("the tenant's API server does not answer")
	// ErrRefused: the API server does not take what it is sent.
	ErrRefused = errors.New("the tenant's API server refuses it")
	// ErrConflict: an object of the tenant's own is in the way.
	ErrConflict = errors.New("the tenant has an object of its own there")
)

// maxTenantText is how much of what a tenant's server says is passed on, in bytes.
const maxTenantText = 256

// failed wraps an error of a request in its kind of trouble.
func failed(trouble error, doing string, object client.Object, err error) error {
	return fmt.Errorf("%s %s: %w: %s", doing, describe(object), trouble, clean(err))
}

// clean returns an error as text that may be shown to people: the tenant has
// written part of it.
func clean(err error) string {
	text := err.Error()
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		text = fmt.Sprintf("%d %s", status.Status().Code, status.Status().Message)
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxTenantText {
		text = strings.ToValidUTF8(text[:maxTenantText], "") + "…"
	}
	return text
}

// describe names an object for people.
func describe(object client.Object) string {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if object.GetNamespace() == "" {
		return kind + " " + object.GetName()
	}
	return kind + " " + object.GetNamespace() + "/" + object.GetName()
}
