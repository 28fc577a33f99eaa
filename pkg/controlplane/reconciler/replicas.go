// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// crashLoop is how often a container of a new version may end before it is
// given up: the first ends may be the neighbours' doing, who are restarted too.
const crashLoop = 3

// replica is what a choice of version needs to know of a pod.
type replica struct {
	name, version string
	// ready means that it serves and is there to stay.
	ready, terminating, crashLooping bool
	// since is when ready became what it is, at the earliest when the pod was made.
	since time.Time
	// trouble is what keeps it from being ready, as far as that is known.
	trouble string
}

// replicasOf returns the pods by name. A pod that does not say for which
// version it was made is of the one that runs.
func replicasOf(pods []corev1.Pod, running string) []replica {
	var out []replica
	for i := range pods {
		pod := &pods[i]
		r := replica{
			name: pod.Name, version: pod.Annotations[component.AnnotationVersion],
			ready: podReady(pod), terminating: !pod.DeletionTimestamp.IsZero(), crashLooping: crashLooping(pod),
			since: pod.CreationTimestamp.Time, trouble: podTrouble(pod),
		}
		if r.version == "" {
			r.version = running
		}
		if condition := readyCondition(pod); condition != nil && condition.LastTransitionTime.After(r.since) {
			r.since = condition.LastTransitionTime.Time
		}
		if r.trouble == "" {
			r.trouble = "it is starting"
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b replica) int { return strings.Compare(a.name, b.name) })
	return out
}

// crashLooping reports whether a container ends again and again.
func crashLooping(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[i]
		if status.RestartCount >= crashLoop && status.State.Running == nil {
			return true
		}
	}
	return false
}

// nextStray returns the pod to replace next on the way back to a version, if it
// is time to replace one. One that does not serve goes first, since it keeps the
// others from having a majority; one that does only while all others do.
func nextStray(replicas []replica, version string, want int) (string, bool) {
	serving, unready := 0, ""
	var strays []string
	for _, r := range replicas {
		if r.terminating {
			return "", false
		}
		if r.ready {
			serving++
		}
		if r.version == version {
			continue
		}
		strays = append(strays, r.name)
		if !r.ready && unready == "" {
			unready = r.name
		}
	}
	switch {
	case len(replicas) < want || len(strays) == 0:
		return "", false
	case unready != "":
		return unready, true
	case serving == len(replicas):
		return strays[len(strays)-1], true
	}
	return "", false
}
