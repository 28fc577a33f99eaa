// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// metrics are labelled by kind and direction, never by tenant or object: their
// number does not grow with use.
type metrics struct {
	queueWait  *prometheus.HistogramVec
	latency    *prometheus.HistogramVec
	writes     *prometheus.CounterVec
	outcomes   *prometheus.CounterVec
	tenants    prometheus.Gauge
	queueDepth *prometheus.GaugeVec
	braked     prometheus.Gauge
	deletions  *prometheus.CounterVec
	breakers   *prometheus.GaugeVec
	objects    *prometheus.GaugeVec
}

// newMetrics makes the collectors and registers them; collectors that an
// earlier engine of this process registered are used again.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	const namespace, subsystem = "virtualcluster", "syncer"
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets,
		}, []string{"kind", "direction"})
	}
	m := &metrics{
		queueWait: histogram("queue_wait_seconds", "Time a request waited for a worker."),
		latency:   histogram("sync_latency_seconds", "Down: from the creation in the tenant to the creation in the super cluster. Up: from the moment a change in the super cluster was seen to its being written in the tenant."),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "writes_total", Help: "Write requests by the cluster they went to.",
		}, []string{"kind", "cluster", "verb"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "reconciles_total", Help: "Reconciles by outcome: done, waiting, rejected, failed, held.",
		}, []string{"kind", "direction", "outcome"}),
		tenants: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "tenants_synced", Help: "Tenants that are connected and synced.",
		}),
		queueDepth: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "queue_depth", Help: "Requests that wait for a worker.",
		}, []string{"kind", "direction"}),
		braked: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "tenants_braked", Help: "Tenants whose deletions are held.",
		}),
		deletions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "deletions_held_total", Help: "Deletions of super objects that were held.",
		}, []string{"kind"}),
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "objects",
			Help: "Objects by state: synced (they are in the super cluster), and of these or others waiting, rejected, failed, held.",
		}, []string{"kind", "state"}),
		breakers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "breakers",
			Help: "Tenants whose work waits because an API server (tenant or super) is in trouble, by state: open, half-open.",
		}, []string{"cluster", "state"}),
	}
	return m, m.register(registerer)
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	if registerer == nil {
		return nil
	}
	return errors.Join(
		registerOrReuse(registerer, &m.queueWait), registerOrReuse(registerer, &m.latency),
		registerOrReuse(registerer, &m.writes), registerOrReuse(registerer, &m.outcomes),
		registerOrReuse(registerer, &m.tenants), registerOrReuse(registerer, &m.queueDepth),
		registerOrReuse(registerer, &m.braked), registerOrReuse(registerer, &m.deletions),
		registerOrReuse(registerer, &m.breakers), registerOrReuse(registerer, &m.objects))
}

func registerOrReuse[C prometheus.Collector](registerer prometheus.Registerer, collector *C) error {
	err := registerer.Register(*collector)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			*collector = existing
			return nil
		}
	}
	return err
}

func (m *metrics) wrote(t *kind.Translator, cluster, verb string) {
	m.writes.WithLabelValues(t.Name, cluster, verb).Inc()
}

func (m *metrics) held(t *kind.Translator) {
	m.deletions.WithLabelValues(t.Name).Inc()
}

func (m *metrics) finished(t *kind.Translator, outcome string) {
	m.outcomes.WithLabelValues(t.Name, string(t.Direction), outcome).Inc()
}

func (m *metrics) waited(t *kind.Translator, d time.Duration) {
	m.queueWait.WithLabelValues(t.Name, string(t.Direction)).Observe(d.Seconds())
}

func (m *metrics) took(t *kind.Translator, direction kind.Direction, d time.Duration) {
	m.latency.WithLabelValues(t.Name, string(direction)).Observe(d.Seconds())
}
