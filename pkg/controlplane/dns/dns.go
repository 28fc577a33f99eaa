// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dns says what a tenant's DNS server is made of: pure functions from a
// Spec to the objects that should exist in the tenant's kube-system, one file
// for each concern. Package addon keeps them so.
//
// It is CoreDNS under the names that kubeadm gave it, so that people and tools
// find it: Service kube-dns, Deployment coredns, label k8s-app=kube-dns. Its pods
// are ordinary pods of the tenant, in the same sandbox and with no more rights
// than any other: it reads the tenant's API and nothing else, so it cannot know
// a name of the super cluster.
package dns

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Names that kubeadm gave to a cluster's DNS, all in metav1.NamespaceSystem.
const (
	// ServiceName is the Service at the address that resolvers ask.
	ServiceName = "kube-dns"
	// Name is the Deployment, the ConfigMap and the ServiceAccount.
	Name = "coredns"
	// roleName is the ClusterRole and its binding.
	roleName = "system:coredns"
)

// Spec is everything that the objects depend on.
type Spec struct {
	// ServiceCIDR is the tenant's slice of the service range (IPv4).
	ServiceCIDR netip.Prefix
	// Class is the class's part about DNS.
	Class tenancyv1alpha1.ClassDNS
}

// Objects returns every object, in the order in which they are made: what a pod
// needs before the pod.
func (s Spec) Objects() ([]client.Object, error) {
	service, err := s.service()
	if err != nil {
		return nil, err
	}
	return []client.Object{s.serviceAccount(), s.clusterRole(), s.clusterRoleBinding(), s.configMap(), service, s.deployment()}, nil
}

// typed returns the type of an object as it is written.
func typed(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

// objectMeta returns the metadata of an object in kube-system. The label says that the
// platform made the object; only such are ever removed.
func objectMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem, Labels: map[string]string{
		tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager,
		labelApp:                       ServiceName,
		"kubernetes.io/name":           "CoreDNS",
	}}
}

// labelApp is by which kubeadm's Service finds its pods.
const labelApp = "k8s-app"

func selector() map[string]string { return map[string]string{labelApp: ServiceName} }

func (s Spec) serviceAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: typed("v1", "ServiceAccount"), ObjectMeta: objectMeta(Name)}
}

// clusterRole is what CoreDNS reads: it can write nothing and sees no Secret and no pod.
func (s Spec) clusterRole() *rbacv1.ClusterRole {
	meta := objectMeta(roleName)
	meta.Namespace = ""
	verbs := []string{"list", "watch"}
	return &rbacv1.ClusterRole{
		TypeMeta: typed(rbacv1.SchemeGroupVersion.String(), "ClusterRole"), ObjectMeta: meta,
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"namespaces", "services"}, Verbs: verbs},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: verbs},
		},
	}
}

func (s Spec) clusterRoleBinding() *rbacv1.ClusterRoleBinding {
	meta := objectMeta(roleName)
	meta.Namespace = ""
	return &rbacv1.ClusterRoleBinding{
		TypeMeta: typed(rbacv1.SchemeGroupVersion.String(), "ClusterRoleBinding"), ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: Name}},
	}
}

func (s Spec) service() (*corev1.Service, error) {
	address, err := Address(s.ServiceCIDR)
	if err != nil {
		return nil, err
	}
	meta := objectMeta(ServiceName)
	meta.Labels["kubernetes.io/cluster-service"] = "true"
	port := func(name string, number int32, protocol corev1.Protocol) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number, Protocol: protocol, TargetPort: intstr.FromString(name)}
	}
	return &corev1.Service{
		TypeMeta: typed("v1", "Service"), ObjectMeta: meta,
		Spec: corev1.ServiceSpec{
			Type:      corev1.ServiceTypeClusterIP,
			ClusterIP: address.String(),
			Selector:  selector(),
			Ports: []corev1.ServicePort{
				port(portDNS, 53, corev1.ProtocolUDP), port(portDNSTCP, 53, corev1.ProtocolTCP),
				port(portMetrics, metricsPort, corev1.ProtocolTCP),
			},
		},
	}, nil
}

// Address returns the address of a tenant's DNS: TenantDNSOffset places after
// the first of its slice, where the resolvers of its pods look for it.
func Address(serviceCIDR netip.Prefix) (netip.Addr, error) {
	if !serviceCIDR.IsValid() || !serviceCIDR.Addr().Is4() {
		return netip.Addr{}, fmt.Errorf("the service range %s is not IPv4", serviceCIDR)
	}
	bytes := serviceCIDR.Masked().Addr().As4()
	binary.BigEndian.PutUint32(bytes[:], binary.BigEndian.Uint32(bytes[:])+tenancyv1alpha1.TenantDNSOffset)
	address := netip.AddrFrom4(bytes)
	if !serviceCIDR.Contains(address) {
		return netip.Addr{}, fmt.Errorf("the service range %s is too small for a DNS server", serviceCIDR)
	}
	return address, nil
}
