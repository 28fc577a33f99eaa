// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// ContainerName is the name of the control plane's one container.
	ContainerName = "control-plane"
	// AnnotationPKIHash is on the pod template and changes with the files that
	// the process reads only when it starts, so that a change of them restarts it.
	AnnotationPKIHash = tenancyv1alpha1.LabelPrefix + "pki-hash"
	// AnnotationVersion is on the pod template, and so on each pod: the offered
	// version that the pod was made for.
	AnnotationVersion = tenancyv1alpha1.LabelPrefix + "version"
	// AnnotationRunningImage is on the StatefulSet: the image of the version that
	// every replica runs (status.version). It is there to go back to, and to go on
	// with when the class no longer offers the version.
	AnnotationRunningImage = tenancyv1alpha1.LabelPrefix + "running-image"

	// gracePeriodSeconds is more than the 15 s in which the process stops by itself.
	gracePeriodSeconds = 20

	volumeData       = "data"
	volumePKI        = "pki"
	volumeTemp       = "tmp"
	volumeMembership = "membership"

	pathVolume = "/var/lib/virtualcluster"
	// pathData is below the volume's root, which belongs to whoever provisioned
	// it: the process makes this directory and is alone allowed to read it.
	pathData = pathVolume + "/data"
	pathPKI  = "/etc/virtualcluster/pki"
	// pathMembership is a directory of files that change while the process runs.
	pathMembership = "/etc/virtualcluster/membership"
)

// StatefulSet returns the control plane: in each pod one process with etcd, API
// server and controllers, and a volume for its database.
//
// A volume goes when its member was taken away: what is on it is no part of the
// database any more, and must not be taken for one when a member of that name
// is added again. It stays when the StatefulSet goes: deletion of a virtual
// cluster decides about volumes itself.
func (s Spec) StatefulSet(pkiHash string) *appsv1.StatefulSet {
	metadata := s.meta(tenancyv1alpha1.ControlPlaneServiceName)
	metadata.Annotations[AnnotationRunningImage] = s.RunningImage
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: metadata,
		Spec: appsv1.StatefulSetSpec{
			Replicas:            ptr.To(max(s.Members, 1)),
			ServiceName:         PeersServiceName,
			PodManagementPolicy: appsv1.ParallelPodManagement,
			UpdateStrategy:      s.updateStrategy(),
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenScaled:  appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
				WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
			},
			Selector: &metav1.LabelSelector{MatchLabels: s.podLabels()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      s.podLabels(),
					Annotations: s.annotations(map[string]string{AnnotationPKIHash: pkiHash, AnnotationVersion: s.Version.Name}),
				},
				Spec: s.pod(),
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{s.volumeClaim()},
		},
	}
}

// updateStrategy replaces one replica after the other, each when the one before
// is ready; none while Hold.
func (s Spec) updateStrategy() appsv1.StatefulSetUpdateStrategy {
	if s.Hold {
		return appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
	}
	return appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType}
}

// pod meets Pod Security level "restricted". The control plane has no business
// with the API of the cluster it runs in: it gets no token and no service links.
func (s Spec) pod() corev1.PodSpec {
	return corev1.PodSpec{
		Affinity:                      s.affinity(),
		TopologySpreadConstraints:     s.spread(),
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](gracePeriodSeconds),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true),
			RunAsUser:    ptr.To(s.user()), RunAsGroup: ptr.To(s.user()), FSGroup: ptr.To(s.user()),
			FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{s.container()},
		Volumes: []corev1.Volume{
			{Name: volumePKI, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: SecretPKI, DefaultMode: ptr.To[int32](0o440),
			}}},
			{Name: volumeMembership, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: MembershipName}, DefaultMode: ptr.To[int32](0o440),
			}}},
			{Name: volumeTemp, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
}

func (s Spec) container() corev1.Container {
	return corev1.Container{
		Name:      ContainerName,
		Image:     s.Version.Image,
		Args:      s.args(),
		Env:       s.environment(),
		Ports:     s.ports(),
		Resources: s.ControlPlane.Resources,
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeData, MountPath: pathVolume},
			{Name: volumePKI, MountPath: pathPKI, ReadOnly: true},
			{Name: volumeMembership, MountPath: pathMembership, ReadOnly: true},
			{Name: volumeTemp, MountPath: "/tmp"},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		// The end of the log is in the pod's status, and so in the reason of a
		// VirtualCluster whose control plane does not start.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		// Every second, so that a tenant waits for its control plane and not for the probes.
		StartupProbe:   probe("/readyz", 1, s.startupSeconds()),
		ReadinessProbe: probe("/readyz", 1, 5),
		// A process is not better for being restarted when its database has no
		// majority, which its end would only make more of a problem.
		LivenessProbe: probe("/livez?exclude=etcd", 10, 6),
	}
}

// startupSeconds is how long a process may take to become ready. It gives up by
// itself, with a reason, if the fault is its own; one of several may have to
// wait for others, for as long as they take to come back.
func (s Spec) startupSeconds() int32 {
	if s.Replicated {
		return 15 * 60
	}
	return 3 * 60
}

// probe asks the API server, which answers these paths to anyone.
func probe(path string, periodSeconds, failureThreshold int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromString(portName), Scheme: corev1.URISchemeHTTPS,
		}},
		PeriodSeconds: periodSeconds, FailureThreshold: failureThreshold, TimeoutSeconds: 5,
	}
}

func (s Spec) volumeClaim() corev1.PersistentVolumeClaim {
	storage := s.ControlPlane.Storage
	claim := corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: volumeData, Labels: s.Labels()},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: storage.Size},
			},
		},
	}
	if storage.StorageClassName != "" {
		claim.Spec.StorageClassName = ptr.To(storage.StorageClassName)
	}
	return claim
}
