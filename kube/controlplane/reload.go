// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"time"

	"k8s.io/client-go/transport"
)

// clientPairPeriod is how often client-go looks whether the files of a client
// pair have changed: the pairs by which the API server is known to kubelets
// and the controllers to the API server. Its own five minutes are as long as
// all that is left of a certificate for ten minutes when it is renewed at two
// thirds: for a while the controllers would send requests on a connection
// whose certificate has expired, which the API server answers with 401. A look
// costs two small files.
const clientPairPeriod = 3 * time.Second

// followClientPairs is called once, before the first client is made.
func followClientPairs() { transport.CertCallbackRefreshDuration = clientPairPeriod }
