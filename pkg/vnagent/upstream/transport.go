// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
)

// newTransport returns a round tripper that adds the agent's credentials of
// config to each request, and the URL of the API server. It speaks HTTP/1.1
// only, because streams upgrade the connection.
func newTransport(config *rest.Config) (http.RoundTripper, *url.URL, error) {
	streaming := rest.CopyConfig(config)
	streaming.NextProtos = []string{"http/1.1"}
	// A stream lasts as long as it is used: its limits are the caller's.
	streaming.Timeout = 0
	server, _, err := rest.DefaultServerUrlFor(streaming)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the super cluster's address: %w", err)
	}
	transport, err := rest.TransportFor(streaming)
	if err != nil {
		return nil, nil, fmt.Errorf("making the super cluster's transport: %w", err)
	}
	// Joined to an empty path, the path of a request would be relative.
	server.Path = "/" + strings.TrimPrefix(server.Path, "/")
	return transport, server, nil
}
