// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// maxNamespaces bounds how many namespaces one term may select: their super
// names are written into the super pod.
const maxNamespaces = 500

// rewriteAffinity keeps what a pod says about other pods, on the super
// cluster's real machines, and narrows every term to this tenant's namespaces:
// no term looks at a pod of anybody else's, so none can push one out or find out
// about one.
func rewriteAffinity(ctx context.Context, b *build) error {
	given := b.tenant.Spec.Affinity
	if given == nil {
		return nil
	}
	affinity := &corev1.Affinity{}
	if given.PodAffinity != nil {
		required, preferred, err := b.terms(ctx, given.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
			given.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution, "spec.affinity.podAffinity")
		if err != nil {
			return err
		}
		if len(required)+len(preferred) > 0 {
			affinity.PodAffinity = &corev1.PodAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred,
			}
		}
	}
	if given.PodAntiAffinity != nil {
		required, preferred, err := b.terms(ctx, given.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
			given.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, "spec.affinity.podAntiAffinity")
		if err != nil {
			return err
		}
		if len(required)+len(preferred) > 0 {
			affinity.PodAntiAffinity = &corev1.PodAntiAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred,
			}
		}
	}
	if affinity.PodAffinity != nil || affinity.PodAntiAffinity != nil {
		b.spec.Affinity = affinity
	}
	return nil
}

// terms rewrites both lists of terms and leaves out what cannot be kept.
func (b *build) terms(ctx context.Context, givenRequired []corev1.PodAffinityTerm, givenPreferred []corev1.WeightedPodAffinityTerm, path string) (
	required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, err error,
) {
	for i := range givenRequired {
		term, err := b.term(ctx, &givenRequired[i], fmt.Sprintf("%s.requiredDuringSchedulingIgnoredDuringExecution[%d]", path, i))
		if err != nil {
			return nil, nil, err
		}
		if term != nil {
			required = append(required, *term)
		}
	}
	for i := range givenPreferred {
		at := fmt.Sprintf("%s.preferredDuringSchedulingIgnoredDuringExecution[%d].podAffinityTerm", path, i)
		term, err := b.term(ctx, &givenPreferred[i].PodAffinityTerm, at)
		if err != nil {
			return nil, nil, err
		}
		if term != nil {
			preferred = append(preferred, corev1.WeightedPodAffinityTerm{Weight: givenPreferred[i].Weight, PodAffinityTerm: *term})
		}
	}
	return required, preferred, nil
}

// term rewrites one term, or returns nil for one that has no meaning in the
// super cluster. The tenant's API server has merged the label keys of the pod
// into the selector already; a second time would be refused.
func (b *build) term(ctx context.Context, given *corev1.PodAffinityTerm, path string) (*corev1.PodAffinityTerm, error) {
	if !b.knownTopology(given.TopologyKey, path+".topologyKey") {
		return nil, nil
	}
	namespaces, err := b.superNamespaces(ctx, given, path)
	if err != nil {
		return nil, err
	}
	return &corev1.PodAffinityTerm{
		LabelSelector: given.LabelSelector.DeepCopy(), TopologyKey: given.TopologyKey, Namespaces: namespaces,
	}, nil
}

// knownTopology reports whether a key divides the super cluster's nodes in a
// way that tenants may use. Others are the platform's own labels.
func (b *build) knownTopology(key, path string) bool {
	known := []string{corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion}
	if slices.Contains(known, key) {
		return true
	}
	b.env.Warn(path, fmt.Sprintf("%s is not offered, so this entry has no effect; use one of %v", key, known))
	return false
}

// superNamespaces returns the namespaces that a term looks at by their super
// names, which are this tenant's whatever the tenant writes. Nil means the pod's
// own namespace, on both sides; a selector that selects nothing becomes a name
// that no namespace has, for an empty list would mean the pod's own.
func (b *build) superNamespaces(ctx context.Context, given *corev1.PodAffinityTerm, path string) ([]string, error) {
	if len(given.Namespaces) == 0 && given.NamespaceSelector == nil {
		return nil, nil
	}
	looked := sets.New(given.Namespaces...)
	if given.NamespaceSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(given.NamespaceSelector)
		if err != nil {
			return nil, kind.Reject(path+".namespaceSelector", "%s", err)
		}
		var namespaces corev1.NamespaceList
		if err := b.env.Tenant.List(ctx, &namespaces, client.MatchingLabelsSelector{Selector: selector}); err != nil {
			return nil, fmt.Errorf("listing the tenant's namespaces: %w", err)
		}
		for i := range namespaces.Items {
			looked.Insert(namespaces.Items[i].Name)
		}
	}
	if len(looked) > maxNamespaces {
		return nil, kind.Reject(path+".namespaceSelector", "it selects more than %d namespaces; name those that matter", maxNamespaces)
	}
	if len(looked) == 0 {
		looked.Insert("") // no namespace is called that
	}
	var super []string
	for _, namespace := range sets.List(looked) {
		super = append(super, b.env.Names.Namespace(namespace))
	}
	return super, nil
}

// filterSpread leaves out spread constraints over what is not the tenants' to
// use. Constraints select in the pod's own namespace only.
func filterSpread(_ context.Context, b *build) error {
	var kept []corev1.TopologySpreadConstraint
	for i, constraint := range b.spec.TopologySpreadConstraints {
		if !b.knownTopology(constraint.TopologyKey, fmt.Sprintf("spec.topologySpreadConstraints[%d].topologyKey", i)) {
			continue
		}
		constraint.MatchLabelKeys = nil // merged into the selector, see term
		kept = append(kept, constraint)
	}
	b.spec.TopologySpreadConstraints = kept
	return nil
}
