// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) Service() kindtest.Sample {
	return kindtest.Sample{Tenant: &corev1.Service{ObjectMeta: meta("shop", "db"), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: "10.112.4.77", Selector: map[string]string{"app": "db"},
		Ports: []corev1.ServicePort{{Port: 5432, NodePort: 30001}},
	}}}
}

func TestServiceDown(t *testing.T) {
	cases := map[string]struct {
		tenant, super, want corev1.ServiceSpec
		rejected            string
	}{
		"the same address": {
			tenant: corev1.ServiceSpec{ClusterIP: "10.112.4.5"},
			want:   corev1.ServiceSpec{ClusterIP: "10.112.4.5", ClusterIPs: []string{"10.112.4.5"}},
		},
		"headless": {
			tenant: corev1.ServiceSpec{ClusterIP: "None"}, want: corev1.ServiceSpec{ClusterIP: "None", ClusterIPs: []string{"None"}},
		},
		"the super cluster's node port stays": {
			tenant: corev1.ServiceSpec{ClusterIP: "10.112.4.5", Ports: []corev1.ServicePort{{Port: 80, NodePort: 30001}}},
			super:  corev1.ServiceSpec{ClusterIP: "10.112.4.5", ClusterIPs: []string{"10.112.4.5"}, Ports: []corev1.ServicePort{{Port: 80, NodePort: 31999}}},
			want:   corev1.ServiceSpec{ClusterIP: "10.112.4.5", ClusterIPs: []string{"10.112.4.5"}, Ports: []corev1.ServicePort{{Port: 80, NodePort: 31999}}},
		},
		"no node port without the tenant's": {
			tenant: corev1.ServiceSpec{ClusterIP: "10.112.4.5", Ports: []corev1.ServicePort{{Port: 80}}},
			super:  corev1.ServiceSpec{ClusterIP: "10.112.4.5", ClusterIPs: []string{"10.112.4.5"}, Ports: []corev1.ServicePort{{Port: 80, NodePort: 31999}}},
			want:   corev1.ServiceSpec{ClusterIP: "10.112.4.5", ClusterIPs: []string{"10.112.4.5"}, Ports: []corev1.ServicePort{{Port: 80}}},
		},
		"an address of somebody else": {tenant: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}, rejected: "spec.clusterIP"},
		"an address of the neighbour": {tenant: corev1.ServiceSpec{ClusterIP: "10.112.8.1"}, rejected: "spec.clusterIP"},
		"external addresses":          {tenant: corev1.ServiceSpec{ClusterIP: "10.112.4.5", ExternalIPs: []string{"1.1.1.1"}}, rejected: "spec.externalIPs"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			super := &corev1.Service{Spec: tc.super}
			err := serviceDown(t.Context(), kindtest.Env(nil, nil), &corev1.Service{Spec: tc.tenant}, super)
			if tc.rejected != "" {
				if reject := kind.AsReject(err); reject == nil || reject.Field != tc.rejected || reject.Remedy == "" {
					t.Errorf("error %v, want a rejection of %s", err, tc.rejected)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Ports, super.Spec.Ports = orNil(tc.want.Ports), orNil(super.Spec.Ports)
			if diff := cmp.Diff(tc.want, super.Spec); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func orNil(ports []corev1.ServicePort) []corev1.ServicePort {
	if len(ports) == 0 {
		return nil
	}
	return ports
}

func TestServiceUp(t *testing.T) {
	super := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.112.4.5", Ports: []corev1.ServicePort{
		{Name: "tcp", Port: 53, Protocol: corev1.ProtocolTCP, NodePort: 31001}, {Name: "udp", Port: 53, Protocol: corev1.ProtocolUDP, NodePort: 31002},
	}}, Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}}}}
	tenant := super.DeepCopy()
	tenant.Spec.Ports[0].NodePort, tenant.Spec.Ports[1].NodePort = 30001, 30002
	tenant.Status = corev1.ServiceStatus{}
	if err := serviceUp(t.Context(), kindtest.Env(nil, nil), super, tenant); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(super, tenant); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExplainService(t *testing.T) {
	service := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.112.4.5"}}
	invalid := func(detail string) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "x",
			field.ErrorList{field.Invalid(field.NewPath("spec", "clusterIPs"), "10.112.4.5", detail)})
	}
	cases := map[string]struct {
		err      error
		rejected bool
	}{
		"taken":         {invalid("failed to allocate IP 10.112.4.5: provided IP is already allocated"), true},
		"another field": {invalid("must be a number"), false},
		"connection":    {errors.New("already allocated"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := kind.AsReject(explainService(service, tc.err)) != nil; got != tc.rejected {
				t.Errorf("rejected: %v", got)
			}
		})
	}
}
