// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/rule"
)

func widgetRule(direction tenancyv1alpha1.CustomResourceDirection) *rule.Rule {
	return &rule.Rule{Kind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}, Direction: direction}
}

func TestUnfit(t *testing.T) {
	fit := definition{resource: "widgets", namespaced: true, versions: "v1beta1,v1,", established: true}
	tests := map[string]struct {
		change    func(*definition)
		direction tenancyv1alpha1.CustomResourceDirection
		missing   bool
		want      string
	}{
		"fit":                {},
		"missing":            {missing: true, want: "here has no CustomResourceDefinition of Widget.example.com"},
		"another version":    {change: func(d *definition) { d.versions = "v1beta1,v11," }, want: "does not serve version v1"},
		"no version":         {change: func(d *definition) { d.versions = "" }, want: "does not serve version v1"},
		"not established":    {change: func(d *definition) { d.established = false }, want: "is not established"},
		"cluster-scoped":     {change: func(d *definition) { d.namespaced = false }, want: "wrong scope"},
		"up, namespaced":     {direction: tenancyv1alpha1.DirectionUp, want: "wrong scope"},
		"up, cluster-scoped": {direction: tenancyv1alpha1.DirectionUp, change: func(d *definition) { d.namespaced = false }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			found := fit
			if tc.change != nil {
				tc.change(&found)
			}
			if tc.direction == "" {
				tc.direction = tenancyv1alpha1.DirectionDown
			}
			got := unfit(widgetRule(tc.direction), found, !tc.missing, "here")
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Trouble with a watch is remembered while it is tried again, and not for ever.
func TestTrouble(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(0, 0))
	s := &run{rule: widgetRule(tenancyv1alpha1.DirectionDown), definition: definition{resource: "widgets"}, clock: clock}
	s.fail(apierrors.NewForbidden(schema.GroupResource{Resource: "widgets"}, "", nil))
	if trouble, ended := s.state(); !strings.Contains(trouble, "syncer.customResources") || ended {
		t.Errorf("trouble %q, ended %v", trouble, ended)
	}
	clock.Step(troubleMemory + time.Second)
	if trouble, _ := s.state(); trouble != "" {
		t.Errorf("trouble %q is remembered for ever", trouble)
	}
	s.end(errors.New("broken"))
	clock.Step(troubleMemory + time.Second)
	if trouble, ended := s.state(); trouble != "broken" || !ended {
		t.Errorf("trouble %q, ended %v", trouble, ended)
	}
}
