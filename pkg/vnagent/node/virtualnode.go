// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// instanceType and nodeType mark the node for people and for the selectors
	// of DaemonSets that want machines; the second is what virtual-kubelet's
	// providers use.
	instanceType  = "virtual"
	nodeType      = "virtual-kubelet"
	labelNodeType = "type"
)

// virtualNode is the Node as a tenant shall see it. It has the taints of look
// alone, so that pods need no tolerations unless the platform team wants it,
// and of its labels those of the platform come before those of look.
// It has no more of anything than the tenant's quota.
func virtualNode(capacity *Capacity, quota corev1.ResourceList, address string, look tenancyv1alpha1.ClassNode, since time.Time) *corev1.Node {
	labels := map[string]string{}
	maps.Copy(labels, look.Labels)
	maps.Copy(labels, map[string]string{
		corev1.LabelHostname:           tenancyv1alpha1.VirtualNodeName,
		corev1.LabelOSStable:           string(corev1.Linux),
		corev1.LabelArchStable:         capacity.Architecture,
		corev1.LabelInstanceTypeStable: instanceType,
		labelNodeType:                  nodeType,
	})
	return &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName, Labels: labels},
		Spec:       corev1.NodeSpec{Taints: slices.Clone(look.Taints)},
		Status: corev1.NodeStatus{
			Capacity:    within(capacity.Allocatable, quota),
			Allocatable: within(capacity.Allocatable, quota),
			Conditions:  conditions(metav1.NewTime(since.Truncate(time.Second))),
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: address},
				{Type: corev1.NodeHostName, Address: tenancyv1alpha1.VirtualNodeName},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{
				KubeletEndpoint: corev1.DaemonEndpoint{Port: tenancyv1alpha1.AgentPort},
			},
			NodeInfo: corev1.NodeSystemInfo{
				OperatingSystem:         string(corev1.Linux),
				Architecture:            capacity.Architecture,
				KubeletVersion:          capacity.KubeletVersion,
				ContainerRuntimeVersion: capacity.ContainerRuntimeVersion,
				OSImage:                 "virtual node",
			},
		},
	}
}

func conditions(since metav1.Time) []corev1.NodeCondition {
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: message,
			LastHeartbeatTime: since, LastTransitionTime: since,
		}
	}
	return []corev1.NodeCondition{
		condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "the virtual node accepts pods"),
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "the virtual node is elastic"),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "the virtual node is elastic"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "the virtual node is elastic"),
		condition(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "RouteCreated", "the super cluster's network is used"),
	}
}
