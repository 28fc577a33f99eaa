// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import "errors"

// ErrNotLinux is what every operation returns on another system.
var ErrNotLinux = errors.New("a local cluster needs Linux")
