// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"virtualcluster.io/virtualcluster/pkg/names"
)

// Caller is the tenant that a request comes from.
type Caller struct {
	// Tenant is whose API server calls.
	Tenant names.Tenant
	// Gone is closed when the tenant goes; its streams then end.
	Gone <-chan struct{}
}

// Pod is the pod that a request is about, already found to be the caller's.
type Pod interface {
	// UID identifies the pod in the audit log.
	UID() types.UID
	// ServeStream answers r with a subresource of the pod (log, exec, attach,
	// portforward). query is for the API of pods. It returns when the stream
	// has ended, which the end of r's context brings about.
	ServeStream(w http.ResponseWriter, r *http.Request, subresource string, query url.Values)
}

// ErrPodNotFound is returned by Options.Find for a pod that the tenant does not have.
var ErrPodNotFound = errors.New("the pod does not exist")

// Options is what a Handler needs. Every field is required.
type Options struct {
	// Authenticate says who calls. An error is answered with 401.
	Authenticate func(r *http.Request) (Caller, error)
	// Find returns a tenant's pod, or ErrPodNotFound. It is called with legal names only.
	Find func(ctx context.Context, tenant names.Tenant, namespace, name string) (Pod, error)
	// Limits bounds the streams.
	Limits Limits
	// Clock measures idleness and durations.
	Clock Clock
	// Audit gets one line for each stream.
	Audit logr.Logger
	// Metrics counts requests and streams.
	Metrics *Metrics
}

// Clock is the part of a clock that streams need.
type Clock interface {
	clock.PassiveClock
	clock.WithDelayedExecution
}

// Limits bounds what one tenant can hold open.
type Limits struct {
	// StreamsPerTenant is how many streams a tenant may have open at once;
	// further requests are answered with 429.
	StreamsPerTenant int
	// IdleTimeout ends a stream on which no byte moved for this long.
	IdleTimeout time.Duration
}

// Handler is the kubelet API. It is safe for concurrent use.
type Handler struct {
	options   Options
	endpoints map[string]endpoint
	streams   *streams
}

var _ http.Handler = &Handler{}

// endpoint is one route of the API.
type endpoint struct {
	// name is the first segment of the path.
	name string
	// container says whether the path has a container after namespace and pod.
	container bool
	// methods are those served. Streams that upgrade come with either method,
	// depending on the client's protocol.
	methods []string
	// subresource of the pod that answers.
	subresource string
	// query translates the kubelet's query into the subresource's.
	query func(target target, kubelet url.Values) (url.Values, error)
}

// endpoints is the whole API.
func endpoints() []endpoint {
	return []endpoint{containerLogs(), exec(), attach(), portForward()}
}

// NewHandler returns the API.
func NewHandler(options Options) *Handler {
	h := &Handler{
		options:   options,
		endpoints: map[string]endpoint{},
		streams:   newStreams(options.Limits.StreamsPerTenant),
	}
	for _, e := range endpoints() {
		h.endpoints[e.name] = e
	}
	return h
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, err := h.options.Authenticate(r)
	if err != nil {
		h.refuse(w, "", http.StatusUnauthorized, "Unauthorized")
		return
	}
	target, err := parsePath(r.URL.EscapedPath())
	e, known := h.endpoints[target.endpoint]
	switch {
	case err != nil, !known, e.container != (target.container != ""):
		h.refuse(w, "", http.StatusNotFound, "404 page not found")
		return
	case !slices.Contains(e.methods, r.Method):
		h.refuse(w, e.name, http.StatusMethodNotAllowed, "method not allowed")
		return
	}
	kubeletQuery, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		h.refuse(w, e.name, http.StatusBadRequest, "the query is malformed")
		return
	}
	query, err := e.query(target, kubeletQuery)
	if err != nil {
		h.refuse(w, e.name, http.StatusBadRequest, err.Error())
		return
	}
	release, ok := h.streams.acquire(caller.Tenant.ID)
	if !ok {
		h.refuse(w, e.name, http.StatusTooManyRequests, "too many streams are open in this cluster: close some and try again")
		return
	}
	defer release()
	pod, err := h.options.Find(r.Context(), caller.Tenant, target.namespace, target.pod)
	switch {
	case errors.Is(err, ErrPodNotFound):
		h.refuse(w, e.name, http.StatusNotFound, "pod does not exist")
		return
	case err != nil:
		h.options.Audit.Error(err, "finding a pod failed", "tenant", caller.Tenant.ID, "endpoint", e.name)
		h.refuse(w, e.name, http.StatusBadGateway, "the pod cannot be reached at the moment: try again")
		return
	}
	h.serveStream(w, r, stream{caller: caller, endpoint: e, target: target, pod: pod, query: query})
}

// refuse answers a request that does not become a stream. name is the
// endpoint's, or empty for a request that is for none.
func (h *Handler) refuse(w http.ResponseWriter, name string, code int, message string) {
	h.options.Metrics.request(name, code)
	http.Error(w, message, code)
}
