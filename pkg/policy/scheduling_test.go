// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import "testing"

func TestSchedulingMessage(t *testing.T) {
	cases := map[string]struct{ message, want string }{
		"too large": {
			"0/17 nodes are available: 14 Insufficient cpu, 3 node(s) had untolerated taint(s). preemption: 0/17 nodes are available: 17 No preemption victims found for incoming pod.",
			"0/1 nodes are available: 1 Insufficient cpu.",
		},
		"an extended resource": {"0/3 nodes are available: 3 Insufficient example.com/gpu.", "0/1 nodes are available: 1 Insufficient example.com/gpu."},
		"several reasons": {
			"0/2 nodes are available: 1 Insufficient memory, 2 node(s) didn't match pod anti-affinity rules. no new claims to deallocate, preemption: 0/2 nodes are available: 2 x.",
			"0/1 nodes are available: 1 Insufficient memory, 1 node(s) didn't match pod anti-affinity rules.",
		},
		"a claim":               {`0/2 nodes are available: persistentvolumeclaim "data" not found. preemption: x`, `0/1 nodes are available: persistentvolumeclaim "data" not found.`},
		"the nodes' own matter": {"0/9 nodes are available: 9 node(s) had untolerated taint {tier: secret}.", "0/1 nodes are available: 1 node(s) had no room."},
		"something else":        {`running "VolumeBinding" plugin: pv-1 on node-7`, "0/1 nodes are available: 1 node(s) had no room."},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := SchedulingMessage(tc.message); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestWithoutCapacity(t *testing.T) {
	for message, want := range map[string]string{
		"Node didn't have enough resource: cpu, requested: 4000, used: 2950, capacity: 4000":                                                                       "Node didn't have enough resource: cpu",
		"Node didn't have enough capacity: memory, requested: 4000, capacity: 2000":                                                                                "Node didn't have enough capacity: memory",
		"The node was low on resource: memory. Threshold quantity: 100Mi, available: 57336Ki. Container main was using 9Mi, request is 0, has larger consumption.": "The node was low on resource: memory. Container main was using 9Mi, request is 0, has larger consumption.",
		"Pod was active on the node longer than the specified deadline":                                                                                            "Pod was active on the node longer than the specified deadline",
	} {
		if got := WithoutCapacity(message); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
