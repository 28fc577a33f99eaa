// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
)

// journalLists are the kinds that the checker looks at.
func journalLists() map[string]client.ObjectList {
	return map[string]client.ObjectList{
		kindNamespace: &corev1.NamespaceList{}, kindPod: &corev1.PodList{}, kindConfigMap: &corev1.ConfigMapList{},
		kindSecret: &corev1.SecretList{}, kindService: &corev1.ServiceList{},
	}
}

// readWorld reads both sides live.
func (e *environment) readWorld(ctx context.Context, tenants []*tenant, runs map[types.UID]int) (worldState, error) {
	state := worldState{tenant: map[objectKey]tenantImage{}, runs: runs}
	byID := map[string]string{}
	for _, tn := range tenants {
		byID[tn.names.ID] = tn.vc.Name
		if err := readTenant(ctx, tn, state.tenant); err != nil {
			return state, err
		}
	}
	stamped := client.MatchingLabelsSelector{Selector: identity.Selector()}
	for kind, list := range journalLists() {
		objects, err := listAll(ctx, e.superClient, list, stamped)
		if err != nil {
			return state, err
		}
		for _, object := range objects {
			owner, ok := identity.Of(object)
			if !ok {
				return state, fmt.Errorf("%s %s has an incomplete stamp", kind, client.ObjectKeyFromObject(object))
			}
			image := superImage{
				key:   objectKey{byID[owner.TenantID], kind, owner.Namespace, owner.Name},
				owner: owner.UID, revision: object.GetLabels()[revisionLabel], status: statusOf(object),
			}
			if kind == kindSecret && names.IsReserved(object.GetName()) {
				image.key.kind, image.attached, image.revision = kindPod, true, ""
			}
			state.super = append(state.super, image)
		}
	}
	return state, nil
}

// readTenant reads the objects of a tenant.
func readTenant(ctx context.Context, tn *tenant, into map[objectKey]tenantImage) error {
	used := map[objectKey]bool{}
	for kind, list := range journalLists() {
		objects, err := listAll(ctx, tn.client, list)
		if err != nil {
			return err
		}
		for _, object := range objects {
			key := objectKey{tn.vc.Name, kind, object.GetNamespace(), object.GetName()}
			into[key] = tenantImage{
				uid: object.GetUID(), revision: object.GetLabels()[revisionLabel], status: statusOf(object),
				wanted: kind != kindConfigMap && kind != kindSecret,
			}
			if pod, ok := object.(*corev1.Pod); ok {
				for _, name := range references(pod) {
					used[objectKey{tn.vc.Name, name.kind, pod.Namespace, name.name}] = true
				}
			}
		}
	}
	for key := range used {
		if image, exists := into[key]; exists {
			image.wanted = true
			into[key] = image
		}
	}
	return nil
}

// references returns the ConfigMaps and Secrets that a pod of these tests uses.
func references(pod *corev1.Pod) []objectKey {
	var found []objectKey
	for _, from := range pod.Spec.Containers[0].EnvFrom {
		if from.ConfigMapRef != nil {
			found = append(found, objectKey{kind: kindConfigMap, name: from.ConfigMapRef.Name})
		}
		if from.SecretRef != nil {
			found = append(found, objectKey{kind: kindSecret, name: from.SecretRef.Name})
		}
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.ConfigMap != nil {
				found = append(found, objectKey{kind: kindConfigMap, name: source.ConfigMap.Name})
			}
		}
	}
	return found
}

// statusOf is the part of the status that must be the same on both sides.
func statusOf(object client.Object) string {
	if service, ok := object.(*corev1.Service); ok {
		return service.Spec.ClusterIP // pods are told the tenant's, and the super cluster serves its own
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return ""
	}
	ready := 0
	for _, container := range pod.Status.ContainerStatuses {
		if container.Ready {
			ready++
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d ready at %s", pod.Status.Phase, ready, pod.Status.PodIP))
}

// listAll returns the objects of a list.
func listAll(ctx context.Context, c client.Client, list client.ObjectList, options ...client.ListOption) ([]client.Object, error) {
	if err := c.List(ctx, list, options...); err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	objects := make([]client.Object, 0, len(items))
	for _, item := range items {
		objects = append(objects, item.(client.Object))
	}
	return objects, nil
}
