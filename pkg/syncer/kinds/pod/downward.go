// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// errUnknownField is returned for a field path that nobody has decided about.
var errUnknownField = errors.New("unknown field path")

// metadataValue returns what the tenant's pod says about itself for a field
// path of the downward API. ok is false for a path that is not about metadata.
func metadataValue(tenant *corev1.Pod, path string) (value string, ok bool) {
	switch path {
	case "metadata.name":
		return tenant.Name, true
	case "metadata.namespace":
		return tenant.Namespace, true
	case "metadata.uid":
		return string(tenant.UID), true
	case "metadata.labels":
		return formatMap(tenant.Labels), true
	case "metadata.annotations":
		return formatMap(tenant.Annotations), true
	}
	if key, found := subscript(path, "metadata.labels"); found {
		return tenant.Labels[key], true
	}
	if key, found := subscript(path, "metadata.annotations"); found {
		return tenant.Annotations[key], true
	}
	return "", false
}

// fieldValue returns the tenant's value of a field path in the environment.
// ok is false where the super cluster's own value is right: the pod's
// addresses. A path that is not known here is refused: the kubelet would answer
// it from the super pod.
func fieldValue(ctx context.Context, env kind.Env, tenant *corev1.Pod, path string) (value string, ok bool, err error) {
	if value, ok := metadataValue(tenant, path); ok {
		return value, true, nil
	}
	switch path {
	case "spec.nodeName", "spec.host": // an old name that the API server still takes
		return tenancyv1alpha1.VirtualNodeName, true, nil
	case "spec.serviceAccountName":
		return serviceAccount(tenant), true, nil
	case "status.hostIP", "status.hostIPs":
		node, err := virtualNode(ctx, env)
		if err != nil {
			return "", false, err
		}
		addresses := nodeAddresses(node)
		if len(addresses) == 0 {
			return "", false, kind.Wait("the address of node %s", node.Name)
		}
		if path == "status.hostIP" {
			addresses = addresses[:1]
		}
		return strings.Join(addresses, ","), true, nil
	case "status.podIP", "status.podIPs":
		return "", false, nil
	default:
		return "", false, errUnknownField
	}
}

func serviceAccount(tenant *corev1.Pod) string {
	if tenant.Spec.ServiceAccountName == "" {
		return "default"
	}
	return tenant.Spec.ServiceAccountName
}

// subscript returns the key of a path such as metadata.labels['key'].
func subscript(path, field string) (key string, ok bool) {
	rest, found := strings.CutPrefix(path, field+"['")
	if !found {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

// formatMap writes a map as a kubelet does in a downward API file.
func formatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}
