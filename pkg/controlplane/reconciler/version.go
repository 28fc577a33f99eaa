// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// defaultUpgradeTimeout is the class's default, for a class that was stored before there was one.
const defaultUpgradeTimeout = 5 * time.Minute

// chooseVersion decides which version runs, and stores the decision before
// anything acts on it: a process that takes over while replicas are being
// replaced must know since when, and why not.
func (r *Reconciler) chooseVersion(ctx context.Context, s *scope) error {
	existing := &appsv1.StatefulSet{}
	if _, err := getOwned(ctx, r.Client, r.APIReader, s.spec.StatefulSet(""), existing); err != nil {
		return err
	}
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return err
	}
	running, want := s.status.Version, ptr.Deref(existing.Spec.Replicas, 1)
	s.choice, err = choose(question{
		class: s.class.Name, offered: s.class.Spec.Versions,
		asked: s.virtualCluster.Spec.Version, running: running,
		runningImage: existing.Annotations[component.AnnotationRunningImage],
		template:     existing.Spec.Template.Annotations[component.AnnotationVersion],
		last:         s.status.Upgrade,
		replicas:     replicasOf(pods, running), want: int(want), scaling: want != max(s.spec.ControlPlane.Replicas, 1),
		timeout: upgradeTimeout(s.class), now: r.Clock.Now(),
	})
	if err != nil {
		return err
	}
	s.spec.Version, s.spec.RunningImage, s.spec.Hold = s.choice.version, s.choice.runningImage, s.choice.retreat
	s.status.Upgrade = s.choice.upgrade
	if s.choice.requeueAfter > 0 {
		s.wakeAfter(s.choice.requeueAfter)
	}
	if s.choice.reason != "" {
		s.differ(s.choice.reason, s.choice.message)
	}
	if equality.Semantic.DeepEqual(s.status.Upgrade, s.stored.Upgrade) {
		return nil
	}
	return r.applyStatus(ctx, s)
}

func upgradeTimeout(class *tenancyv1alpha1.VirtualClusterClass) time.Duration {
	if timeout := class.Spec.ControlPlane.Upgrade.Timeout; timeout != nil {
		return timeout.Duration
	}
	return defaultUpgradeTimeout
}

// retreat replaces the pods of a version that is given up, one at a time. The
// StatefulSet's controller does not do it in every version of Kubernetes: some
// begin with a pod that serves, some wait for the broken one to become ready.
func (r *Reconciler) retreat(ctx context.Context, s *scope) error {
	if !s.choice.retreat || s.statefulSet.Status.ObservedGeneration < s.statefulSet.Generation {
		return nil
	}
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return err
	}
	name, ok := nextStray(replicasOf(pods, s.spec.Version.Name), s.spec.Version.Name, int(ptr.Deref(s.statefulSet.Spec.Replicas, 1)))
	for i := range pods {
		if ok && pods[i].Name == name {
			log.FromContext(ctx).Info("Replacing a replica of a version that is given up", "pod", name, "version", s.spec.Version.Name)
			return r.delete(ctx, &pods[i])
		}
	}
	return nil
}

// noteVersion notes the version once every replica runs it and is ready.
func (s *scope) noteVersion(pods []corev1.Pod) {
	version := s.spec.Version.Name
	replicas := replicasOf(pods, s.status.Version)
	for _, replica := range replicas {
		if !replica.ready || replica.version != version {
			return
		}
	}
	if len(replicas) < int(ptr.Deref(s.statefulSet.Spec.Replicas, 1)) {
		return
	}
	s.status.Version = version
	if upgrade := s.status.Upgrade; upgrade != nil && upgrade.State == tenancyv1alpha1.UpgradeRolling && upgrade.To == version {
		s.status.Upgrade = upgrade.DeepCopy()
		s.status.Upgrade.State = tenancyv1alpha1.UpgradeCompleted
	}
}
