// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testStalledLease (F27): the tenant's API server refuses every renewal of the
// node's Lease. Within 80 s, twice what the Lease lasts, the VirtualCluster says
// NodeReady=False and why. Nothing happens to the tenant's pod meanwhile: it is
// neither changed nor asked to end, and its logs are there. NodeReady is True
// again within 30 s after renewals are taken.
func (e *environment) testStalledLease(t *testing.T) {
	const told = 80 * time.Second
	before := e.tenantPod(t)
	end := e.refuseRenewals(t)
	began := time.Now()
	var condition *metav1.Condition
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, told, true, func(ctx context.Context) (bool, error) {
		var err error
		condition, err = e.nodeReady(ctx)
		return condition != nil && condition.Status == metav1.ConditionFalse, err
	})
	if err != nil {
		t.Fatalf("not told within %s: %v, %+v", told, err, condition)
	}
	if condition.Reason != tenancyv1alpha1.ReasonTenantUnreachable || condition.Message == "" {
		t.Errorf("condition %+v, want why", condition)
	}
	t.Logf("told after %s: %s", time.Since(began).Round(time.Second), condition.Message)
	if after := e.tenantPod(t); after.UID != before.UID || after.ResourceVersion != before.ResourceVersion || after.DeletionTimestamp != nil {
		t.Errorf("the pod was %s %s and is %s %s, ending since %v", before.UID, before.ResourceVersion, after.UID, after.ResourceVersion, after.DeletionTimestamp)
	}
	if _, err := e.tenantLogs(t, &corev1.PodLogOptions{Container: "main"}); err != nil {
		t.Errorf("the pod's logs: %v", err)
	}
	end()
	eventually(t, func(ctx context.Context) error {
		condition, err := e.nodeReady(ctx)
		if err == nil && (condition == nil || condition.Status != metav1.ConditionTrue) {
			err = fmt.Errorf("condition %+v", condition)
		}
		return err
	})
}

// refuseRenewals makes the tenant's admission refuse the renewal of every
// node's Lease, and waits until it does. It returns what ends that.
func (e *environment) refuseRenewals(t *testing.T) (end func()) {
	t.Helper()
	name := metav1.ObjectMeta{Name: "no-renewals"}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{coordinationv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"leases"}},
			},
		}}},
		Validations: []admissionv1.Validation{{Expression: fmt.Sprintf("object.metadata.namespace != %q", corev1.NamespaceNodeLease)}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	create(t, e.tenantClient, policy)
	create(t, e.tenantClient, binding)
	probe := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "probe"}}
	eventually(t, func(ctx context.Context) error {
		if e.tenantClient.Create(ctx, probe.DeepCopy(), client.DryRunAll) == nil {
			return errors.New("renewals are taken")
		}
		return nil
	})
	return func() {
		if err := errors.Join(e.tenantClient.Delete(t.Context(), binding), e.tenantClient.Delete(t.Context(), policy)); err != nil {
			t.Fatal(err)
		}
	}
}

func (e *environment) tenantPod(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := e.tenantClient.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "web"}, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func (e *environment) nodeReady(ctx context.Context) (*metav1.Condition, error) {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(e.virtualCluster), virtualCluster); err != nil {
		return nil, err
	}
	return meta.FindStatusCondition(virtualCluster.Status.Conditions, tenancyv1alpha1.ConditionNodeReady), nil
}
