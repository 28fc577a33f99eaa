// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package custom

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
)

// bulk is how many objects go with a definition.
const bulk = 100

// widgets are what the tests sync by a rule of their own.
func widgets() kindOf { return namespaced("example.com", "Widget", "widgets") }

// widgetRule syncs widgets down.
func widgetRule() tenancyv1alpha1.CustomResourceRule {
	return tenancyv1alpha1.CustomResourceRule{
		Name: "widgets", Group: "example.com", Version: "v1", Kind: "Widget", Direction: tenancyv1alpha1.DirectionDown,
		Copy:   []tenancyv1alpha1.FieldPath{".spec"},
		Report: []tenancyv1alpha1.FieldPath{".status", ".spec.address"},
		Select: "!has(object.spec.local) || !object.spec.local",
		Refuse: []tenancyv1alpha1.CustomResourceRefusal{{
			Rule: "has(object.spec.size) && object.spec.size > 100", Field: "spec.size", Message: "at most 100",
		}},
		References: tenancyv1alpha1.CustomResourceReferences{Namespaces: []tenancyv1alpha1.FieldPath{".spec.refs[*].namespace"}},
	}
}

// TestCustomResources starts one super cluster and two tenants for all of its parts.
func TestCustomResources(t *testing.T) {
	e := newEnvironment(t)
	blue, green := e.addTenant(t, "blue", "10.112.0.0/22"), e.addTenant(t, "green", "10.112.4.0/22")
	stop := e.startSyncer(t)
	for _, tn := range []*tenant{blue, green} {
		e.namespace(t, tn, "shop")
	}
	t.Run("definitions and rights that come later", func(t *testing.T) { testLater(t, e, blue, green) })
	t.Run("down and back", func(t *testing.T) { testDown(t, e, blue, green) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, e, blue) })
	t.Run("the tenant's definition goes and returns", func(t *testing.T) { testTenantDefinition(t, e, blue) })
	t.Run("the super cluster's definition goes and returns", func(t *testing.T) { testSuperDefinition(t, e, green) })
	t.Run("a rule that is deleted, and one that is ended", func(t *testing.T) { testEndOfRule(t, e, green) })
	t.Run("a restart while a definition is missing", func(t *testing.T) { stop = testRestart(t, e, blue, stop) })
	t.Run("presets", func(t *testing.T) { testPresets(t, e, blue) })
	stop()
}

// testLater: the rule is there first, then the super cluster's definition, the
// syncer's rights, the tenant's definition, and an object. Each says what is missing.
func testLater(t *testing.T, e *environment, blue, green *tenant) {
	e.setRules(t, widgetRule())
	e.waitCondition(t, blue, metav1.ConditionFalse, "the super cluster has no CustomResourceDefinition of Widget.example.com")
	widgets().install(t, e.superClient)
	e.waitCondition(t, blue, metav1.ConditionFalse, "the syncer may not list and watch widgets.example.com")
	e.grantResource(t, "example.com", "widgets")
	e.waitCondition(t, blue, metav1.ConditionTrue, "this cluster has no CustomResourceDefinition of Widget.example.com")
	for _, tn := range []*tenant{blue, green} {
		widgets().install(t, tn.client)
		e.waitCondition(t, tn, metav1.ConditionTrue, "1 of 1 rules are in force")
	}
	must(t, blue.client.Create(t.Context(), widgets().object("shop", "first", map[string]any{"spec": map[string]any{"size": int64(1)}})))
	widgets().waitField(t, e.superClient, blue.superKey("shop", "first"), "1", "spec", "size")
}

func testDown(t *testing.T, e *environment, blue, green *tenant) {
	key := client.ObjectKey{Namespace: "shop", Name: "web"}
	for i, tn := range []*tenant{blue, green} {
		object := widgets().object("shop", "web", map[string]any{
			"spec":   map[string]any{"size": int64(i + 1), "address": "stolen", "refs": []any{map[string]any{"namespace": "shop"}}},
			"status": map[string]any{"phase": "Forged"},
			"data":   "stays",
		})
		object.SetLabels(map[string]string{"app": "web", tenancyv1alpha1.LabelTenantID: "somebody-else"})
		object.SetFinalizers([]string{"example.com/hold"})
		object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n", UID: "u"}})
		must(t, tn.client.Create(t.Context(), object))
	}
	for i, tn := range []*tenant{blue, green} {
		super := widgets().waitField(t, e.superClient, tn.superKey("shop", "web"), fmt.Sprint(i+1), "spec", "size")
		owner, stamped := identity.Of(super)
		if !stamped || owner.TenantID != tn.names.ID || super.GetLabels()["app"] != "web" {
			t.Errorf("stamp %+v, labels %v", owner, super.GetLabels())
		}
		want := fmt.Sprintf("map[refs:[map[namespace:%s]] size:%d]", tn.names.Namespace("shop"), i+1)
		if got := fmt.Sprint(super.Object["spec"]); got != want {
			t.Errorf("spec %s, want %s", got, want)
		}
		if super.Object["data"] != nil || super.Object["status"] != nil || len(super.GetFinalizers())+len(super.GetOwnerReferences()) > 0 {
			t.Errorf("more crossed than the rule says: %v", super.Object)
		}
	}
	superKey := blue.superKey("shop", "web")
	// What super allocates and reports comes up, with the tenant's own names.
	widgets().patch(t, e.superClient, superKey, `{"spec":{"address":"192.0.2.7"}}`)
	widgets().patchStatus(t, e.superClient, superKey, `{"status":{"phase":"Ready","message":"in `+superKey.Namespace+`"}}`)
	widgets().waitField(t, blue.client, key, "192.0.2.7", "spec", "address")
	widgets().waitField(t, blue.client, key, "in shop", "status", "message")
	widgets().waitField(t, green.client, key, "<nil>", "status", "message")
	// Updates go down, drift is repaired, and what super allocated stays.
	widgets().patch(t, blue.client, key, `{"spec":{"size":7}}`)
	widgets().waitField(t, e.superClient, superKey, "7", "spec", "size")
	widgets().patch(t, e.superClient, superKey, `{"spec":{"size":8}}`)
	super := widgets().waitField(t, e.superClient, superKey, "7", "spec", "size")
	if got, _ := super.Object["spec"].(map[string]any)["address"].(string); got != "192.0.2.7" {
		t.Errorf("address %q", got)
	}
	// An object that is not selected any more is not there any more.
	widgets().patch(t, blue.client, key, `{"spec":{"local":true}}`)
	widgets().waitGone(t, e.superClient, superKey)
	widgets().patch(t, blue.client, key, `{"spec":{"local":false}}`)
	widgets().waitField(t, e.superClient, superKey, "7", "spec", "size")
	// Deletion; the finalizers are the tenant's.
	for _, tn := range []*tenant{blue, green} {
		widgets().patch(t, tn.client, key, `{"metadata":{"finalizers":null}}`)
		must(t, tn.client.Delete(t.Context(), widgets().object("shop", "web", nil)))
		widgets().waitGone(t, e.superClient, tn.superKey("shop", "web"))
	}
}

func testRefusals(t *testing.T, e *environment, blue *tenant) {
	for name, tc := range map[string]struct {
		spec  map[string]any
		field string
	}{
		"unknown-reference": {map[string]any{"target": map[string]any{"namespace": "kube-system"}}, "spec.target.namespace"},
		"too-large":         {map[string]any{"size": int64(101)}, "spec.size: at most 100"},
		"not-judged":        {map[string]any{"size": "many"}, "spec.size"},
	} {
		must(t, blue.client.Create(t.Context(), widgets().object("shop", name, map[string]any{"spec": tc.spec})))
		eventually(t, "event on "+name, func(ctx context.Context) error { return told(ctx, blue, name, tc.field) })
		widgets().absent(t, e.superClient, blue.superKey("shop", name))
		must(t, blue.client.Delete(t.Context(), widgets().object("shop", name, nil)))
	}
	// A namespace that the tenant has not: other tenants' cannot even be named.
	must(t, blue.client.Create(t.Context(), widgets().object("shop", "foreign", map[string]any{
		"spec": map[string]any{"refs": []any{map[string]any{"namespace": "later"}}},
	})))
	widgets().absent(t, e.superClient, blue.superKey("shop", "foreign"))
	e.namespace(t, blue, "later")
	widgets().waitField(t, e.superClient, blue.superKey("shop", "foreign"), "[map[namespace:"+blue.names.Namespace("later")+"]]", "spec", "refs")
}

// told looks for the one event that names a field.
func told(ctx context.Context, tn *tenant, name, field string) error {
	var events corev1.EventList
	if err := tn.client.List(ctx, &events, client.InNamespace("shop")); err != nil {
		return err
	}
	for _, event := range events.Items {
		if event.InvolvedObject.Name == name && event.InvolvedObject.Kind == "Widget" && event.Reason == "SyncRejected" && contains(event.Message, field) {
			return nil
		}
	}
	return fmt.Errorf("no such event among %d", len(events.Items))
}

// testTenantDefinition: the objects of a definition that the tenant deletes go
// in both clusters; afterwards the kind works as before.
func testTenantDefinition(t *testing.T, e *environment, blue *tenant) {
	first := blue.superKey("shop", "first")
	widgets().waitField(t, e.superClient, first, "1", "spec", "size")
	// More than can be deleted before the definition is gone, and more than a
	// loss may be.
	for i := range bulk {
		must(t, blue.client.Create(t.Context(), widgets().object("shop", fmt.Sprintf("bulk-%d", i), map[string]any{"spec": map[string]any{}})))
	}
	counted := func(want int) {
		eventually(t, fmt.Sprintf("%d of them", want), func(ctx context.Context) error {
			return widgets().count(ctx, e.superClient, first.Namespace, "bulk-", want)
		})
	}
	counted(bulk)
	widgets().remove(t, blue.client)
	widgets().waitGone(t, e.superClient, first)
	counted(0)
	e.waitCondition(t, blue, metav1.ConditionTrue, "this cluster has no CustomResourceDefinition of Widget.example.com")
	// As a hostile tenant would have it: no namespaces, so nothing that could be mapped.
	global := clusterScoped("example.com", "Widget", "widgets")
	global.install(t, blue.client)
	e.waitCondition(t, blue, metav1.ConditionTrue, "wrong scope in this cluster")
	global.remove(t, blue.client)
	// And without a status of its own: reports go into the object.
	plain := widgets()
	plain.status = false
	plain.install(t, blue.client)
	must(t, blue.client.Create(t.Context(), widgets().object("shop", "first", map[string]any{"spec": map[string]any{"size": int64(2)}})))
	widgets().waitField(t, e.superClient, first, "2", "spec", "size")
	widgets().patchStatus(t, e.superClient, first, `{"status":{"phase":"Ready"}}`)
	widgets().waitField(t, blue.client, client.ObjectKey{Namespace: "shop", Name: "first"}, "Ready", "status", "phase")
}

// testSuperDefinition: a tenant's objects outlive the super cluster's definition,
// and are there again with it.
func testSuperDefinition(t *testing.T, e *environment, green *tenant) {
	must(t, green.client.Create(t.Context(), widgets().object("shop", "kept", map[string]any{"spec": map[string]any{"size": int64(3)}})))
	widgets().waitField(t, e.superClient, green.superKey("shop", "kept"), "3", "spec", "size")
	was, err := widgets().get(t.Context(), green.client, client.ObjectKey{Namespace: "shop", Name: "kept"})
	must(t, err)
	widgets().remove(t, e.superClient)
	e.waitCondition(t, green, metav1.ConditionFalse, "the super cluster has no CustomResourceDefinition")
	widgets().stays(t, green.client, was)
	widgets().install(t, e.superClient)
	e.waitCondition(t, green, metav1.ConditionTrue, "1 of 1 rules are in force")
	widgets().waitField(t, e.superClient, green.superKey("shop", "kept"), "3", "spec", "size")
}

// testEndOfRule: a rule that vanishes from the class deletes nothing; one whose
// state says so takes its objects with it, in the super cluster only.
func testEndOfRule(t *testing.T, e *environment, green *tenant) {
	key := client.ObjectKey{Namespace: "shop", Name: "kept"}
	was, err := widgets().get(t.Context(), e.superClient, green.superKey("shop", "kept"))
	must(t, err)
	e.setRules(t)
	eventually(t, "no condition", func(ctx context.Context) error {
		var vc tenancyv1alpha1.VirtualCluster
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(green.vc), &vc); err != nil {
			return err
		}
		for _, condition := range vc.Status.Conditions {
			if condition.Type == tenancyv1alpha1.ConditionCustomResourcesReady {
				return errStillThere
			}
		}
		return nil
	})
	widgets().patch(t, green.client, key, `{"spec":{"size":4}}`)
	widgets().stays(t, e.superClient, was)

	ended := widgetRule()
	ended.State = tenancyv1alpha1.StateRemoved
	e.setRules(t, ended)
	widgets().waitGone(t, e.superClient, green.superKey("shop", "kept"))
	widgets().waitField(t, green.client, key, "4", "spec", "size")

	e.setRules(t, widgetRule())
	widgets().waitField(t, e.superClient, green.superKey("shop", "kept"), "4", "spec", "size")
}

// testRestart: a syncer that starts while a tenant's definition is missing
// concludes nothing; with the definition it finds what has been orphaned.
func testRestart(t *testing.T, e *environment, blue *tenant, stop func()) func() {
	super := widgets().waitField(t, e.superClient, blue.superKey("shop", "first"), "2", "spec", "size")
	stop()
	widgets().remove(t, blue.client)
	stop = e.startSyncer(t)
	e.waitCondition(t, blue, metav1.ConditionTrue, "this cluster has no CustomResourceDefinition of Widget.example.com")
	widgets().stays(t, e.superClient, super)
	widgets().install(t, blue.client)
	widgets().waitGone(t, e.superClient, blue.superKey("shop", "first"))
	return stop
}
