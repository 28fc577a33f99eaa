// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// Metrics tells when certificates end. It is safe for concurrent use; a nil
// *Metrics tells nothing.
type Metrics struct {
	expiry *prometheus.Desc

	mu    sync.Mutex
	known map[types.NamespacedName]map[string]float64
}

// NewMetrics makes the collector and registers it; one that was registered
// earlier is used again.
//
// It has labels for the virtual cluster, unlike metrics that count work: what
// ends is one certificate, and about fifteen series for each virtual cluster
// are fewer than its objects by far.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		expiry: prometheus.NewDesc("virtualcluster_manager_certificate_expiry_timestamp_seconds",
			"When a certificate of a virtual cluster ends, in seconds since 1970. It is renewed after two thirds of its life.",
			[]string{"namespace", "virtualcluster", "certificate"}, nil),
		known: map[types.NamespacedName]map[string]float64{},
	}
	err := registerer.Register(m)
	var earlier prometheus.AlreadyRegisteredError
	if errors.As(err, &earlier) {
		if same, ok := earlier.ExistingCollector.(*Metrics); ok {
			return same, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- m.expiry }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(collected chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, ends := range m.known {
		for certificate, end := range ends {
			collected <- prometheus.MustNewConstMetric(m.expiry, prometheus.GaugeValue, end, name.Namespace, name.Name, certificate)
		}
	}
}

// set replaces what is known of one virtual cluster.
func (m *Metrics) set(name types.NamespacedName, certificates ...map[string]*x509.Certificate) {
	if m == nil {
		return
	}
	ends := map[string]float64{}
	for _, some := range certificates {
		for name, cert := range some {
			ends[name] = float64(cert.NotAfter.Unix())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[name] = ends
}

// forget removes a virtual cluster.
func (m *Metrics) forget(name types.NamespacedName) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, name)
}
