// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"net"

	apivalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DefaultPlatformNamespace is where the platform's own components run.
const DefaultPlatformNamespace = "vc-system"

// Common is the configuration of what one of several replicas does; embed it inline.
type Common struct {
	Process `json:",inline"`
	// leaderElection lets one of several replicas work.
	LeaderElection LeaderElection `json:"leaderElection,omitempty"`
}

// Process is what every binary's configuration holds; embed it inline where
// all replicas do the same.
type Process struct {
	// metrics is where Prometheus metrics are served.
	Metrics MetricsServer `json:"metrics,omitempty"`
	// health is where /healthz and /readyz are served.
	Health HealthServer `json:"health,omitempty"`
	// profiling is where profiles are served, for who looks for lost time.
	Profiling Profiling `json:"profiling,omitempty"`
	// clientConnection limits the requests to the cluster that the binary runs in.
	ClientConnection ClientConnection `json:"clientConnection,omitempty"`
}

// Profiling serves Go's profiles (net/http/pprof).
type Profiling struct {
	// bindAddress is host:port, where host is a loopback address: whoever may
	// forward a port of the pod may look. Empty, the default, serves none.
	BindAddress string `json:"bindAddress,omitempty"`
}

// MetricsServer is the metrics endpoint.
type MetricsServer struct {
	// bindAddress is host:port. "0" turns the endpoint off. Default ":8080".
	BindAddress string `json:"bindAddress,omitempty"`
}

// HealthServer is the health endpoint.
type HealthServer struct {
	// bindAddress is host:port. "0" turns the endpoint off. Default ":8081".
	BindAddress string `json:"bindAddress,omitempty"`
}

// LeaderElection is how replicas agree on one that works.
type LeaderElection struct {
	// leaderElect turns the election on. Default true.
	LeaderElect *bool `json:"leaderElect,omitempty"`
	// resourceNamespace holds the Lease. Default "vc-system".
	ResourceNamespace string `json:"resourceNamespace,omitempty"`
}

// ClientConnection limits the rate of requests.
type ClientConnection struct {
	// qps is the sustained rate, in requests a second. Default 100.
	QPS int32 `json:"qps,omitempty"`
	// burst is how many requests may go out at once. Default 200.
	Burst int32 `json:"burst,omitempty"`
}

// SetDefaults sets every field that is unset.
func (c *Common) SetDefaults() {
	c.Process.SetDefaults()
	if c.LeaderElection.LeaderElect == nil {
		elect := true
		c.LeaderElection.LeaderElect = &elect
	}
	setDefault(&c.LeaderElection.ResourceNamespace, DefaultPlatformNamespace)
}

// SetDefaults sets every field that is unset.
func (p *Process) SetDefaults() {
	setDefault(&p.Metrics.BindAddress, ":8080")
	setDefault(&p.Health.BindAddress, ":8081")
	setDefault(&p.ClientConnection.QPS, 100)
	setDefault(&p.ClientConnection.Burst, 200)
}

// Validate returns everything that is wrong with c.
func (c *Common) Validate() field.ErrorList {
	return append(c.Process.Validate(),
		validateNamespace(field.NewPath("leaderElection", "resourceNamespace"), c.LeaderElection.ResourceNamespace)...)
}

// Validate returns everything that is wrong with p.
func (p *Process) Validate() field.ErrorList {
	errs := validateBindAddress(field.NewPath("metrics", "bindAddress"), p.Metrics.BindAddress)
	errs = append(errs, validateBindAddress(field.NewPath("health", "bindAddress"), p.Health.BindAddress)...)
	errs = append(errs, p.Profiling.validate(field.NewPath("profiling", "bindAddress"))...)
	connection := field.NewPath("clientConnection")
	errs = append(errs, validatePositive(connection.Child("qps"), p.ClientConnection.QPS)...)
	return append(errs, validatePositive(connection.Child("burst"), p.ClientConnection.Burst)...)
}

// Profiles reports whether profiles are served.
func (p *Process) Profiles() bool { return p.Profiling.BindAddress != "" }

func (p *Profiling) validate(path *field.Path) field.ErrorList {
	if p.BindAddress == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(p.BindAddress)
	if err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback()) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, p.BindAddress, "must be a port of a loopback address, for example 127.0.0.1:6060")}
}

func setDefault[T comparable](value *T, to T) {
	var unset T
	if *value == unset {
		*value = to
	}
}

func validateBindAddress(path *field.Path, address string) field.ErrorList {
	if address == "0" {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return field.ErrorList{field.Invalid(path, address, `must be host:port, for example ":8080", or "0" to turn it off`)}
	}
	return nil
}

func validateNamespace(path *field.Path, namespace string) field.ErrorList {
	var errs field.ErrorList
	for _, message := range apivalidation.IsDNS1123Label(namespace) {
		errs = append(errs, field.Invalid(path, namespace, message))
	}
	return errs
}

func validatePositive(path *field.Path, value int32) field.ErrorList {
	if value < 1 {
		return field.ErrorList{field.Invalid(path, value, "must be at least 1")}
	}
	return nil
}
