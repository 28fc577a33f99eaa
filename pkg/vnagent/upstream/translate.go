// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// messageUnreachable is all that a tenant learns about trouble inside the super cluster.
const messageUnreachable = "the pod cannot be reached at the moment: try again"

// maxErrorBody is how much of an error's body is read.
const maxErrorBody = 64 << 10

// translate turns the super cluster's refusal into one that a tenant may see.
// The message passes only where it is about the tenant's own pod; names of the
// super cluster never do.
func (p *Pod) translate(response *http.Response) (code int, message string) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	if err != nil {
		return http.StatusBadGateway, messageUnreachable
	}
	message = strings.ReplaceAll(statusMessage(body), p.superPod.Namespace, p.tenantNamespace)
	switch code = response.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code < http.StatusBadRequest:
		// The agent's own credentials were refused, or the answer leads elsewhere.
		return http.StatusBadGateway, messageUnreachable
	case code >= http.StatusInternalServerError && !aboutContainer.MatchString(message):
		return http.StatusBadGateway, messageUnreachable
	case message == "" || p.revealing(message):
		return code, http.StatusText(code)
	}
	return code, message
}

// aboutContainer are the server errors of a kubelet that are about the
// container and not about the kubelet.
var aboutContainer = regexp.MustCompile(`container not found \("|container is not running|is waiting to start`)

// internals are what a message about the super cluster's insides has: URLs,
// IP addresses, paths of a node.
var internals = regexp.MustCompile(`://|\b\d{1,3}(\.\d{1,3}){3}\b|\[[0-9a-fA-F:]*:[0-9a-fA-F:]*\]|/(var|run|etc|proc|sys)/|\bvcp?-[a-z0-9-]*[a-z2-7]{26}\b`)

func (p *Pod) revealing(message string) bool {
	if node := p.superPod.Spec.NodeName; node != "" && strings.Contains(message, node) {
		return true
	}
	return internals.MatchString(message) || strings.Contains(message, string(p.superPod.UID))
}

// statusMessage returns the message of a Status, or the body itself if it is plain text.
func statusMessage(body []byte) string {
	status := metav1.Status{}
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		return status.Message
	}
	if !bytes.ContainsAny(body, "{<\x00") {
		return strings.TrimSpace(string(body))
	}
	return ""
}

// replaceWithStatus makes response a plain text answer, as a kubelet gives one.
func replaceWithStatus(response *http.Response, code int, message string) {
	_ = response.Body.Close()
	body := message + "\n"
	response.StatusCode, response.Status = code, ""
	response.Header = http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"X-Content-Type-Options": {"nosniff"},
	}
	response.Trailer, response.TransferEncoding = nil, nil
	response.ContentLength = int64(len(body))
	response.Body = io.NopCloser(strings.NewReader(body))
}

func writeStatus(w http.ResponseWriter, code int, message string) {
	http.Error(w, message, code)
}
