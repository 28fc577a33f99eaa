// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) EndpointSlice() kindtest.Sample {
	return kindtest.Sample{Tenant: &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", UID: "u", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.9"}}},
	}}
}

func TestEndpointSlice(t *testing.T) {
	selected := endpointSlice().Select
	for name, tc := range map[string]struct {
		slice discoveryv1.EndpointSlice
		want  bool
	}{
		"the API server's":      {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}}}, true},
		"another namespace's":   {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}}}, false},
		"another Service's":     {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}}, false},
		"one without a Service": {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}}, false},
	} {
		if got := selected(&tc.slice); got != tc.want {
			t.Errorf("%s: selected %v", name, got)
		}
	}
	tenant := &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{
		{Addresses: []string{"10.244.0.9", "169.254.169.254"}}, {Addresses: []string{"10.96.0.1"}},
	}}
	super := &discoveryv1.EndpointSlice{}
	if err := endpointSliceDown(t.Context(), kindtest.Env(nil, nil), tenant, super); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]discoveryv1.Endpoint{{Addresses: []string{"10.244.0.9"}}}, super.Endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if super.Labels[discoveryv1.LabelManagedBy] != sliceManager {
		t.Errorf("labels %v", super.Labels)
	}
}
