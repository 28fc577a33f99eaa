// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ExceededError says what does not fit into a quota.
type ExceededError struct {
	// Resources are those of which too much is asked, sorted.
	Resources []corev1.ResourceName
	message   string
}

// Error implements error: for each resource what is used, the quota, and what is asked for.
func (e *ExceededError) Error() string { return e.message }

func exceeded(limit, used, more corev1.ResourceList) error {
	e := &ExceededError{}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(limit)) {
		one := corev1.ResourceList{name: limit[name]}
		if fits(one, used, more) {
			continue
		}
		most, has, asked := limit[name], used[name], more[name]
		e.Resources = append(e.Resources, name)
		parts = append(parts, fmt.Sprintf("%s: %s of %s used, %s more asked for", name, has.String(), most.String(), asked.String()))
	}
	e.message = strings.Join(parts, "; ")
	return e
}

// fits reports whether more can be added to used. Of what is not asked for there
// is always enough, even where a quota was lowered below what is used.
func fits(limit, used, more corev1.ResourceList) bool {
	for name, most := range limit {
		asked, ok := more[name]
		if !ok || asked.Sign() <= 0 {
			continue
		}
		total := used[name].DeepCopy()
		total.Add(asked)
		if total.Cmp(most) > 0 {
			return false
		}
	}
	return true
}

// growth returns what wanted has more than has.
func growth(has, wanted corev1.ResourceList) corev1.ResourceList {
	more := corev1.ResourceList{}
	for name, quantity := range wanted {
		difference := quantity.DeepCopy()
		difference.Sub(has[name])
		if difference.Sign() > 0 {
			more[name] = difference
		}
	}
	return more
}

// larger returns the larger of each resource.
func larger(a, b corev1.ResourceList) corev1.ResourceList {
	out := a.DeepCopy()
	if out == nil {
		out = corev1.ResourceList{}
	}
	for name, quantity := range b {
		if has, ok := out[name]; !ok || quantity.Cmp(has) > 0 {
			out[name] = quantity.DeepCopy()
		}
	}
	return out
}

// smaller returns the smaller of each resource; what one of them lacks is none.
func smaller(a, b corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, quantity := range a {
		other, ok := b[name]
		if !ok {
			continue
		}
		if other.Cmp(quantity) < 0 {
			quantity = other
		}
		out[name] = quantity.DeepCopy()
	}
	return out
}

func same(a, b corev1.ResourceList) bool {
	return len(growth(a, b)) == 0 && len(growth(b, a)) == 0
}

func add(sum, more corev1.ResourceList) {
	for name, quantity := range more {
		total := sum[name].DeepCopy()
		total.Add(quantity)
		sum[name] = total
	}
}

func subtract(sum, less corev1.ResourceList) {
	for name, quantity := range less {
		total := sum[name].DeepCopy()
		if total.Sub(quantity); total.IsZero() {
			delete(sum, name)
			continue
		}
		sum[name] = total
	}
}
