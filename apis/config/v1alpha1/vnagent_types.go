// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// VNAgentConfiguration configures vn-agent.
type VNAgentConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	Common          `json:",inline"`

	// platformNamespace is where vn-agent and its Service run. Default "vc-system".
	PlatformNamespace string `json:"platformNamespace,omitempty"`
	// nodeAddress is the IP address that virtual nodes show and at which
	// tenants' API servers reach the kubelet API. Empty means the ClusterIP of
	// the Service vn-agent in platformNamespace.
	NodeAddress string `json:"nodeAddress,omitempty"`
	// kubeletAPI is the endpoint that tenants' API servers call.
	KubeletAPI KubeletAPI `json:"kubeletAPI,omitempty"`
	// portForward is how ports of pods are reached.
	PortForward PortForward `json:"portForward,omitempty"`
}

// KubeletAPI is the endpoint that tenants' API servers call.
type KubeletAPI struct {
	// bindAddress is host:port. Default ":10250".
	BindAddress string `json:"bindAddress,omitempty"`
	// certFile and keyFile are the serving certificate and its key in PEM. They
	// are read again when they change. Default "/etc/vn-agent/serving/tls.crt"
	// and "/etc/vn-agent/serving/tls.key".
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
	// streamsPerTenant is how many streams (logs, exec, attach, port-forward)
	// one tenant may have open. Default 256.
	StreamsPerTenant int32 `json:"streamsPerTenant,omitempty"`
	// idleTimeout ends a stream on which nothing moves for so long. Default 4h,
	// as for a kubelet.
	IdleTimeout metav1.Duration `json:"idleTimeout,omitempty"`
}

// PortForward is how ports of pods are reached.
type PortForward struct {
	// podIPRuntimeClasses are the RuntimeClasses whose pods are connected to at
	// the pod's IP address: sandboxes with a network stack of their own, whose
	// ports the node does not see. All others go through the super cluster's
	// portforward. Default ["gvisor"]; [] for none.
	PodIPRuntimeClasses *[]string `json:"podIPRuntimeClasses,omitempty"`
}

var _ Configuration = &VNAgentConfiguration{}

// Type implements Configuration.
func (c *VNAgentConfiguration) Type() *metav1.TypeMeta { return &c.TypeMeta }

// KindName implements Configuration.
func (c *VNAgentConfiguration) KindName() string { return "VNAgentConfiguration" }

// SetDefaults implements Configuration.
func (c *VNAgentConfiguration) SetDefaults() {
	c.Common.SetDefaults()
	setDefault(&c.PlatformNamespace, DefaultPlatformNamespace)
	setDefault(&c.KubeletAPI.BindAddress, ":10250")
	setDefault(&c.KubeletAPI.CertFile, "/etc/vn-agent/serving/tls.crt")
	setDefault(&c.KubeletAPI.KeyFile, "/etc/vn-agent/serving/tls.key")
	setDefault(&c.KubeletAPI.StreamsPerTenant, 256)
	setDefault(&c.KubeletAPI.IdleTimeout.Duration, 4*time.Hour)
	if c.PortForward.PodIPRuntimeClasses == nil {
		c.PortForward.PodIPRuntimeClasses = &[]string{"gvisor"}
	}
}

// Validate implements Configuration.
func (c *VNAgentConfiguration) Validate() field.ErrorList {
	errs := c.Common.Validate()
	errs = append(errs, validateNamespace(field.NewPath("platformNamespace"), c.PlatformNamespace)...)
	if c.NodeAddress != "" {
		if _, err := netip.ParseAddr(c.NodeAddress); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("nodeAddress"), c.NodeAddress, "must be an IP address, for example 10.96.0.20"))
		}
	}
	kubeletAPI := field.NewPath("kubeletAPI")
	if c.KubeletAPI.BindAddress == "0" {
		errs = append(errs, field.Invalid(kubeletAPI.Child("bindAddress"), "0", "the kubelet API cannot be turned off"))
	}
	errs = append(errs, validateBindAddress(kubeletAPI.Child("bindAddress"), c.KubeletAPI.BindAddress)...)
	errs = append(errs, validatePositive(kubeletAPI.Child("streamsPerTenant"), c.KubeletAPI.StreamsPerTenant)...)
	if c.KubeletAPI.IdleTimeout.Duration <= 0 {
		errs = append(errs, field.Invalid(kubeletAPI.Child("idleTimeout"), c.KubeletAPI.IdleTimeout.Duration.String(), "must be more than 0s"))
	}
	return errs
}
