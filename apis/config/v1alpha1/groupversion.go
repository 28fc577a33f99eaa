// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "k8s.io/apimachinery/pkg/runtime/schema"

// GroupName is the API group of this package. Its kinds are files, never served.
const GroupName = "config.virtualcluster.io"

// GroupVersion is the apiVersion of every kind of this package.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}
