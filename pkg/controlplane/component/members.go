// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// MaxMembers is how many members a replicated control plane has.
	MaxMembers int32 = 3
	// PeersServiceName is the headless Service that gives each member a name.
	PeersServiceName = "control-plane-peers"
	// MembershipName is the ConfigMap of Membership.
	MembershipName = "control-plane-membership"
	// EtcdClientPort is where a member of a replicated database answers clients.
	EtcdClientPort = 2379
	// EtcdPeerPort is where it answers the other members.
	EtcdPeerPort = 2380

	portNameEtcdClient = "etcd-client"
	portNameEtcdPeer   = "etcd-peer"
)

// Keys of the ConfigMap of Membership: the names of the files that the process reads.
const (
	KeyBootstrap = "bootstrap"
	KeyRevision  = "revision"
	KeyMembers   = "members"
)

// annotationEstablished, on the ConfigMap of Membership, is when a replica was
// first ready (RFC 3339).
const annotationEstablished = tenancyv1alpha1.LabelPrefix + "established"

// Membership is what the processes are told of the database's members.
type Membership struct {
	// Established is when a replica was first ready, or since when an empty
	// database is not allowed again. The zero time means never.
	Established time.Time
	// Bootstrap allows the first member to make a database where there is none.
	Bootstrap bool
	// Revision is another, and a larger, number after each change of Members.
	Revision int64
	// Members is how many are wanted, those with the lowest ordinals: 1 or 3.
	Members int32
}

// MemberName returns the name of a member, which is its pod's.
func MemberName(ordinal int32) string {
	return fmt.Sprintf("%s-%d", tenancyv1alpha1.ControlPlaneServiceName, ordinal)
}

// MembershipConfigMap returns the ConfigMap that the processes mount.
func (s Spec) MembershipConfigMap() *corev1.ConfigMap {
	object := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: s.meta(MembershipName),
		Data: map[string]string{
			KeyBootstrap: strconv.FormatBool(s.Membership.Bootstrap),
			KeyRevision:  strconv.FormatInt(s.Membership.Revision, 10),
			KeyMembers:   strconv.Itoa(int(s.Membership.Members)),
		},
	}
	if !s.Membership.Established.IsZero() {
		object.Annotations[annotationEstablished] = s.Membership.Established.UTC().Format(time.RFC3339)
	}
	return object
}

// ParseMembership reads what MembershipConfigMap has written. What cannot be
// read is as if it were not there, so that it is written anew; without a
// readable "true", no database may be made.
func ParseMembership(object *corev1.ConfigMap) Membership {
	out := Membership{Bootstrap: object.Data[KeyBootstrap] == "true"}
	if revision, err := strconv.ParseInt(object.Data[KeyRevision], 10, 64); err == nil {
		out.Revision = revision
	}
	if members, err := strconv.ParseInt(object.Data[KeyMembers], 10, 32); err == nil {
		out.Members = int32(members)
	}
	if established, err := time.Parse(time.RFC3339, object.Annotations[annotationEstablished]); err == nil {
		out.Established = established
	}
	return out
}

// PeersService returns the headless Service by which the members find each
// other. It names also those that are not ready: a member becomes ready only
// with the help of the others.
func (s Spec) PeersService() *corev1.Service {
	service := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: s.meta(PeersServiceName),
		Spec: corev1.ServiceSpec{
			Type:                     corev1.ServiceTypeClusterIP,
			ClusterIP:                corev1.ClusterIPNone,
			PublishNotReadyAddresses: true,
			Selector:                 s.podLabels(),
		},
	}
	if s.Replicated {
		service.Spec.Ports = []corev1.ServicePort{
			{Name: portNameEtcdClient, Protocol: corev1.ProtocolTCP, Port: EtcdClientPort, TargetPort: intstr.FromString(portNameEtcdClient)},
			{Name: portNameEtcdPeer, Protocol: corev1.ProtocolTCP, Port: EtcdPeerPort, TargetPort: intstr.FromString(portNameEtcdPeer)},
		}
	}
	return service
}

// DisruptionBudget returns the PodDisruptionBudget of a replicated control
// plane: whoever drains nodes takes one member at a time. A single one has
// none, for it would keep its node from ever being drained.
func (s Spec) DisruptionBudget() *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: s.meta(tenancyv1alpha1.ControlPlaneServiceName),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: ptr.To(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: s.podLabels()},
			// A pod that is not ready serves nobody: it may go while the others are fine.
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.IfHealthyBudget),
		},
	}
}

// affinity keeps members on different nodes where there are enough.
func (s Spec) affinity() *corev1.Affinity {
	if !s.Replicated {
		return nil
	}
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 100,
			PodAffinityTerm: corev1.PodAffinityTerm{
				TopologyKey:   corev1.LabelHostname,
				LabelSelector: &metav1.LabelSelector{MatchLabels: s.podLabels()},
			},
		}},
	}}
}

// spread keeps members in different zones where there are any.
func (s Spec) spread() []corev1.TopologySpreadConstraint {
	if !s.Replicated {
		return nil
	}
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector: &metav1.LabelSelector{MatchLabels: s.podLabels()},
	}}
}
