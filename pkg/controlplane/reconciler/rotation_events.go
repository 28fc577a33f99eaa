// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Reasons of events about a rotation of authorities.
const (
	reasonRotation        = "AuthoritiesRotation"
	reasonRotationIgnored = "RotationIgnored"
)

// recordRotation tells people, once, of each step of a rotation and of a
// request for one that has no effect.
func recordRotation(ctx context.Context, recorder events.EventRecorder, virtualCluster *tenancyv1alpha1.VirtualCluster, before, after tenancyv1alpha1.VirtualClusterStatus) {
	for _, t := range append(rotationSteps(before.Certificates, after.Certificates), ignoredRequest(before, after)...) {
		log.FromContext(ctx).Info("Rotation of authorities", "type", t.eventType, "reason", t.reason, "message", t.message)
		recorder.Eventf(virtualCluster, nil, t.eventType, t.reason, actionReconcile, "%s", cut(t.message, maxNote))
	}
}

func rotationSteps(before, after *tenancyv1alpha1.CertificatesStatus) []transition {
	if before == nil || after == nil {
		return nil
	}
	var steps []string
	for _, number := range after.TrustedGenerations {
		if !slices.Contains(before.TrustedGenerations, number) {
			steps = append(steps, fmt.Sprintf("generation %d of the authorities was made and is trusted beside the old", number))
		}
	}
	if before.Generation != after.Generation {
		steps = append(steps, fmt.Sprintf("generation %d of the authorities signs from now on: fetch the kubeconfig again", after.Generation))
	}
	for _, number := range before.TrustedGenerations {
		if !slices.Contains(after.TrustedGenerations, number) {
			steps = append(steps, fmt.Sprintf("generation %d of the authorities is gone: what it certified is refused", number))
		}
	}
	var out []transition
	for _, step := range steps {
		out = append(out, transition{corev1.EventTypeNormal, reasonRotation, step})
	}
	return out
}

func ignoredRequest(before, after tenancyv1alpha1.VirtualClusterStatus) []transition {
	was := meta.FindStatusCondition(before.Conditions, tenancyv1alpha1.ConditionCertificatesReady)
	now := meta.FindStatusCondition(after.Conditions, tenancyv1alpha1.ConditionCertificatesReady)
	if now == nil || !strings.HasPrefix(now.Message, rotationRemark) || was != nil && was.Message == now.Message {
		return nil
	}
	return []transition{{corev1.EventTypeWarning, reasonRotationIgnored, now.Message}}
}
