// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

// PodStatusFields returns the disposition of every field that can be reached
// from a PodStatus on its way up to the tenant. A field that is missing here
// stays behind, and a test fails until somebody decides about it.
func PodStatusFields() Fields {
	f := Fields{}
	const status, container = "PodStatus", "ContainerStatus"
	f.copies(status, "Phase", "Reason", "Message", "PodIP", "PodIPs", "StartTime", "InitContainerStatuses", "ContainerStatuses",
		"EphemeralContainerStatuses", "QOSClass", "Resize", "AllocatedResources", "Resources")
	f.rewrites(status, "ObservedGeneration", "Conditions", "HostIP", "HostIPs")
	// A node of the super cluster; devices, which no pod of a tenant has; and the
	// health of volumes of the super cluster.
	f.drops(status, "NominatedNodeName", "ResourceClaimStatuses", "ExtendedResourceClaimStatus",
		"NodeAllocatableResourceClaimStatuses", "VolumeHealth")
	f.copies("PodIP", "IP")
	f.copies(container, "Name", "State", "LastTerminationState", "Ready", "RestartCount", "Image", "ImageID", "ContainerID",
		"Started", "AllocatedResources", "Resources", "VolumeMounts", "User", "StopSignal")
	f.drops(container, "AllocatedResourcesStatus") // names devices of the node
	f.copies("ContainerState", "Waiting", "Running", "Terminated")
	f.copies("ContainerStateWaiting", "Reason", "Message")
	f.copies("ContainerStateRunning", "StartedAt")
	f.copies("ContainerStateTerminated", "ExitCode", "Signal", "Reason", "Message", "StartedAt", "FinishedAt", "ContainerID")
	f.copies("ResourceRequirements", "Limits", "Requests")
	f.drops("ResourceRequirements", "Claims")
	f.copies("VolumeMountStatus", "Name", "MountPath", "ReadOnly", "RecursiveReadOnly", "VolumeStatus")
	f.copies("VolumeStatus", "Image")
	f.copies("ImageVolumeStatus", "ImageRef")
	f.copies("ContainerUser", "Linux")
	f.copies("LinuxContainerUser", "UID", "GID", "SupplementalGroups")
	return f
}
