// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// demand returns what a super pod asks of the super cluster, as its scheduler
// reckons: the requests of containers, init containers and sidecars (KEP-753) or
// of the pod (KEP-2837), the sandbox's overhead (KEP-688), and what a kubelet has
// given it before a resize is done (KEP-1287); and one pod. Where that depends on
// what the super cluster knows and on what a kubelet says, it is the most. A pod
// that has ended asks for nothing.
func demand(ctx context.Context, catalogue client.Reader, super *corev1.Pod) (corev1.ResourceList, error) {
	if finished(super) {
		return nil, nil
	}
	counted := super
	if super.UID == "" {
		overhead, err := overheadOf(ctx, catalogue, super)
		if err != nil {
			return nil, err
		}
		counted = &corev1.Pod{Spec: *super.Spec.DeepCopy()}
		counted.Spec.Overhead = overhead
		defaultRequests(&counted.Spec)
	}
	asks := resource.PodRequests(counted, resource.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
	})
	// A resize that the kubelet has refused on that node as it was stays asked for.
	raise(asks, resource.PodRequests(counted, resource.PodResourcesOptions{}))
	// A super cluster that does not know resources of pods goes by the containers'.
	raise(asks, resource.PodRequests(counted, resource.PodResourcesOptions{SkipPodLevelResources: true}))
	for name, quantity := range asks {
		if quantity.Sign() < 0 { // no API server takes it; nobody gains room by trying
			delete(asks, name)
		}
	}
	asks[corev1.ResourcePods] = *apiresource.NewQuantity(1, apiresource.DecimalSI)
	return asks, nil
}

// overheadOf returns what admission will add to a new pod for its sandbox.
func overheadOf(ctx context.Context, catalogue client.Reader, super *corev1.Pod) (corev1.ResourceList, error) {
	if super.Spec.RuntimeClassName == nil {
		return nil, nil
	}
	var class nodev1.RuntimeClass
	err := catalogue.Get(ctx, types.NamespacedName{Name: *super.Spec.RuntimeClassName}, &class)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil // admission refuses the pod
	case err != nil:
		return nil, fmt.Errorf("reading the runtime class: %w", err)
	case class.Overhead == nil:
		return nil, nil
	default:
		return class.Overhead.PodFixed.DeepCopy(), nil
	}
}

// defaultRequests gives requests where there are only limits, as an API server
// does: to the containers first, and to the pod what they ask for together or
// else its own limits.
func defaultRequests(spec *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			requests := corev1.ResourceList{}
			maps.Copy(requests, containers[i].Resources.Limits)
			maps.Copy(requests, containers[i].Resources.Requests)
			containers[i].Resources.Requests = requests
		}
	}
	if spec.Resources == nil {
		return
	}
	requests := corev1.ResourceList{}
	maps.Copy(requests, spec.Resources.Limits)
	if len(requests) > 0 {
		for name, together := range resource.AggregateContainerRequests(&corev1.Pod{Spec: *spec}, resource.PodResourcesOptions{}) {
			if resource.IsSupportedPodLevelResource(name) {
				requests[name] = together
			}
		}
	}
	maps.Copy(requests, spec.Resources.Requests)
	spec.Resources.Requests = requests
}

// raise makes each amount at least that of other.
func raise(amounts, other corev1.ResourceList) {
	for name, quantity := range other {
		if has, ok := amounts[name]; !ok || quantity.Cmp(has) > 0 {
			amounts[name] = quantity
		}
	}
}
