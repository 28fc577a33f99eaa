// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// ClassDNS is the DNS server that each tenant is given: CoreDNS in the tenant's
// kube-system, at the address that the resolvers of its pods ask. vc-manager
// keeps it as it is described here.
type ClassDNS struct {
	// disabled gives the tenants no DNS server, and takes away the one that
	// they were given.
	// +optional
	Disabled bool `json:"disabled,omitempty"`

	// image of CoreDNS, with the plugins cache, errors, forward, health,
	// kubernetes, loadbalance, loop, prometheus, ready, reload and template.
	// +optional
	// +kubebuilder:default="registry.k8s.io/coredns/coredns:v1.15.0"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// replicas of CoreDNS in each tenant. Two outlive the loss of a node.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Replicas int32 `json:"replicas,omitempty"`

	// resources of each replica.
	// +optional
	// +kubebuilder:default={requests: {cpu: "10m", memory: "32Mi"}, limits: {memory: "170Mi"}}
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// upstreamNameservers are the IP addresses that are asked for names outside
	// of the tenant. None means that there are no such names. Never name the
	// super cluster's own DNS: it knows the super cluster's Services.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="self.all(a, isIP(a) && !ip(a).isLoopback() && !ip(a).isUnspecified())",message="upstreamNameservers must be IP addresses that can be reached from a pod, for example 192.0.2.53"
	UpstreamNameservers []string `json:"upstreamNameservers,omitempty"`
}
