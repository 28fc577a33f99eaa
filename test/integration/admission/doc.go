// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admission holds tests of what the API server refuses by itself: the
// schemas and the rules (CEL) of the CRDs, and the chart's own objects.
package admission
