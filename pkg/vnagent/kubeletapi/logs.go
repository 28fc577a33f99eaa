// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"net/http"
	"net/url"
)

// containerLogs is GET /containerLogs/<namespace>/<pod>/<container>: what the
// container wrote, to the end or as it goes on. Its parameters have the same
// names in both APIs.
func containerLogs() endpoint {
	parameters := map[string]parameter{
		"follow":       {to: "follow", check: boolean},
		"previous":     {to: "previous", check: boolean},
		"timestamps":   {to: "timestamps", check: boolean},
		"sinceSeconds": {to: "sinceSeconds", check: atLeast(1)},
		"sinceTime":    {to: "sinceTime", check: timestamp},
		"tailLines":    {to: "tailLines", check: atLeast(0)},
		"limitBytes":   {to: "limitBytes", check: atLeast(1)},
		"stream":       {to: "stream", check: oneOf("All", "Stdout", "Stderr")},
	}
	return endpoint{
		name:        "containerLogs",
		container:   true,
		methods:     []string{http.MethodGet},
		subresource: "log",
		query: func(target target, kubelet url.Values) (url.Values, error) {
			query, err := translate(kubelet, parameters)
			if err != nil {
				return nil, err
			}
			query.Set("container", target.container)
			return query, nil
		},
	}
}
