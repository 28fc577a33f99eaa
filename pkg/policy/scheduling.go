// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"regexp"
	"strings"
)

// reasonsOfSchedulers finds, in what a scheduler says about a pod that has no
// place, the reasons that speak of the pod itself. Those that speak of the
// super cluster's nodes, their taints for example, are not among them.
var reasonsOfSchedulers = regexp.MustCompile(strings.Join([]string{
	`Insufficient [A-Za-z0-9][A-Za-z0-9./-]*[A-Za-z0-9]`,
	`node\(s\) didn't match pod (anti-)?affinity rules`,
	`node\(s\) didn't satisfy existing pods anti-affinity rules`,
	`node\(s\) didn't match pod topology spread constraints`,
	`node\(s\) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod`,
	`node\(s\) (had|didn't match) volume node affinity( conflict)?`,
	`node\(s\) didn't find available persistent volumes to bind`,
	`node\(s\) had no available volume zone`,
	`node\(s\) did not have enough free storage`,
	`node\(s\) exceed max volume count`,
	`pod has unbound immediate PersistentVolumeClaims`,
	`waiting for ephemeral volume controller to create the persistentvolumeclaim "[^"]*"`,
	`persistentvolumeclaim "[^"]*" (not found|is being deleted)`,
}, "|"))

// numbersOfNodes finds what a kubelet tells about its node's capacity and about
// what other pods use of it.
var numbersOfNodes = regexp.MustCompile(`, requested: \d+(, used: \d+)?, capacity: \d+| Threshold quantity: \S+, available: \S+\.`)

// SchedulingMessage returns what a tenant is told when the super cluster's
// scheduler finds no place for its pod: the reasons that concern the pod, as
// the tenant's one node would give them. How many nodes the super cluster has,
// and what is wrong with each, is not the tenant's to know.
func SchedulingMessage(message string) string {
	// What preemption would change repeats the reasons.
	message, _, _ = strings.Cut(message, " preemption: ")
	var reasons []string
	for _, reason := range reasonsOfSchedulers.FindAllString(message, -1) {
		if strings.HasPrefix(reason, "node(s)") || strings.HasPrefix(reason, "Insufficient") {
			reason = "1 " + reason
		}
		reasons = append(reasons, reason)
	}
	if len(reasons) == 0 {
		reasons = []string{"1 node(s) had no room"}
	}
	return UnplacedPrefix + strings.Join(reasons, ", ") + "."
}

// UnplacedPrefix begins what a scheduler says of a pod that no node takes. A
// tenant has one node.
const UnplacedPrefix = "0/1 nodes are available: "

// WithoutCapacity returns a kubelet's message without the numbers that tell
// what its node has and what other pods on it use.
func WithoutCapacity(message string) string { return numbersOfNodes.ReplaceAllString(message, "") }
