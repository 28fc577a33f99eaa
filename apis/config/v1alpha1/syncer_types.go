// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SyncerConfiguration configures the syncer.
type SyncerConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	Common          `json:",inline"`

	// workersPerKind is how many objects of one kind are synced at once, of all
	// tenants together. One tenant gets at most a quarter of them, so that one
	// that does not answer leaves most to the others. Default 32.
	WorkersPerKind int32 `json:"workersPerKind,omitempty"`
	// resyncPeriod is the time between two passes over all objects of a tenant.
	// Events make it unnecessary; it repairs what they missed. Default 10m.
	ResyncPeriod metav1.Duration `json:"resyncPeriod,omitempty"`
	// tenantConnection is how tenants' control planes are reached.
	TenantConnection TenantConnection `json:"tenantConnection,omitempty"`
	// deletionBrake says when the deletion of super objects is held, because the
	// tenant's objects may have been lost rather than deleted.
	DeletionBrake DeletionBrake `json:"deletionBrake,omitempty"`
	// tracing sends traces to a collector.
	Tracing Tracing `json:"tracing,omitempty"`
	// sharding divides the tenants between several replicas.
	Sharding Sharding `json:"sharding,omitempty"`
}

// Sharding is how replicas divide the tenants between them. The Leases are in
// leaderElection.resourceNamespace.
type Sharding struct {
	// enabled has every replica serve a part of the tenants, and one that is lost
	// be replaced by the others; leaderElection.leaderElect is ignored. Otherwise
	// one replica serves all of them and the others stand by. All replicas must
	// be told the same. Default false.
	Enabled bool `json:"enabled,omitempty"`
	// leaseDuration is how long the tenants of a replica that was lost wait for
	// others to begin taking over, which takes up to 5s more. A replica that cannot
	// renew its Lease stops after two thirds of it. From 5s to 1m; default 15s.
	LeaseDuration metav1.Duration `json:"leaseDuration,omitempty"`
}

// Tracing sends spans by the OpenTelemetry protocol, as a TracingConfiguration
// of Kubernetes does it.
type Tracing struct {
	// endpoint is host:port of a collector that takes OTLP over gRPC, without
	// TLS: one that runs beside the syncer. Empty, the default, means no traces.
	Endpoint string `json:"endpoint,omitempty"`
	// samplingRatePerMillion is how many passes of a million are traced. Default 10000.
	SamplingRatePerMillion int32 `json:"samplingRatePerMillion,omitempty"`
}

// DeletionBrake looks at super objects whose tenant's object is gone although
// nobody was seen to delete it.
type DeletionBrake struct {
	// percent of a tenant's super objects that may be so before they are held;
	// 100 turns this rule off. Default 30.
	Percent int32 `json:"percent,omitempty"`
	// minimum is how many are never held for their number. Default 10.
	Minimum int32 `json:"minimum,omitempty"`
	// grace is how long they are held for their number alone. Default 10m.
	Grace metav1.Duration `json:"grace,omitempty"`
}

// TenantConnection is how each tenant's control plane is reached.
type TenantConnection struct {
	// qps is the sustained rate of requests to one tenant, in requests a second. Default 200.
	QPS int32 `json:"qps,omitempty"`
	// burst is how many requests may go out to one tenant at once. Default 400.
	Burst int32 `json:"burst,omitempty"`
	// probeInterval is the time between two probes of a connected tenant. Default 5s.
	// With very many tenants it is longer for those that are well, so that all
	// together are probed 25 times in a second at most.
	ProbeInterval metav1.Duration `json:"probeInterval,omitempty"`
	// probeFailures in a row make a tenant count as unreachable. Default 3.
	ProbeFailures int32 `json:"probeFailures,omitempty"`
}

var _ Configuration = &SyncerConfiguration{}

// Type implements Configuration.
func (c *SyncerConfiguration) Type() *metav1.TypeMeta { return &c.TypeMeta }

// KindName implements Configuration.
func (c *SyncerConfiguration) KindName() string { return "SyncerConfiguration" }

// SetDefaults implements Configuration.
func (c *SyncerConfiguration) SetDefaults() {
	// The syncer writes for every pod of every tenant: more than its siblings.
	setDefault(&c.ClientConnection.QPS, 500)
	setDefault(&c.ClientConnection.Burst, 1000)
	c.Common.SetDefaults()
	setDefault(&c.WorkersPerKind, 32)
	setDefault(&c.ResyncPeriod.Duration, 10*time.Minute)
	setDefault(&c.TenantConnection.QPS, 200)
	setDefault(&c.TenantConnection.Burst, 400)
	setDefault(&c.TenantConnection.ProbeInterval.Duration, 5*time.Second)
	setDefault(&c.TenantConnection.ProbeFailures, 3)
	setDefault(&c.Tracing.SamplingRatePerMillion, 10_000)
	setDefault(&c.DeletionBrake.Percent, 30)
	setDefault(&c.DeletionBrake.Minimum, 10)
	setDefault(&c.DeletionBrake.Grace.Duration, 10*time.Minute)
	setDefault(&c.Sharding.LeaseDuration.Duration, 15*time.Second)
}

// Validate implements Configuration.
func (c *SyncerConfiguration) Validate() field.ErrorList {
	errs := c.Common.Validate()
	errs = append(errs, validatePositive(field.NewPath("workersPerKind"), c.WorkersPerKind)...)
	if c.ResyncPeriod.Duration < time.Minute {
		errs = append(errs, field.Invalid(field.NewPath("resyncPeriod"), c.ResyncPeriod.Duration.String(), "must be at least 1m"))
	}
	connection := field.NewPath("tenantConnection")
	errs = append(errs, validatePositive(connection.Child("qps"), c.TenantConnection.QPS)...)
	errs = append(errs, validatePositive(connection.Child("burst"), c.TenantConnection.Burst)...)
	errs = append(errs, validatePositive(connection.Child("probeFailures"), c.TenantConnection.ProbeFailures)...)
	if c.TenantConnection.ProbeInterval.Duration < time.Second {
		errs = append(errs, field.Invalid(connection.Child("probeInterval"), c.TenantConnection.ProbeInterval.Duration.String(), "must be at least 1s"))
	}
	if lease := c.Sharding.LeaseDuration.Duration; lease < 5*time.Second || lease > time.Minute {
		errs = append(errs, field.Invalid(field.NewPath("sharding", "leaseDuration"), lease.String(), "must be from 5s to 1m"))
	}
	errs = append(errs, c.Tracing.validate(field.NewPath("tracing"))...)
	return append(errs, c.DeletionBrake.validate(field.NewPath("deletionBrake"))...)
}

func (t *Tracing) validate(path *field.Path) field.ErrorList {
	errs := validatePositive(path.Child("samplingRatePerMillion"), t.SamplingRatePerMillion)
	if t.SamplingRatePerMillion > 1_000_000 {
		errs = append(errs, field.Invalid(path.Child("samplingRatePerMillion"), t.SamplingRatePerMillion, "must be at most 1000000"))
	}
	if t.Endpoint == "" {
		return errs
	}
	return append(errs, validateBindAddress(path.Child("endpoint"), t.Endpoint)...)
}

func (b *DeletionBrake) validate(path *field.Path) field.ErrorList {
	errs := validatePositive(path.Child("percent"), b.Percent)
	if b.Percent > 100 {
		errs = append(errs, field.Invalid(path.Child("percent"), b.Percent, "must be at most 100"))
	}
	errs = append(errs, validatePositive(path.Child("minimum"), b.Minimum)...)
	if b.Grace.Duration < time.Second {
		errs = append(errs, field.Invalid(path.Child("grace"), b.Grace.Duration.String(), "must be at least 1s"))
	}
	return errs
}
