// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
)

// maxLabels is how many tenants have time series of their own. Those beyond
// share the label of otherTenants.
const maxLabels = 1000

// otherTenants is the value of the label tenant for all tenants beyond maxLabels.
const otherTenants = "other"

// reason is why a connection is refused.
type reason string

// Values of reason.
const (
	reasonNotTLS      reason = "not_tls"
	reasonTimeout     reason = "handshake_timeout"
	reasonNoName      reason = "no_name"
	reasonUnknownName reason = "unknown_name"
	reasonTotalLimit  reason = "total_limit"
	reasonTenantLimit reason = "tenant_limit"
	reasonSourceLimit reason = "source_limit"
	reasonUnreachable reason = "tenant_unreachable"
)

// Metrics counts what passes. No label has a value that a client chooses.
type Metrics struct {
	open, handshakes *prometheus.GaugeVec
	connections      *prometheus.CounterVec
	bytes            *prometheus.CounterVec
	refused          *prometheus.CounterVec
}

// tenantMetrics are the time series of one tenant.
type tenantMetrics struct {
	label                    string
	open                     prometheus.Gauge
	connections              prometheus.Counter
	fromClients, fromTenants prometheus.Counter
}

// NewMetrics registers the metrics with registerer.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vc_gateway_connections_open", Help: "Open connections by tenant id.",
		}, []string{"tenant"}),
		handshakes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vc_gateway_handshakes", Help: "Connections that have not said yet where they want to go.",
		}, nil),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vc_gateway_connections_total", Help: "Connections that were led to a tenant, by tenant id.",
		}, []string{"tenant"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vc_gateway_bytes_total", Help: "Bytes that were copied, by tenant id and by who sent them: client or tenant.",
		}, []string{"tenant", "from"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vc_gateway_refused_total",
			Help: "Connections that were refused, by reason: not_tls, handshake_timeout, no_name, unknown_name, total_limit, tenant_limit, source_limit, tenant_unreachable.",
		}, []string{"reason"}),
	}
	for _, collector := range []prometheus.Collector{m.open, m.handshakes, m.connections, m.bytes, m.refused} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) refuse(why reason) { m.refused.WithLabelValues(string(why)).Inc() }

// tenant returns the time series of a tenant.
func (m *Metrics) tenant(label string) tenantMetrics {
	return tenantMetrics{
		label:       label,
		open:        m.open.WithLabelValues(label),
		connections: m.connections.WithLabelValues(label),
		fromClients: m.bytes.WithLabelValues(label, "client"),
		fromTenants: m.bytes.WithLabelValues(label, "tenant"),
	}
}

// forget removes the time series of a tenant that is gone.
func (m *Metrics) forget(label string) {
	if label == otherTenants {
		return
	}
	m.open.DeleteLabelValues(label)
	m.connections.DeleteLabelValues(label)
	m.bytes.DeletePartialMatch(prometheus.Labels{"tenant": label})
}
