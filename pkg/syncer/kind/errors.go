// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"errors"
	"fmt"
)

// WaitError says that something an object refers to has not arrived yet.
type WaitError struct {
	message string
	// unplaced waits are told at once.
	unplaced bool
}

// Error implements error.
func (e *WaitError) Error() string {
	if e.unplaced {
		return e.message
	}
	return "waiting for " + e.message
}

// Unplaced returns an error that puts an object off because there is no place
// for it: like Wait, but the tenant is told at once, as by a scheduler.
func Unplaced(format string, args ...any) error {
	return &WaitError{message: fmt.Sprintf(format, args...), unplaced: true}
}

// IsUnplaced reports whether err is or wraps the result of Unplaced.
func IsUnplaced(err error) bool {
	var wait *WaitError
	return errors.As(err, &wait) && wait.unplaced
}

// Wait returns an error that puts the object off: it is retried soon, without
// an event, because what it refers to is expected to arrive by itself.
func Wait(format string, args ...any) error {
	return &WaitError{message: fmt.Sprintf(format, args...)}
}

// IsWait reports whether err is or wraps the result of Wait.
func IsWait(err error) bool {
	var wait *WaitError
	return errors.As(err, &wait)
}

// RejectError says that an object can never be synced as it is.
type RejectError struct {
	// Field is the path of the offending field.
	Field string
	// Remedy says what to do.
	Remedy string
}

// Error implements error: field and remedy, as the tenant reads them.
func (e *RejectError) Error() string { return e.Field + ": " + e.Remedy }

// Reject returns an error that refuses the object: the tenant gets a Warning
// event that names the field and the remedy, and nothing is retried until the
// object changes.
func Reject(field, format string, args ...any) error {
	return &RejectError{Field: field, Remedy: fmt.Sprintf(format, args...)}
}

// AsReject returns the RejectError in err's chain, or nil.
func AsReject(err error) *RejectError {
	var reject *RejectError
	if errors.As(err, &reject) {
		return reject
	}
	return nil
}
