// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// addEphemeral gives super the debug containers that tenant has and super has
// not, each built by the same rules as the containers that the pod began with.
// One that is refused is left out with a warning: the pod goes on. API servers
// never change or remove such a container, so neither does this.
func (t *translator) addEphemeral(ctx context.Context, env kind.Env, tenant, super *corev1.Pod) error {
	for i := range tenant.Spec.EphemeralContainers {
		given := &tenant.Spec.EphemeralContainers[i]
		if hasEphemeral(super, given.Name) {
			continue
		}
		built, err := t.ephemeral(ctx, env, tenant, given, fmt.Sprintf("spec.ephemeralContainers[%d]", i))
		if reject := kind.AsReject(err); reject != nil {
			env.Warn(reject.Field, reject.Remedy+"; the container is not started (kubectl debug --profile=baseline adds nothing that is refused)")
			continue
		}
		if err != nil {
			return err
		}
		super.Spec.EphemeralContainers = append(slices.Clone(super.Spec.EphemeralContainers), *built)
	}
	return nil
}

func hasEphemeral(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name })
}

// ephemeral builds one debug container.
func (t *translator) ephemeral(ctx context.Context, env kind.Env, tenant *corev1.Pod, given *corev1.EphemeralContainer, path string) (*corev1.EphemeralContainer, error) {
	b := &build{rules: t.rules, env: env, tenant: tenant, at: path}
	given = given.DeepCopy()
	dropPtrace(env, given, path)
	built, findings := policy.Filter(t.rules, given, path)
	container := corev1.Container(given.EphemeralContainerCommon)
	if err := b.judge(append(findings, policy.CheckContainer(&container, path)...)); err != nil {
		return nil, err
	}
	b.spec = &corev1.PodSpec{Containers: []corev1.Container{corev1.Container(built.EphemeralContainerCommon)}}
	for _, step := range []step{rewriteEnv, addServiceLinks} {
		if err := step(ctx, b); err != nil {
			return nil, err
		}
	}
	built.EphemeralContainerCommon = corev1.EphemeralContainerCommon(b.spec.Containers[0])
	return built, nil
}

// dropPtrace takes away the capability that kubectl debug asks for by default
// and that the Pod Security standard "baseline" forbids: a user who wants a
// shell should not be refused for what few of them use.
func dropPtrace(env kind.Env, given *corev1.EphemeralContainer, path string) {
	const ptrace = "SYS_PTRACE"
	if given.SecurityContext == nil || given.SecurityContext.Capabilities == nil {
		return
	}
	capabilities := given.SecurityContext.Capabilities
	at := slices.Index(capabilities.Add, ptrace)
	if at < 0 {
		return
	}
	capabilities.Add = slices.Delete(capabilities.Add, at, at+1)
	env.Warn(fmt.Sprintf("%s.securityContext.capabilities.add[%d]", path, at),
		"SYS_PTRACE is not given to containers; all but tracers such as strace works without it")
}
