// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/go-logr/logr"
)

// Subresources of a super pod that a stream may lead to.
const (
	// SubresourceLog gives a container's log.
	SubresourceLog = "log"
	// SubresourceExec runs a command in a container.
	SubresourceExec = "exec"
	// SubresourceAttach connects to a container's main process.
	SubresourceAttach = "attach"
	// SubresourcePortForward connects to ports of the pod.
	SubresourcePortForward = "portforward"
)

// ServeStream leads r to a subresource of the super pod with the given query
// and nothing else of r's URL. It returns when the stream has ended; the end of
// r's context ends the stream.
func (p *Pod) ServeStream(w http.ResponseWriter, r *http.Request, subresource string, query url.Values) {
	if subresource == SubresourcePortForward && p.reachedByIP() {
		p.forwardToIP(w, r, query["ports"])
		return
	}
	proxy := &httputil.ReverseProxy{
		Transport:     p.pods.transport,
		FlushInterval: -1, // a followed log is shown as it is written
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = p.location(subresource, query)
			pr.Out.Host = ""
			pr.Out.Header = requestHeader(pr.Out.Header)
			pr.Out.Body, pr.Out.ContentLength = http.NoBody, 0
			pr.Out.TransferEncoding, pr.Out.Trailer = nil, nil
		},
		ModifyResponse: p.modifyResponse,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			logr.FromContextOrDiscard(r.Context()).Error(err, "the super cluster did not answer", "subresource", subresource)
			writeStatus(w, http.StatusBadGateway, messageUnreachable)
		},
		ErrorLog: log.New(io.Discard, "", 0), // what it tells is in the audit line
	}
	proxy.ServeHTTP(w, r)
}

// location is the URL of a subresource of this super pod. Both names are
// legal names of objects that exist, so they need no escaping.
func (p *Pod) location(subresource string, query url.Values) *url.URL {
	location := p.pods.server.JoinPath("api", "v1", "namespaces", p.superPod.Namespace, "pods", p.superPod.Name, subresource)
	location.RawQuery = query.Encode()
	return location
}

// requestHeaders are the headers of a tenant's request that reach the super
// cluster. Connection and Upgrade are not the tenant's: the proxy has removed
// those, and set them again if the request is for an upgrade.
var requestHeaders = []string{
	"X-Stream-Protocol-Version",
	"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions",
	"Connection", "Upgrade",
}

// responseHeaders are the headers of the super cluster's answer that reach the tenant.
var responseHeaders = []string{
	"Content-Type",
	"X-Stream-Protocol-Version",
	"Sec-Websocket-Accept", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions",
	"Connection", "Upgrade",
}

func requestHeader(from http.Header) http.Header { return only(from, requestHeaders) }

// only returns the named headers of from and no other: an identity or
// forwarding header that nobody thought of is dropped as well.
func only(from http.Header, allowed []string) http.Header {
	to := make(http.Header, len(allowed))
	for _, name := range allowed {
		if values, ok := from[name]; ok {
			to[name] = values
		}
	}
	return to
}

// modifyResponse lets through what a stream consists of, and puts an answer of
// our own in place of everything else: errors, redirects, surprises.
func (p *Pod) modifyResponse(response *http.Response) error {
	header := only(response.Header, responseHeaders)
	switch response.StatusCode {
	case http.StatusSwitchingProtocols, http.StatusOK:
		response.Header = header
		return nil
	}
	code, message := p.translate(response)
	replaceWithStatus(response, code, message)
	return nil
}
