// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"net/http"
	"net/url"
)

// attach is /attach/<namespace>/<pod>/<container>: connects to the container's
// main process.
func attach() endpoint {
	parameters := standardStreams()
	return endpoint{
		name:        "attach",
		container:   true,
		methods:     []string{http.MethodGet, http.MethodPost},
		subresource: "attach",
		query: func(target target, kubelet url.Values) (url.Values, error) {
			query, err := translate(kubelet, parameters)
			if err != nil {
				return nil, err
			}
			return connect(query, target)
		},
	}
}
