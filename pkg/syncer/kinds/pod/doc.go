// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pod translates pods.
//
// A super pod is built from nothing: the fields that may cross are copied by
// the table of package policy, and a list of steps adds what is rewritten for
// the super cluster. A super pod that exists is only given what can change in
// place. What the pod must be told with its tenant's values, above all service
// account tokens, lies in one Secret that the engine attaches to the super pod.
package pod
