// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// managerLabels are those of vc-manager's pods (the chart's).
func managerLabels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "vc-manager"}
}

// NetworkPolicy returns who may connect to the control plane's pods: anyone to
// the API server, which asks everyone who they are; to the database, which does
// too, only its own members and vc-manager. It is one wall more, where the meta
// cluster's network has such walls.
func (s Spec) NetworkPolicy() *networkingv1.NetworkPolicy {
	rules := []networkingv1.NetworkPolicyIngressRule{{Ports: tcpPorts(tenancyv1alpha1.ControlPlanePort)}}
	if s.Replicated {
		rules = append(rules,
			networkingv1.NetworkPolicyIngressRule{
				Ports: tcpPorts(EtcdClientPort, EtcdPeerPort),
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: s.podLabels()}}},
			},
			networkingv1.NetworkPolicyIngressRule{
				Ports: tcpPorts(EtcdClientPort),
				From: []networkingv1.NetworkPolicyPeer{{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.PlatformNamespace}},
					PodSelector:       &metav1.LabelSelector{MatchLabels: managerLabels()},
				}},
			})
	}
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: s.meta(tenancyv1alpha1.ControlPlaneServiceName),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: s.podLabels()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     rules,
		},
	}
}

func tcpPorts(ports ...int32) []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for _, port := range ports {
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: ptr.To(corev1.ProtocolTCP), Port: ptr.To(intstr.FromInt32(port))})
	}
	return out
}
