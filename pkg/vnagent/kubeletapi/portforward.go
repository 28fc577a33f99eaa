// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"net/http"
	"net/url"
	"strings"
)

// maxPorts is how many ports one port-forward may name.
const maxPorts = 128

// portForward is /portForward/<namespace>/<pod>: connections to ports of the
// pod. Over SPDY each stream names its port; over WebSocket the query names
// them all, which the kubelet's API writes as one list with commas.
func portForward() endpoint {
	parameters := map[string]parameter{"port": {to: "ports", check: portNumber, repeated: true}}
	return endpoint{
		name:        "portForward",
		methods:     []string{http.MethodGet, http.MethodPost},
		subresource: "portforward",
		query: func(_ target, kubelet url.Values) (url.Values, error) {
			return translate(splitPorts(kubelet), parameters)
		},
	}
}

func splitPorts(kubelet url.Values) url.Values {
	split := url.Values{}
	for name, values := range kubelet {
		if name != "port" {
			split[name] = values
			continue
		}
		for _, value := range values {
			split[name] = append(split[name], strings.SplitN(value, ",", maxPorts)...)
		}
	}
	return split
}
