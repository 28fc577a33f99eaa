// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func testNode(name, ip string, ready corev1.ConditionStatus) corev1.Node {
	node := corev1.Node{}
	node.Name = name
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}}
	if ip != "" {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	return node
}

func TestNodePortHost(t *testing.T) {
	nodes := []corev1.Node{
		testNode("c", "192.0.2.3", corev1.ConditionTrue),
		testNode("b", "192.0.2.2", corev1.ConditionTrue),
		testNode("a", "192.0.2.1", corev1.ConditionFalse),
		testNode("0", "", corev1.ConditionTrue),
	}
	cases := map[string]struct {
		nodes             []corev1.Node
		address, endpoint string
		want              string // empty: none
	}{
		"first ready by name":        {nodes, "", "", "192.0.2.2"},
		"the class says":             {nodes, "api.example.test", "https://192.0.2.3:30000", "api.example.test"},
		"stays while ready":          {nodes, "", "https://192.0.2.3:30000", "192.0.2.3"},
		"moves from one not ready":   {nodes, "", "https://192.0.2.1:30000", "192.0.2.2"},
		"moves from one that left":   {nodes, "", "https://192.0.2.9:30000", "192.0.2.2"},
		"none is ready":              {nodes[2:], "", "", ""},
		"none, but the class says":   {nil, "192.0.2.7", "", "192.0.2.7"},
		"an endpoint that is no URL": {nodes, "", "://", "192.0.2.2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := nodePortHost(tc.nodes, tc.address, tc.endpoint)
			if got != tc.want || ok != (tc.want != "") {
				t.Errorf("nodePortHost = %q, %v; want %q", got, ok, tc.want)
			}
		})
	}
	// A node that is not ready may be so again: its address stays in the certificate.
	if diff := cmp.Diff([]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "api"}, nodeHosts(nodes, "api")); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
}

func TestServerURL(t *testing.T) {
	if got := serverURL("10.96.0.7", 6443); got != "https://10.96.0.7:6443" {
		t.Errorf("serverURL = %q", got)
	}
	if got := serverURL("fd00::7", 6443); got != "https://[fd00::7]:6443" {
		t.Errorf("serverURL = %q", got)
	}
}
