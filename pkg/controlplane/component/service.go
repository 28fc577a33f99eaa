// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// portName is the name of the API server's port, on pod and Service.
const portName = "https"

// Service returns the Service by which everyone but the tenant's own pods
// reaches the API server. Its ClusterIP is in the serving certificate.
//
// publishNotReadyAddresses stays false: an API server that is starting answers
// before its bootstrap roles exist, and clients would take its refusals for the
// truth. Nobody needs to reach it before it is ready: readiness is probed by
// the kubelet, on the pod.
func (s Spec) Service() *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: s.meta(tenancyv1alpha1.ControlPlaneServiceName),
		Spec: corev1.ServiceSpec{
			Type:     s.serviceType(),
			Selector: s.podLabels(),
			Ports: []corev1.ServicePort{{
				Name: portName, Protocol: corev1.ProtocolTCP,
				Port: tenancyv1alpha1.ControlPlanePort, TargetPort: intstr.FromString(portName),
			}},
		},
	}
}

// serviceType returns what leads to the API server from outside. What vc-gateway
// leads to, it reaches at the ClusterIP.
func (s Spec) serviceType() corev1.ServiceType {
	switch s.ControlPlane.Exposure.Type {
	case tenancyv1alpha1.ExposeNodePort:
		return corev1.ServiceTypeNodePort
	case tenancyv1alpha1.ExposeLoadBalancer:
		return corev1.ServiceTypeLoadBalancer
	default:
		return corev1.ServiceTypeClusterIP
	}
}
