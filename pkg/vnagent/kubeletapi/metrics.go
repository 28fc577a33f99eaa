// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the API serves. No label has a value that a tenant chooses.
type Metrics struct {
	requests *prometheus.CounterVec
	open     *prometheus.GaugeVec
}

// NewMetrics registers the metrics with registerer.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vn_agent_kubelet_requests_total",
			Help: "Requests to the kubelet API by endpoint (empty: none) and status code (0: no answer was given).",
		}, []string{"endpoint", "code"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vn_agent_kubelet_streams_open",
			Help: "Open streams of the kubelet API by endpoint.",
		}, []string{"endpoint"}),
	}
	for _, collector := range []prometheus.Collector{m.requests, m.open} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) request(endpoint string, code int) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
}

func (m *Metrics) opened(endpoint string) { m.open.WithLabelValues(endpoint).Inc() }

func (m *Metrics) closed(endpoint string, code int) {
	m.open.WithLabelValues(endpoint).Dec()
	m.request(endpoint, code)
}
