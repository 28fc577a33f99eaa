// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// PodCheck looks for one kind of wrong value in a pod spec whose fields are
// all allowed. It returns fatal findings.
type PodCheck func(spec *corev1.PodSpec) []Finding

// PodChecks returns the checks of values: what the Pod Security standard
// "baseline" forbids, decided here so that the tenant is told at once and does
// not depend on the super cluster's admission.
func PodChecks() []PodCheck {
	return []PodCheck{checkOS, checkSysctls, checkPodProfiles, eachContainer(CheckContainer)}
}

// CheckPod runs every check and returns all findings.
func CheckPod(spec *corev1.PodSpec) []Finding {
	var findings []Finding
	for _, check := range PodChecks() {
		findings = append(findings, check(spec)...)
	}
	return findings
}

// CheckContainer returns what is wrong with the values of one container, of
// whatever sort. path is how findings name it.
func CheckContainer(container *corev1.Container, path string) []Finding {
	var findings []Finding
	for _, check := range []containerCheck{
		checkPrivileged, checkCapabilities, checkProcMount, checkContainerProfiles, checkMountPropagation,
	} {
		findings = append(findings, check(container, path)...)
	}
	return findings
}

type containerCheck func(container *corev1.Container, path string) []Finding

func eachContainer(check containerCheck) PodCheck {
	return func(spec *corev1.PodSpec) []Finding {
		var findings []Finding
		for i := range spec.InitContainers {
			findings = append(findings, check(&spec.InitContainers[i], fmt.Sprintf("spec.initContainers[%d]", i))...)
		}
		for i := range spec.Containers {
			findings = append(findings, check(&spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i))...)
		}
		return findings
	}
}

func fatal(field, format string, args ...any) []Finding {
	return []Finding{{Field: field, Remedy: fmt.Sprintf(format, args...), Fatal: true}}
}

func checkOS(spec *corev1.PodSpec) []Finding {
	if spec.OS == nil || spec.OS.Name == corev1.Linux {
		return nil
	}
	return fatal("spec.os.name", "only linux pods are supported")
}

// checkSysctls admits the sysctls that are confined to the pod.
func checkSysctls(spec *corev1.PodSpec) []Finding {
	if spec.SecurityContext == nil {
		return nil
	}
	safe := []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
		"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
		"net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
	for i, sysctl := range spec.SecurityContext.Sysctls {
		if !slices.Contains(safe, sysctl.Name) {
			return fatal(fmt.Sprintf("spec.securityContext.sysctls[%d]", i), "%s is not one of the safe sysctls; remove it", sysctl.Name)
		}
	}
	return nil
}

func checkPodProfiles(spec *corev1.PodSpec) []Finding {
	if spec.SecurityContext == nil {
		return nil
	}
	return checkProfiles("spec.securityContext", spec.SecurityContext.SeccompProfile, spec.SecurityContext.AppArmorProfile, spec.SecurityContext.SELinuxOptions)
}

func checkContainerProfiles(container *corev1.Container, path string) []Finding {
	if container.SecurityContext == nil {
		return nil
	}
	return checkProfiles(path+".securityContext", container.SecurityContext.SeccompProfile, container.SecurityContext.AppArmorProfile, container.SecurityContext.SELinuxOptions)
}

// checkProfiles refuses to switch a confinement off and to choose an SELinux
// domain other than those meant for containers, or the level that keeps one
// pod's files from another's.
func checkProfiles(path string, seccomp *corev1.SeccompProfile, appArmor *corev1.AppArmorProfile, selinux *corev1.SELinuxOptions) []Finding {
	if seccomp != nil && seccomp.Type == corev1.SeccompProfileTypeUnconfined {
		return fatal(path+".seccompProfile.type", "Unconfined is not allowed; use RuntimeDefault")
	}
	if appArmor != nil && appArmor.Type == corev1.AppArmorProfileTypeUnconfined {
		return fatal(path+".appArmorProfile.type", "Unconfined is not allowed; use RuntimeDefault")
	}
	if selinux == nil {
		return nil
	}
	if selinux.User != "" || selinux.Role != "" {
		return fatal(path+".seLinuxOptions", "user and role cannot be chosen; remove them")
	}
	if selinux.Level != "" {
		return fatal(path+".seLinuxOptions.level", "the level cannot be chosen; remove it")
	}
	allowed := []string{"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
	if !slices.Contains(allowed, selinux.Type) {
		return fatal(path+".seLinuxOptions.type", "%s is not a type for containers; remove it", selinux.Type)
	}
	return nil
}

func checkPrivileged(container *corev1.Container, path string) []Finding {
	if sc := container.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
		return fatal(path+".securityContext.privileged", "privileged containers are not allowed; remove it")
	}
	return nil
}

func checkCapabilities(container *corev1.Container, path string) []Finding {
	if container.SecurityContext == nil || container.SecurityContext.Capabilities == nil {
		return nil
	}
	baseline := []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
		"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
	for i, capability := range container.SecurityContext.Capabilities.Add {
		name := strings.TrimPrefix(strings.ToUpper(string(capability)), "CAP_")
		if !slices.Contains(baseline, name) {
			return fatal(fmt.Sprintf("%s.securityContext.capabilities.add[%d]", path, i), "capability %s is not allowed; remove it", capability)
		}
	}
	return nil
}

func checkProcMount(container *corev1.Container, path string) []Finding {
	if sc := container.SecurityContext; sc != nil && sc.ProcMount != nil && *sc.ProcMount != corev1.DefaultProcMount {
		return fatal(path+".securityContext.procMount", "only Default is allowed; remove it")
	}
	return nil
}

func checkMountPropagation(container *corev1.Container, path string) []Finding {
	for i, mount := range container.VolumeMounts {
		if mount.MountPropagation != nil && *mount.MountPropagation == corev1.MountPropagationBidirectional {
			return fatal(fmt.Sprintf("%s.volumeMounts[%d].mountPropagation", path, i), "Bidirectional is not allowed; use None or HostToContainer")
		}
	}
	return nil
}
