// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"encoding/json"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

const (
	// maxMoves is how many other addresses a Service is given before its owner has to choose.
	maxMoves = 5
	// movingName is what a Service leads to while it has no address: a name that
	// never resolves (RFC 2606).
	movingName = "moving.invalid"
)

// move is how far a Service has come with getting another address or other node
// ports. An API server gives up what a Service holds only when its type changes
// to one that has no such thing, so there are two steps: release, and back. It
// lies on the Service, so that a syncer that is killed between them goes on.
type move struct {
	// Released says that the first step is done and the second is not.
	Released bool `json:"released,omitempty"`
	// Tries counts the moves.
	Tries int `json:"tries"`
	// Address is what was taken; empty if that was a node port.
	Address string `json:"address,omitempty"`
	// Type and what else the API server drops with the type.
	Type                          corev1.ServiceType                   `json:"type"`
	ExternalTrafficPolicy         corev1.ServiceExternalTrafficPolicy  `json:"externalTrafficPolicy,omitempty"`
	InternalTrafficPolicy         *corev1.ServiceInternalTrafficPolicy `json:"internalTrafficPolicy,omitempty"`
	AllocateLoadBalancerNodePorts *bool                                `json:"allocateLoadBalancerNodePorts,omitempty"`
	LoadBalancerClass             *string                              `json:"loadBalancerClass,omitempty"`
}

// moveOf reads a Service's move; the zero move means none. What a tenant writes
// there changes but its own Service.
func moveOf(tenant *corev1.Service) move {
	var m move
	if json.Unmarshal([]byte(tenant.Annotations[tenancyv1alpha1.AnnotationMoving]), &m) != nil {
		return move{}
	}
	return m
}

func (m move) write(tenant *corev1.Service) {
	value, err := json.Marshal(m)
	if err != nil {
		return // a struct of strings
	}
	tenant.Annotations = withLabel(tenant.Annotations, tenancyv1alpha1.AnnotationMoving, string(value))
}

// healService gives a Service another ClusterIP if the super cluster has given
// its own to somebody else, and lets go of node ports that stand crosswise to
// those of another Service of the tenant, each having what the other must get.
func healService(env kind.Env, tenant *corev1.Service, refusal error) bool {
	m := moveOf(tenant)
	switch {
	case refusal == nil && m.Released:
		m.back(tenant)
	case isAddressTaken(refusal) && m.Tries < maxMoves && mayMove(env, tenant):
		m.release(tenant, tenant.Spec.ClusterIP)
		tenant.Spec.Type, tenant.Spec.ExternalName = corev1.ServiceTypeExternalName, movingName
	case isPortTaken(refusal) && m.Tries == 0 && tenant.Spec.Type == corev1.ServiceTypeNodePort:
		m.release(tenant, "")
		tenant.Spec.Type = corev1.ServiceTypeClusterIP
	default:
		return false
	}
	return true
}

// release remembers what the API server will drop.
func (m move) release(tenant *corev1.Service, address string) {
	spec := &tenant.Spec
	move{
		Released: true, Tries: m.Tries + 1, Address: address, Type: spec.Type, ExternalTrafficPolicy: spec.ExternalTrafficPolicy,
		InternalTrafficPolicy: spec.InternalTrafficPolicy, AllocateLoadBalancerNodePorts: spec.AllocateLoadBalancerNodePorts,
		LoadBalancerClass: spec.LoadBalancerClass,
	}.write(tenant)
}

// back makes the Service what it was, without what it has released.
func (m move) back(tenant *corev1.Service) {
	spec := &tenant.Spec
	spec.Type, spec.ExternalTrafficPolicy, spec.InternalTrafficPolicy = m.Type, m.ExternalTrafficPolicy, m.InternalTrafficPolicy
	spec.AllocateLoadBalancerNodePorts, spec.LoadBalancerClass = m.AllocateLoadBalancerNodePorts, m.LoadBalancerClass
	if m.Address != "" {
		spec.ExternalName, spec.ClusterIP, spec.ClusterIPs = "", "", nil
	}
	for i := range spec.Ports {
		spec.Ports[i].NodePort = 0
	}
	m.Released = false
	m.write(tenant)
}

// mayMove keeps the addresses that the tenant's pods know beforehand.
func mayMove(env kind.Env, tenant *corev1.Service) bool {
	for _, offset := range []uint32{1, tenancyv1alpha1.TenantDNSOffset} {
		if policy.NthAddress(env.Facts.ServiceCIDR, offset).String() == tenant.Spec.ClusterIP {
			return false
		}
	}
	return tenant.Spec.ClusterIP != ""
}

func isAddressTaken(err error) bool {
	return err != nil && apierrors.IsInvalid(err) && strings.Contains(err.Error(), "IP is already allocated")
}

func isPortTaken(err error) bool {
	return err != nil && apierrors.IsInvalid(err) && strings.Contains(err.Error(), "port is already allocated")
}
