// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
)

// widgetDefinition is a definition as an API server shows it.
func widgetDefinition(name string, established bool) *apiextensionsv1.CustomResourceDefinition {
	status := apiextensionsv1.ConditionFalse
	if established {
		status = apiextensionsv1.ConditionTrue
	}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "example.com", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: "Widget", Plural: name},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{
				{Name: "v1", Served: true}, {Name: "v1beta1"}, {Name: "v2", Served: true},
			},
		},
		Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{
			{Type: apiextensionsv1.Established, Status: status},
		}},
	}
}

func TestDefinitionsTellChangesThatMatter(t *testing.T) {
	changes := 0
	d := &definitions{changed: func() { changes++ }, byName: map[string]definition{}}
	widget := schema.GroupKind{Group: "example.com", Kind: "Widget"}
	expect := func(what string, want int, found bool) {
		t.Helper()
		if _, got := d.find(widget); changes != want || got != found {
			t.Errorf("%s: %d changes, found %v; want %d and %v", what, changes, got, want, found)
		}
	}
	d.observe(widgetDefinition("widgets", false), false)
	expect("created", 1, true)
	d.observe(widgetDefinition("widgets", true), false)
	expect("established", 2, true)
	same := widgetDefinition("widgets", true)
	same.Labels = map[string]string{"a": "b"}
	d.observe(same, false)
	expect("labelled", 2, true)
	if one, _ := d.find(widget); one.versions != "v1,v2," || !one.namespaced || !one.established || one.resource != "widgets" {
		t.Errorf("got %+v", one)
	}
	d.observe(toolscache.DeletedFinalStateUnknown{Obj: same}, true)
	expect("deleted", 3, false)
	d.observe(same, true)
	expect("deleted again", 3, false)
}

// Two definitions of one kind are a tenant's mistake; one of them is served.
func TestTheEstablishedDefinitionCounts(t *testing.T) {
	d := &definitions{changed: func() {}, byName: map[string]definition{}}
	d.observe(widgetDefinition("gadgets", false), false)
	d.observe(widgetDefinition("widgets", true), false)
	d.observe(widgetDefinition("zidgets", false), false)
	for range 20 { // whatever the order of a map
		if one, _ := d.find(schema.GroupKind{Group: "example.com", Kind: "Widget"}); one.resource != "widgets" {
			t.Fatalf("got %s", one.resource)
		}
	}
}
