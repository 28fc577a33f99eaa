// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

// PodFields returns the disposition of every field that can be reached from a
// PodSpec. A field that is missing here is refused when a tenant sets it, and
// a test fails until somebody decides about it.
func PodFields() Fields {
	rules := Fields{}
	for _, add := range []func(Fields){podSpecFields, volumeFields, containerFields, envFields, probeFields, securityFields} {
		add(rules)
	}
	return rules
}

// set gives the named fields of a type one rule.
func (f Fields) set(typeName string, rule Rule, fields ...string) {
	if f[typeName] == nil {
		f[typeName] = map[string]Rule{}
	}
	for _, field := range fields {
		f[typeName][field] = rule
	}
}

func (f Fields) copies(typeName string, fields ...string) {
	f.set(typeName, Rule{Disposition: Copy}, fields...)
}
func (f Fields) rewrites(typeName string, fields ...string) {
	f.set(typeName, Rule{Disposition: Rewrite}, fields...)
}
func (f Fields) drops(typeName string, fields ...string) {
	f.set(typeName, Rule{Disposition: Drop}, fields...)
}

func (f Fields) refuses(typeName, remedy string, fields ...string) {
	f.set(typeName, Rule{Disposition: Refuse, Remedy: remedy}, fields...)
}

func podSpecFields(f Fields) {
	const spec = "PodSpec"
	f.copies(spec, "Volumes", "InitContainers", "Containers", "RestartPolicy", "TerminationGracePeriodSeconds",
		"ActiveDeadlineSeconds", "ShareProcessNamespace", "SecurityContext", "ImagePullSecrets", "Hostname",
		"HostAliases", "TopologySpreadConstraints", "HostUsers", "Resources", "HostnameOverride",
		"ReadinessGates")
	f.rewrites(spec, "DNSPolicy", "DNSConfig", "NodeSelector", "Tolerations", "Affinity", "ServiceAccountName", "DeprecatedServiceAccount",
		"AutomountServiceAccountToken", "RuntimeClassName", "EnableServiceLinks", "NodeName", "SchedulerName",
		"SchedulingGates", "OS", "Subdomain", "SetHostnameAsFQDN", "EphemeralContainers", "PriorityClassName")
	// Admission sets the first two on every pod; the sandbox's overhead is the
	// super cluster's to say.
	f.drops(spec, "Priority", "PreemptionPolicy", "Overhead")
	f.refuses(spec, "sharing the node's network is not allowed; remove it", "HostNetwork")
	f.refuses(spec, "sharing the node's processes is not allowed; remove it", "HostPID", "HostIPC")
	f.refuses(spec, "dynamic resource allocation is not supported yet; remove it", "ResourceClaims")
	f.refuses(spec, "gang scheduling is not supported yet; remove it", "SchedulingGroup")
	f.set(spec, Rule{Disposition: Strip, Remedy: "eviction responders are not supported yet; the field has no effect"}, "EvictionResponders")

	f.copies("PodReadinessGate", "ConditionType")
	f.copies("HostAlias", "IP", "Hostnames")
	f.copies("LocalObjectReference", "Name")
	f.copies("TopologySpreadConstraint", "MaxSkew", "TopologyKey", "WhenUnsatisfiable", "LabelSelector", "MinDomains",
		"NodeAffinityPolicy", "NodeTaintsPolicy", "MatchLabelKeys")
}

func volumeFields(f Fields) {
	const (
		unsupported = "this volume type is not allowed; use persistentVolumeClaim, ephemeral, emptyDir, configMap, secret, projected, downwardAPI or image"
		inline      = "inline CSI volumes run a driver on the node with the pod's own settings and are not allowed; use persistentVolumeClaim or ephemeral"
		owner       = "choosing the owner of a file is not supported yet; remove it"
	)
	f.copies("Volume", "Name", "VolumeSource")
	f.copies("VolumeSource", "EmptyDir", "Image", "ConfigMap", "Secret", "Projected", "PersistentVolumeClaim")
	f.rewrites("VolumeSource", "DownwardAPI", "Ephemeral")
	f.refuses("VolumeSource", "the node's file system is not reachable; use emptyDir", "HostPath")
	f.refuses("VolumeSource", inline, "CSI")
	f.refuses("VolumeSource", unsupported, "GCEPersistentDisk", "AWSElasticBlockStore", "GitRepo", "NFS", "ISCSI", "Glusterfs",
		"RBD", "FlexVolume", "Cinder", "CephFS", "Flocker", "FC", "AzureFile", "VsphereVolume", "Quobyte", "AzureDisk",
		"PhotonPersistentDisk", "PortworxVolume", "ScaleIO", "StorageOS")

	f.copies("PersistentVolumeClaimVolumeSource", "ClaimName", "ReadOnly")
	f.copies("EmptyDirVolumeSource", "Medium", "SizeLimit", "Mode")
	f.copies("ImageVolumeSource", "Reference", "PullPolicy")
	f.copies("KeyToPath", "Key", "Path", "Mode")
	f.refuses("KeyToPath", owner, "User")
	f.copies("SecretVolumeSource", "SecretName", "Items", "DefaultMode", "Optional")
	f.refuses("SecretVolumeSource", owner, "DefaultUser")
	f.copies("ConfigMapVolumeSource", "LocalObjectReference", "Items", "DefaultMode", "Optional")
	f.refuses("ConfigMapVolumeSource", owner, "DefaultUser")
	f.copies("ProjectedVolumeSource", "Sources", "DefaultMode")
	f.refuses("ProjectedVolumeSource", owner, "DefaultUser")
	f.copies("VolumeProjection", "Secret", "ConfigMap")
	f.rewrites("VolumeProjection", "DownwardAPI", "ServiceAccountToken")
	f.refuses("VolumeProjection", "trust bundles of the super cluster are not shared; mount the bundle from a ConfigMap", "ClusterTrustBundle")
	f.refuses("VolumeProjection", "pod certificates are not supported yet; remove the source", "PodCertificate")
	f.copies("SecretProjection", "LocalObjectReference", "Items", "Optional")
	f.copies("ConfigMapProjection", "LocalObjectReference", "Items", "Optional")
}

func containerFields(f Fields) {
	fields := []string{"Name", "Image", "Command", "Args", "WorkingDir", "Ports", "EnvFrom", "Env", "Resources", "ResizePolicy",
		"RestartPolicy", "RestartPolicyRules", "VolumeMounts", "LivenessProbe", "ReadinessProbe", "StartupProbe", "Lifecycle",
		"TerminationMessagePath", "TerminationMessagePolicy", "ImagePullPolicy", "SecurityContext", "Stdin", "StdinOnce", "TTY"}
	for _, typeName := range []string{"Container", "EphemeralContainerCommon"} {
		f.copies(typeName, fields...)
		f.refuses(typeName, "raw block devices are not supported yet; use volumeMounts", "VolumeDevices")
	}
	f.copies("EphemeralContainer", "EphemeralContainerCommon", "TargetContainerName")

	f.copies("ContainerPort", "Name", "ContainerPort", "Protocol")
	f.refuses("ContainerPort", "ports of the node are not available; use a Service", "HostPort", "HostIP")
	f.copies("ResourceRequirements", "Limits", "Requests")
	f.refuses("ResourceRequirements", "dynamic resource allocation is not supported yet; remove it", "Claims")
	f.copies("ContainerResizePolicy", "ResourceName", "RestartPolicy")
	f.copies("ContainerRestartRule", "Action", "ExitCodes")
	f.copies("ContainerRestartRuleOnExitCodes", "Operator", "Values")
	f.copies("VolumeMount", "Name", "ReadOnly", "RecursiveReadOnly", "MountPath", "SubPath", "MountPropagation", "SubPathExpr")
	f.refuses("VolumeMount", "mount options are not supported yet; remove them", "BindMountOptions")
}

func envFields(f Fields) {
	f.copies("EnvFromSource", "Prefix", "ConfigMapRef", "SecretRef")
	f.copies("ConfigMapEnvSource", "LocalObjectReference", "Optional")
	f.copies("SecretEnvSource", "LocalObjectReference", "Optional")
	f.copies("EnvVar", "Name", "Value", "ValueFrom")
	f.copies("EnvVarSource", "FieldRef", "ResourceFieldRef", "ConfigMapKeyRef", "SecretKeyRef", "FileKeyRef")
	f.copies("ConfigMapKeySelector", "LocalObjectReference", "Key", "Optional")
	f.copies("SecretKeySelector", "LocalObjectReference", "Key", "Optional")
	f.copies("FileKeySelector", "VolumeName", "Path", "Key", "Optional")
	f.copies("ObjectFieldSelector", "APIVersion", "FieldPath")
	f.copies("ResourceFieldSelector", "ContainerName", "Resource", "Divisor")
}

func probeFields(f Fields) {
	const remedy = "probes reach only the pod itself; leave it empty"
	f.copies("Probe", "ProbeHandler", "InitialDelaySeconds", "TimeoutSeconds", "PeriodSeconds", "SuccessThreshold",
		"FailureThreshold", "TerminationGracePeriodSeconds")
	f.copies("ProbeHandler", "Exec", "HTTPGet", "TCPSocket", "GRPC")
	f.copies("ExecAction", "Command")
	f.copies("HTTPGetAction", "Path", "Port", "Scheme", "HTTPHeaders", "Protocol")
	f.refuses("HTTPGetAction", remedy, "Host")
	f.copies("HTTPHeader", "Name", "Value")
	f.copies("TCPSocketAction", "Port")
	f.refuses("TCPSocketAction", remedy, "Host")
	f.copies("GRPCAction", "Port", "Service", "Mode")
	f.copies("Lifecycle", "PostStart", "PreStop", "StopSignal")
	f.copies("LifecycleHandler", "Exec", "HTTPGet", "TCPSocket", "Sleep")
	f.copies("SleepAction", "Seconds")
}

func securityFields(f Fields) {
	const windows = "only Linux pods are supported; remove it"
	f.copies("PodSecurityContext", "SELinuxOptions", "RunAsUser", "RunAsGroup", "RunAsNonRoot", "SupplementalGroups",
		"SupplementalGroupsPolicy", "FSGroup", "Sysctls", "FSGroupChangePolicy", "SeccompProfile", "AppArmorProfile", "SELinuxChangePolicy")
	f.refuses("PodSecurityContext", windows, "WindowsOptions")
	f.copies("Sysctl", "Name", "Value")
	f.copies("SecurityContext", "Capabilities", "Privileged", "SELinuxOptions", "RunAsUser", "RunAsGroup", "RunAsNonRoot",
		"ReadOnlyRootFilesystem", "AllowPrivilegeEscalation", "ProcMount", "SeccompProfile", "AppArmorProfile")
	f.refuses("SecurityContext", windows, "WindowsOptions")
	f.copies("Capabilities", "Add", "Drop")
	f.copies("SELinuxOptions", "User", "Role", "Type", "Level")
	f.copies("SeccompProfile", "Type", "LocalhostProfile")
	f.copies("AppArmorProfile", "Type", "LocalhostProfile")
}
