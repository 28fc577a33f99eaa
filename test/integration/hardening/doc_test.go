// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hardening tests from outside, on the real process, what docs/security.md
// says about it: who gets in, what lies in the database and in the logs, and
// that certificates are renewed under load without a failed request.
package hardening
