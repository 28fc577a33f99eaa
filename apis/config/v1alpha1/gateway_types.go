// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// GatewayConfiguration configures vc-gateway. All replicas serve, so there is
// no leader.
type GatewayConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	Process         `json:",inline"`

	// bindAddress is host:port at which clients of tenants call. Default ":8443".
	BindAddress string `json:"bindAddress,omitempty"`
	// limits bound what clients may take of one replica.
	Limits GatewayLimits `json:"limits,omitempty"`
	// timeouts bound how long each step may take.
	Timeouts GatewayTimeouts `json:"timeouts,omitempty"`
}

// GatewayLimits bound what clients may take of one replica.
type GatewayLimits struct {
	// connections may be open in total, those included that have not said yet
	// where they want to go. Default 10000.
	Connections int32 `json:"connections,omitempty"`
	// connectionsPerTenant may be open to one tenant. Default 1000.
	ConnectionsPerTenant int32 `json:"connectionsPerTenant,omitempty"`
	// handshakesPerSource may be under way from one IPv4 address or one /64 of
	// IPv6 at once: connections that have not said yet where they want to go.
	// Default 64.
	HandshakesPerSource int32 `json:"handshakesPerSource,omitempty"`
}

// GatewayTimeouts bound how long each step may take.
type GatewayTimeouts struct {
	// handshake is until a client has said where it wants to go. Default 5s.
	Handshake metav1.Duration `json:"handshake,omitempty"`
	// dial is until the tenant's API server has accepted the connection. Default 5s.
	Dial metav1.Duration `json:"dial,omitempty"`
	// keepAlive is after how much silence the other end is asked whether it is
	// still there; it is given up after three times without an answer. Default 30s.
	KeepAlive metav1.Duration `json:"keepAlive,omitempty"`
	// shutdownDelay is how long connections are still accepted after the order
	// to stop, while /readyz fails: until load balancers have taken notice. Default 5s.
	ShutdownDelay metav1.Duration `json:"shutdownDelay,omitempty"`
	// drain is how long open connections may go on after that. Default 30s.
	Drain metav1.Duration `json:"drain,omitempty"`
}

var _ Configuration = &GatewayConfiguration{}

// Type implements Configuration.
func (c *GatewayConfiguration) Type() *metav1.TypeMeta { return &c.TypeMeta }

// KindName implements Configuration.
func (c *GatewayConfiguration) KindName() string { return "GatewayConfiguration" }

// SetDefaults implements Configuration.
func (c *GatewayConfiguration) SetDefaults() {
	c.Process.SetDefaults()
	setDefault(&c.BindAddress, ":8443")
	setDefault(&c.Limits.Connections, 10_000)
	setDefault(&c.Limits.ConnectionsPerTenant, 1000)
	setDefault(&c.Limits.HandshakesPerSource, 64)
	setDefault(&c.Timeouts.Handshake.Duration, 5*time.Second)
	setDefault(&c.Timeouts.Dial.Duration, 5*time.Second)
	setDefault(&c.Timeouts.KeepAlive.Duration, 30*time.Second)
	setDefault(&c.Timeouts.ShutdownDelay.Duration, 5*time.Second)
	setDefault(&c.Timeouts.Drain.Duration, 30*time.Second)
}

// Validate implements Configuration.
func (c *GatewayConfiguration) Validate() field.ErrorList {
	errs := c.Process.Validate()
	address := field.NewPath("bindAddress")
	if c.BindAddress == "0" {
		errs = append(errs, field.Invalid(address, "0", "what clients call cannot be turned off"))
	}
	errs = append(errs, validateBindAddress(address, c.BindAddress)...)
	limits := field.NewPath("limits")
	errs = append(errs, validatePositive(limits.Child("connections"), c.Limits.Connections)...)
	errs = append(errs, validatePositive(limits.Child("connectionsPerTenant"), c.Limits.ConnectionsPerTenant)...)
	errs = append(errs, validatePositive(limits.Child("handshakesPerSource"), c.Limits.HandshakesPerSource)...)
	timeouts := field.NewPath("timeouts")
	for _, timeout := range []struct {
		name  string
		value time.Duration
	}{
		{"handshake", c.Timeouts.Handshake.Duration}, {"dial", c.Timeouts.Dial.Duration}, {"keepAlive", c.Timeouts.KeepAlive.Duration},
		{"shutdownDelay", c.Timeouts.ShutdownDelay.Duration}, {"drain", c.Timeouts.Drain.Duration},
	} {
		if timeout.value <= 0 {
			errs = append(errs, field.Invalid(timeouts.Child(timeout.name), timeout.value.String(), "must be more than 0s"))
		}
	}
	return errs
}
