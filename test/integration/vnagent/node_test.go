// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// node returns the tenant's view of its node once check has no error.
func (e *environment) node(t *testing.T, check func(*corev1.Node) error) *corev1.Node {
	t.Helper()
	node := &corev1.Node{}
	eventually(t, func(ctx context.Context) error {
		*node = corev1.Node{}
		if err := e.tenantClient.Get(ctx, types.NamespacedName{Name: tenancyv1alpha1.VirtualNodeName}, node); err != nil {
			return err
		}
		return check(node)
	})
	return node
}

func isAsItShouldBe(node *corev1.Node) error {
	ready := false
	for _, condition := range node.Status.Conditions {
		ready = ready || condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
	}
	cpu := node.Status.Allocatable[corev1.ResourceCPU]
	switch {
	case !ready:
		return errors.New("it is not Ready")
	case len(node.Status.Addresses) != 2 || node.Status.Addresses[0].Address != agentAddress:
		return fmt.Errorf("addresses: %v", node.Status.Addresses)
	case node.Status.DaemonEndpoints.KubeletEndpoint.Port != tenancyv1alpha1.AgentPort:
		return fmt.Errorf("port: %v", node.Status.DaemonEndpoints)
	case cpu.String() != "8":
		return fmt.Errorf("allocatable: %v", node.Status.Allocatable)
	case node.Labels[corev1.LabelOSStable] != "linux" || node.Labels[corev1.LabelArchStable] != "amd64":
		return fmt.Errorf("labels: %v", node.Labels)
	case node.Status.NodeInfo.KubeletVersion != "v1.37.1":
		return fmt.Errorf("node info: %v", node.Status.NodeInfo)
	}
	return nil
}

func (e *environment) testNode(t *testing.T) {
	e.node(t, isAsItShouldBe)
}

// testNodeTaints: pods must not need tolerations.
func (e *environment) testNodeTaints(t *testing.T) {
	node := e.node(t, isAsItShouldBe)
	if len(node.Spec.Taints) > 0 {
		t.Errorf("taints: %v", node.Spec.Taints)
	}
}

func (e *environment) testCondition(t *testing.T) {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	eventually(t, func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(e.virtualCluster), virtualCluster); err != nil {
			return err
		}
		got := meta.FindStatusCondition(virtualCluster.Status.Conditions, tenancyv1alpha1.ConditionNodeReady)
		if got == nil || got.Status != metav1.ConditionTrue || got.ObservedGeneration != virtualCluster.Generation {
			return fmt.Errorf("generation %d, conditions: %v", virtualCluster.Generation, virtualCluster.Status.Conditions)
		}
		return nil
	})
	if !meta.IsStatusConditionTrue(virtualCluster.Status.Conditions, tenancyv1alpha1.ConditionControlPlaneReady) {
		t.Errorf("the condition of another component is gone: %v", virtualCluster.Status.Conditions)
	}
	for _, entry := range virtualCluster.ManagedFields {
		if entry.Manager == "vn-agent" && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "status" {
			return
		}
	}
	t.Errorf("vn-agent is not a field manager: %v", virtualCluster.ManagedFields)
}

func (e *environment) testLease(t *testing.T) {
	eventually(t, func(ctx context.Context) error {
		lease := &coordinationv1.Lease{}
		if err := e.tenantClient.Get(ctx, types.NamespacedName{Namespace: corev1.NamespaceNodeLease, Name: tenancyv1alpha1.VirtualNodeName}, lease); err != nil {
			return err
		}
		if lease.Spec.RenewTime == nil {
			return errors.New("it was never renewed")
		}
		return nil
	})
}

// testRepair does to the node what a tenant's administrator can.
func (e *environment) testRepair(t *testing.T) {
	patches := map[string]struct {
		status bool
		patch  string
	}{
		"address": {true, `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.2"},{"type":"ExternalIP","address":"192.0.2.3"}]}}`},
		"port":    {true, `{"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":2379}}}}`},
		"ready":   {true, `{"status":{"conditions":[{"type":"Ready","status":"False","reason":"Forged"}]}}`},
		"cpu":     {true, `{"status":{"allocatable":{"cpu":"1"}}}`},
		"labels":  {false, `{"metadata":{"labels":{"kubernetes.io/os":null}}}`},
	}
	for name, tc := range patches {
		t.Run(name, func(t *testing.T) {
			node := e.node(t, isAsItShouldBe)
			patch := client.RawPatch(types.MergePatchType, []byte(tc.patch))
			var err error
			if tc.status {
				err = e.tenantClient.Status().Patch(t.Context(), node, patch)
			} else {
				err = e.tenantClient.Patch(t.Context(), node, patch)
			}
			if err != nil {
				t.Fatal(err)
			}
			if isAsItShouldBe(node) == nil {
				t.Fatal("the patch changed nothing")
			}
			e.node(t, isAsItShouldBe)
		})
	}
}

// testRecreated deletes the node, and the memory of the library with it or before it.
func (e *environment) testRecreated(t *testing.T) {
	for _, annotation := range []string{"{}", "not JSON"} {
		node := e.node(t, isAsItShouldBe)
		patch := `{"metadata":{"annotations":{"virtual-kubelet.io/last-applied-node-status":"` + annotation + `"}}}`
		if err := e.tenantClient.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
		before := node.UID
		if err := e.tenantClient.Delete(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		e.node(t, func(node *corev1.Node) error {
			if node.UID == before {
				return errors.New("it is the old one")
			}
			return isAsItShouldBe(node)
		})
	}
}
