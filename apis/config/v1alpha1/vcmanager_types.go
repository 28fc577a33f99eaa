// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// VCManagerConfiguration configures vc-manager.
type VCManagerConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	Common          `json:",inline"`

	// platformNamespace is where vn-agent runs: vc-manager keeps vn-agent's
	// serving certificate there. Default "vc-system".
	PlatformNamespace string `json:"platformNamespace,omitempty"`

	// concurrentReconciles is how many virtual clusters are worked on at once. Default 8.
	ConcurrentReconciles int32 `json:"concurrentReconciles,omitempty"`
}

var _ Configuration = &VCManagerConfiguration{}

// Type implements Configuration.
func (c *VCManagerConfiguration) Type() *metav1.TypeMeta { return &c.TypeMeta }

// KindName implements Configuration.
func (c *VCManagerConfiguration) KindName() string { return "VCManagerConfiguration" }

// SetDefaults implements Configuration.
func (c *VCManagerConfiguration) SetDefaults() {
	c.Common.SetDefaults()
	setDefault(&c.PlatformNamespace, DefaultPlatformNamespace)
	setDefault(&c.ConcurrentReconciles, 8)
}

// Validate implements Configuration.
func (c *VCManagerConfiguration) Validate() field.ErrorList {
	errs := c.Common.Validate()
	errs = append(errs, validateNamespace(field.NewPath("platformNamespace"), c.PlatformNamespace)...)
	return append(errs, validatePositive(field.NewPath("concurrentReconciles"), c.ConcurrentReconciles)...)
}
