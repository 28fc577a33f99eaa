// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// build is a super pod in the making.
type build struct {
	rules  policy.Fields
	env    kind.Env
	tenant *corev1.Pod
	// spec is the super pod's, and starts with the fields that are copied.
	spec *corev1.PodSpec
	// at is set while a debug container is built, alone in spec: its path.
	at string
}

// step decides about one matter of a new super pod.
type step func(ctx context.Context, b *build) error

// steps are run in this order; the first error ends the build.
func steps() []step {
	return []step{
		copyFields, checkValues, checkPlacement, rewriteAffinity, filterSpread, chooseSandbox, choosePriority, dropServiceAccount,
		rewriteVolumes, rewriteEnv, addServiceLinks, setDNS, setHostname,
	}
}

// create fills an empty super pod.
func (t *translator) create(ctx context.Context, env kind.Env, tenant, super *corev1.Pod) error {
	b := &build{rules: t.rules, env: env, tenant: tenant}
	for _, step := range steps() {
		if err := step(ctx, b); err != nil {
			return err
		}
	}
	super.Spec = *b.spec
	return nil
}

// copyFields starts the spec with a deep copy of what may cross as it is.
func copyFields(_ context.Context, b *build) error {
	spec, findings := policy.Filter(b.rules, b.tenant.Spec.DeepCopy(), "spec")
	b.spec = spec
	return b.judge(findings)
}

// checkValues refuses values that no pod of a tenant may have.
func checkValues(_ context.Context, b *build) error {
	return b.judge(policy.CheckPod(&b.tenant.Spec))
}

// judge rejects the pod for the first fatal finding and warns about the rest.
func (b *build) judge(findings []policy.Finding) error {
	for _, finding := range findings {
		if finding.Fatal {
			return kind.Reject(finding.Field, "%s", finding.Remedy)
		}
	}
	for _, finding := range findings {
		b.env.Warn(finding.Field, finding.Remedy)
	}
	return nil
}
