// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"cmp"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Defaults of a class that was not defaulted by the API server.
const (
	defaultGCPercent          = 30
	defaultMemoryLimitPercent = 80
)

// args are the flags of the control plane's process.
func (s Spec) args() []string {
	replicas := int32(1)
	if s.Replicated {
		replicas = MaxMembers
	}
	args := []string{
		"control-plane",
		"--role=tenant",
		"--data-dir=" + pathData,
		"--pki-dir=" + pathPKI,
		"--service-cluster-ip-range=" + s.ServiceCIDR,
		"--advertise-address=$(POD_IP)",
		fmt.Sprintf("--secure-port=%d", tenancyv1alpha1.ControlPlanePort),
		fmt.Sprintf("--replicas=%d", replicas),
		"--member=$(POD_NAME)",
		"--membership-dir=" + pathMembership,
	}
	if level := s.ControlPlane.Audit.Level; level != "" && level != tenancyv1alpha1.AuditNone {
		args = append(args, "--audit-level="+string(level))
	}
	if s.Replicated {
		args = append(args, "--peer-domain="+s.PeerDomain())
	}
	return args
}

func (s Spec) environment() []corev1.EnvVar {
	process := s.ControlPlane.Process
	environment := []corev1.EnvVar{
		fromField("POD_IP", "status.podIP"),
		fromField("POD_NAME", "metadata.name"),
		{Name: "GOGC", Value: strconv.Itoa(int(cmp.Or(process.GCPercent, defaultGCPercent)))},
	}
	if limit, ok := s.ControlPlane.Resources.Limits[corev1.ResourceMemory]; ok {
		// Divided first: a limit may be so large that a hundred times it is no int64.
		soft := limit.Value() / 100 * int64(cmp.Or(process.MemoryLimitPercent, defaultMemoryLimitPercent))
		environment = append(environment, corev1.EnvVar{Name: "GOMEMLIMIT", Value: strconv.FormatInt(soft, 10)})
	}
	return environment
}

func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

func (s Spec) ports() []corev1.ContainerPort {
	ports := []corev1.ContainerPort{{Name: portName, ContainerPort: tenancyv1alpha1.ControlPlanePort, Protocol: corev1.ProtocolTCP}}
	if s.Replicated {
		ports = append(ports,
			corev1.ContainerPort{Name: portNameEtcdClient, ContainerPort: EtcdClientPort, Protocol: corev1.ProtocolTCP},
			corev1.ContainerPort{Name: portNameEtcdPeer, ContainerPort: EtcdPeerPort, Protocol: corev1.ProtocolTCP})
	}
	return ports
}
