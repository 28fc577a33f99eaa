// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the configuration of the platform's binaries: one
// versioned kind for each (VCManagerConfiguration, SyncerConfiguration,
// VNAgentConfiguration), each with its defaults and its validation in a file of
// its own.
//
// Load reads a file: decoding is strict (an unknown or misspelt field is an
// error), then defaults are set, then everything is validated. The defaults of
// each kind are a golden file in testdata, so a changed default shows in review:
//
//	UPDATE_DEFAULTS=true go test ./apis/config/v1alpha1
package v1alpha1
