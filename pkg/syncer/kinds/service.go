// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// service gives a tenant's Service the same cluster IP in the super cluster,
// so that its kube-proxy serves what the tenant's clients were told. Node ports
// and load balancers are the super cluster's to allocate and are reported back.
// A Service that is but a name stays in the tenant, whose DNS answers for it:
// controllers of the super cluster would follow it to wherever it leads.
func service() kind.Downward[*corev1.Service] {
	return kind.Downward[*corev1.Service]{
		Object:  &corev1.Service{},
		Select:  func(tenant *corev1.Service) bool { return tenant.Spec.Type != corev1.ServiceTypeExternalName },
		Down:    serviceDown,
		Up:      serviceUp,
		Explain: explainService,
		Heal:    healService,
	}
}

func serviceDown(_ context.Context, env kind.Env, tenant, super *corev1.Service) error {
	clusterIP, err := superClusterIP(env, tenant)
	if err != nil {
		return err
	}
	if len(tenant.Spec.ExternalIPs) > 0 {
		return kind.Reject("spec.externalIPs", "claiming addresses is not allowed; use type LoadBalancer")
	}
	if tenant.Spec.LoadBalancerIP != "" {
		env.Warn("spec.loadBalancerIP", "the super cluster chooses the address; the field has no effect")
	}
	if address := moveOf(tenant).Address; address != "" && address != clusterIP {
		env.Changed("spec.clusterIP", address+" is taken in the platform's cluster; the address is now "+clusterIP)
	}
	out, in := &super.Spec, &tenant.Spec
	out.Ports = superPorts(in.Ports, out.Ports)
	out.Type, out.Selector = in.Type, in.Selector
	out.SessionAffinity, out.SessionAffinityConfig = in.SessionAffinity, in.SessionAffinityConfig
	out.PublishNotReadyAddresses = in.PublishNotReadyAddresses
	out.InternalTrafficPolicy, out.ExternalTrafficPolicy = in.InternalTrafficPolicy, in.ExternalTrafficPolicy
	out.TrafficDistribution = in.TrafficDistribution
	out.AllocateLoadBalancerNodePorts = in.AllocateLoadBalancerNodePorts
	out.LoadBalancerSourceRanges, out.LoadBalancerClass = in.LoadBalancerSourceRanges, in.LoadBalancerClass
	if out.ClusterIP != clusterIP {
		out.ClusterIP, out.ClusterIPs = clusterIP, nil
		if clusterIP != "" {
			out.ClusterIPs = []string{clusterIP}
		}
	}
	return nil
}

// superClusterIP returns the address that the super Service must have: the
// tenant's, which must lie in the tenant's slice.
func superClusterIP(env kind.Env, tenant *corev1.Service) (string, error) {
	clusterIP := tenant.Spec.ClusterIP
	if clusterIP == "" || clusterIP == corev1.ClusterIPNone {
		return clusterIP, nil
	}
	address, err := netip.ParseAddr(clusterIP)
	if err != nil || !env.Facts.ServiceCIDR.Contains(address) {
		return "", kind.Reject("spec.clusterIP", "%s is not in %s, the addresses of this cluster; create the Service again without clusterIP", clusterIP, env.Facts.ServiceCIDR)
	}
	return clusterIP, nil
}

// superPorts takes everything from the tenant but the node ports, which the
// super cluster allocates.
func superPorts(tenant, super []corev1.ServicePort) []corev1.ServicePort {
	allocated := make(map[string]int32, len(super))
	for _, port := range super {
		allocated[portKey(port)] = port.NodePort
	}
	out := make([]corev1.ServicePort, len(tenant))
	for i, port := range tenant {
		out[i] = port
		out[i].NodePort = 0
		if port.NodePort != 0 {
			out[i].NodePort = allocated[portKey(port)]
		}
	}
	return out
}

func portKey(port corev1.ServicePort) string {
	return fmt.Sprintf("%s/%s/%d", port.Name, port.Protocol, port.Port)
}

func serviceUp(_ context.Context, _ kind.Env, super, tenant *corev1.Service) error {
	delete(tenant.Annotations, tenancyv1alpha1.AnnotationMoving) // it has arrived
	tenant.Status.LoadBalancer = *super.Status.LoadBalancer.DeepCopy()
	allocated := make(map[string]int32, len(super.Spec.Ports))
	for _, port := range super.Spec.Ports {
		allocated[portKey(port)] = port.NodePort
	}
	for i := range tenant.Spec.Ports {
		port := &tenant.Spec.Ports[i]
		if nodePort := allocated[portKey(*port)]; nodePort != 0 && port.NodePort != 0 {
			port.NodePort = nodePort
		}
	}
	return nil
}

// explainService recognises a cluster IP that another Service of the super
// cluster holds: its own Services may be given addresses of the tenants' range.
func explainService(tenant *corev1.Service, err error) error {
	if !isAddressTaken(err) {
		return nil
	}
	return kind.Reject("spec.clusterIP", "%s is taken in the super cluster; create the Service again to get another address", tenant.Spec.ClusterIP)
}
