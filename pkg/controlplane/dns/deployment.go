// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// Ports of the pod. DNS has an unprivileged one, which the Service hides: so
// the process needs no capability, and Pod Security level "restricted" admits it.
const (
	dnsPort     = 1053
	healthPort  = 8080
	readyPort   = 8181
	metricsPort = 9153

	portDNS     = "dns"
	portDNSTCP  = "dns-tcp"
	portMetrics = "metrics"
)

const (
	// user runs the process; the image needs no entry for it.
	user = 65532

	volumeConfig = "config"
	pathConfig   = "/etc/coredns"
)

// deployment returns CoreDNS itself. An update starts the new pod before it
// ends the old one: names are always answered.
func (s Spec) deployment() *appsv1.Deployment {
	labels := selector()
	one, none := intstr.FromInt32(1), intstr.FromInt32(0)
	return &appsv1.Deployment{
		TypeMeta: typed(appsv1.SchemeGroupVersion.String(), "Deployment"), ObjectMeta: objectMeta(Name),
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(max(s.Class.Replicas, 1)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &none},
			},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: s.pod()},
		},
	}
}

func (s Spec) pod() corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName:           Name,
		AutomountServiceAccountToken: ptr.To(true),
		EnableServiceLinks:           ptr.To(false),
		// Any other policy would point it at itself.
		DNSPolicy: corev1.DNSNone,
		DNSConfig: &corev1.PodDNSConfig{Nameservers: s.nameservers()},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true),
			RunAsUser:    ptr.To[int64](user), RunAsGroup: ptr.To[int64](user),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: selector()},
		}},
		Containers: []corev1.Container{s.container()},
		Volumes: []corev1.Volume{{Name: volumeConfig, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: Name},
				Items:                []corev1.KeyToPath{{Key: keyCorefile, Path: keyCorefile}},
			},
		}}},
	}
}

// nameservers are of the pod's own resolver, which CoreDNS does not use: it
// knows its API server and its upstreams by address. Without upstreams nothing
// listens at the one that there must be.
func (s Spec) nameservers() []string {
	if len(s.Class.UpstreamNameservers) > 0 {
		return s.Class.UpstreamNameservers
	}
	return []string{"127.0.0.1"}
}

func (s Spec) container() corev1.Container {
	port := func(name string, number int32, protocol corev1.Protocol) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: protocol}
	}
	return corev1.Container{
		Name:  Name,
		Image: s.Class.Image,
		// Quiet: it would begin its log with the list of a hundred reverse zones.
		Args:      []string{"-quiet", "-conf", pathConfig + "/" + keyCorefile},
		Resources: s.Class.Resources,
		Ports: []corev1.ContainerPort{
			port(portDNS, dnsPort, corev1.ProtocolUDP), port(portDNSTCP, dnsPort, corev1.ProtocolTCP),
			port(portMetrics, metricsPort, corev1.ProtocolTCP),
		},
		VolumeMounts:   []corev1.VolumeMount{{Name: volumeConfig, MountPath: pathConfig, ReadOnly: true}},
		ReadinessProbe: probe("/ready", readyPort, 2, 3),
		LivenessProbe:  probe("/health", healthPort, 10, 5),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

func probe(path string, port, periodSeconds, failureThreshold int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: periodSeconds, FailureThreshold: failureThreshold, TimeoutSeconds: 5,
	}
}
