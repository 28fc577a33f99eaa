// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"runtime"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Capacity is what a virtual Node tells of the super cluster.
type Capacity struct {
	// Allocatable is the sum over the super nodes that are Ready.
	Allocatable corev1.ResourceList
	// Architecture, KubeletVersion and ContainerRuntimeVersion are those of
	// most super nodes; the first in order where there are as many of several.
	Architecture, KubeletVersion, ContainerRuntimeVersion string
}

// capacityOf sums up the super cluster's nodes. Nodes that are not ready or on
// their way out do not count.
func capacityOf(superNodes []corev1.Node) Capacity {
	sum := corev1.ResourceList{}
	var architectures, kubelets, runtimes []string
	for i := range superNodes {
		superNode := &superNodes[i]
		if !superNode.DeletionTimestamp.IsZero() || !ready(superNode) {
			continue
		}
		for name, quantity := range superNode.Status.Allocatable {
			if strings.HasPrefix(string(name), corev1.ResourceAttachableVolumesPrefix) {
				continue // a limit of one machine, not a resource of the cluster
			}
			total := sum[name]
			total.Add(quantity)
			sum[name] = total
		}
		architectures = append(architectures, superNode.Status.NodeInfo.Architecture)
		kubelets = append(kubelets, superNode.Status.NodeInfo.KubeletVersion)
		runtimes = append(runtimes, superNode.Status.NodeInfo.ContainerRuntimeVersion)
	}
	return Capacity{
		Allocatable:             sum,
		Architecture:            prevailing(architectures, runtime.GOARCH),
		KubeletVersion:          prevailing(kubelets, "unknown"),
		ContainerRuntimeVersion: prevailing(runtimes, "unknown"),
	}
}

// within returns the smaller of what there is and the quota, for each resource.
// What the super cluster lacks no quota gives, and of pods and devices none gives
// a part: an API server would refuse the node.
func within(there, quota corev1.ResourceList) corev1.ResourceList {
	out := there.DeepCopy()
	for name, most := range quota {
		if has, ok := out[name]; ok && most.Cmp(has) < 0 {
			out[name] = whole(name, most)
		}
	}
	return out
}

// whole rounds down what is counted in whole numbers, which is all but cpu.
func whole(name corev1.ResourceName, most resource.Quantity) resource.Quantity {
	rounded := *resource.NewQuantity(most.Value(), most.Format) // up
	switch {
	case name == corev1.ResourceCPU || rounded.Cmp(most) == 0:
		return most.DeepCopy()
	default:
		rounded.Sub(*resource.NewQuantity(1, most.Format))
		return rounded
	}
}

func ready(superNode *corev1.Node) bool {
	for _, condition := range superNode.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// prevailing returns the most frequent value, or otherwise where there is none.
func prevailing(values []string, otherwise string) string {
	slices.Sort(values)
	count, best := map[string]int{}, otherwise
	for _, value := range values {
		if count[value]++; count[value] > count[best] {
			best = value
		}
	}
	return best
}

// sharedCapacity is the current Capacity, and tells its readers of a change.
type sharedCapacity struct {
	mu      sync.Mutex
	value   *Capacity
	changed chan struct{}
}

func newSharedCapacity() *sharedCapacity {
	return &sharedCapacity{changed: make(chan struct{})}
}

// get returns the capacity, nil if it is not known yet, and a channel that is
// closed when it changes. The caller must not modify it.
func (s *sharedCapacity) get() (*Capacity, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, s.changed
}

// set reports whether the capacity is another than before.
func (s *sharedCapacity) set(value Capacity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value != nil && equality.Semantic.DeepEqual(*s.value, value) {
		return false
	}
	s.value = &value
	close(s.changed)
	s.changed = make(chan struct{})
	return true
}
