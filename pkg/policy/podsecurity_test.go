// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestCheckPod(t *testing.T) {
	yes, no := true, false
	bidirectional, unmasked := corev1.MountPropagationBidirectional, corev1.UnmaskedProcMount
	security := func(sc corev1.SecurityContext) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Name: "a", SecurityContext: &sc}}}
	}
	capability := func(names ...corev1.Capability) corev1.PodSpec {
		return security(corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: names}})
	}
	const context = "spec.containers[0].securityContext."
	cases := map[string]struct {
		spec corev1.PodSpec
		want string // the field; empty: nothing is found
	}{
		"nothing":             {},
		"linux":               {spec: corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Linux}}},
		"windows":             {spec: corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}}, want: "spec.os.name"},
		"privileged":          {spec: security(corev1.SecurityContext{Privileged: &yes}), want: context + "privileged"},
		"privileged: false":   {spec: security(corev1.SecurityContext{Privileged: &no})},
		"privileged init":     {spec: corev1.PodSpec{InitContainers: []corev1.Container{{SecurityContext: &corev1.SecurityContext{Privileged: &yes}}}}, want: "spec.initContainers[0].securityContext.privileged"},
		"baseline capability": {spec: capability("NET_BIND_SERVICE", "CAP_CHOWN", "kill")},
		"SYS_ADMIN":           {spec: capability("CHOWN", "SYS_ADMIN"), want: context + "capabilities.add[1]"},
		"lower case":          {spec: capability("sys_admin"), want: context + "capabilities.add[0]"},
		"with prefix":         {spec: capability("CAP_SYS_ADMIN"), want: context + "capabilities.add[0]"},
		"ALL":                 {spec: capability("ALL"), want: context + "capabilities.add[0]"},
		"dropped":             {spec: security(corev1.SecurityContext{Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}})},
		"procMount":           {spec: security(corev1.SecurityContext{ProcMount: &unmasked}), want: context + "procMount"},
		"seccomp off":         {spec: security(corev1.SecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}}), want: context + "seccompProfile.type"},
		"apparmor off":        {spec: security(corev1.SecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}}), want: context + "appArmorProfile.type"},
		"selinux type":        {spec: security(corev1.SecurityContext{SELinuxOptions: &corev1.SELinuxOptions{Type: "spc_t"}}), want: context + "seLinuxOptions.type"},
		"selinux user":        {spec: security(corev1.SecurityContext{SELinuxOptions: &corev1.SELinuxOptions{User: "root"}}), want: context + "seLinuxOptions"},
		"selinux level":       {spec: security(corev1.SecurityContext{SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c1,c2", Type: "container_t"}}), want: context + "seLinuxOptions.level"},
		"selinux container":   {spec: security(corev1.SecurityContext{SELinuxOptions: &corev1.SELinuxOptions{Type: "container_t"}})},
		"pod's seccomp off": {
			spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}}},
			want: "spec.securityContext.seccompProfile.type",
		},
		"safe sysctl": {spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.ipv4.tcp_syncookies"}}}}},
		"core_pattern": {
			spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.ipv4.tcp_syncookies"}, {Name: "kernel.core_pattern"}}}},
			want: "spec.securityContext.sysctls[1]",
		},
		"bidirectional mount": {
			spec: corev1.PodSpec{Containers: []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{MountPropagation: &bidirectional}}}}},
			want: "spec.containers[0].volumeMounts[0].mountPropagation",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			findings := CheckPod(&tc.spec)
			switch {
			case tc.want == "" && len(findings) > 0:
				t.Errorf("found %+v", findings)
			case tc.want != "" && (len(findings) != 1 || findings[0].Field != tc.want || !findings[0].Fatal || findings[0].Remedy == ""):
				t.Errorf("found %+v, want %s", findings, tc.want)
			}
		})
	}
}
