// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package custom

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testPresets syncs snapshots and routes, and shows the classes they name.
func testPresets(t *testing.T, e *environment, blue *tenant) {
	const snapshotGroup, gatewayGroup = "snapshot.storage.k8s.io", "gateway.networking.k8s.io"
	snapshots, snapshotClasses := namespaced(snapshotGroup, "VolumeSnapshot", "volumesnapshots"), clusterScoped(snapshotGroup, "VolumeSnapshotClass", "volumesnapshotclasses")
	routes, gatewayClasses := namespaced(gatewayGroup, "HTTPRoute", "httproutes"), clusterScoped(gatewayGroup, "GatewayClass", "gatewayclasses")
	for _, k := range []kindOf{snapshots, snapshotClasses, routes, gatewayClasses} {
		k.install(t, e.superClient)
		k.install(t, blue.client)
		e.grantResource(t, k.Group, k.plural)
	}
	e.share(t)
	preset := func(name tenancyv1alpha1.CustomResourcePreset) tenancyv1alpha1.CustomResourceRule {
		return tenancyv1alpha1.CustomResourceRule{Name: "preset-" + map[tenancyv1alpha1.CustomResourcePreset]string{
			tenancyv1alpha1.PresetVolumeSnapshot: "snapshots", tenancyv1alpha1.PresetVolumeSnapshotClass: "snapshot-classes",
			tenancyv1alpha1.PresetHTTPRoute: "routes", tenancyv1alpha1.PresetGatewayClass: "gateway-classes",
		}[name], Preset: name}
	}
	withGateways := preset(tenancyv1alpha1.PresetHTTPRoute)
	withGateways.References.SharedNamespaces = []string{"gateways"}
	e.setRules(t, preset(tenancyv1alpha1.PresetVolumeSnapshot), preset(tenancyv1alpha1.PresetVolumeSnapshotClass),
		withGateways, preset(tenancyv1alpha1.PresetGatewayClass))
	e.waitCondition(t, blue, metav1.ConditionTrue, "4 of 4 rules are in force")

	fast := snapshotClasses.object("", "fast", map[string]any{"driver": "csi.example", "deletionPolicy": "Delete", "parameters": map[string]any{"a": "b"}})
	fast.SetLabels(map[string]string{"shared": "yes"})
	must(t, e.superClient.Create(t.Context(), fast))
	must(t, e.superClient.Create(t.Context(), snapshotClasses.object("", "internal", map[string]any{"driver": "csi.example", "deletionPolicy": "Delete"})))
	shown := snapshotClasses.waitField(t, blue.client, client.ObjectKey{Name: "fast"}, "Delete", "deletionPolicy")
	if shown.Object["parameters"] != nil || shown.Object["driver"] != tenancyv1alpha1.SharedDriver {
		t.Errorf("the copy says %v", shown.Object)
	}
	snapshotClasses.absent(t, blue.client, client.ObjectKey{Name: "internal"})

	snapshot := func(name, class string) {
		must(t, blue.client.Create(t.Context(), snapshots.object("shop", name, map[string]any{"spec": map[string]any{
			"source": map[string]any{"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": class,
		}})))
	}
	snapshot("good", "fast")
	snapshot("bad", "internal")
	good := blue.superKey("shop", "good")
	snapshots.waitField(t, e.superClient, good, "fast", "spec", "volumeSnapshotClassName")
	snapshots.patchStatus(t, e.superClient, good, `{"status":{"readyToUse":true,"boundVolumeSnapshotContentName":"snapcontent-1"}}`)
	reported := snapshots.waitField(t, blue.client, client.ObjectKey{Namespace: "shop", Name: "good"}, "true", "status", "readyToUse")
	if status, _ := reported.Object["status"].(map[string]any); status["boundVolumeSnapshotContentName"] != nil {
		t.Errorf("the tenant is told the content's name: %v", status)
	}
	snapshots.absent(t, e.superClient, blue.superKey("shop", "bad"))

	testRoutes(t, e, blue, routes, gatewayClasses)
	// What is not shared any more is not seen any more.
	snapshotClasses.patch(t, e.superClient, client.ObjectKey{Name: "fast"}, `{"metadata":{"labels":null}}`)
	snapshotClasses.waitGone(t, blue.client, client.ObjectKey{Name: "fast"})
}

func testRoutes(t *testing.T, e *environment, blue *tenant, routes, gatewayClasses kindOf) {
	must(t, e.superClient.Create(t.Context(), gatewayClasses.object("", "public", map[string]any{"spec": map[string]any{"controllerName": "example.com/gateways"}})))
	gatewayClasses.patchStatus(t, e.superClient, client.ObjectKey{Name: "public"}, `{"status":{"conditions":[{"type":"Accepted","status":"True"}]}}`)
	gatewayClasses.waitField(t, blue.client, client.ObjectKey{Name: "public"}, "[map[status:True type:Accepted]]", "status", "conditions")

	must(t, blue.client.Create(t.Context(), routes.object("shop", "web", map[string]any{"spec": map[string]any{
		"parentRefs": []any{map[string]any{"name": "public", "namespace": "gateways"}, map[string]any{"name": "own", "namespace": "shop"}},
		"hostnames":  []any{"web.example.com"},
		"rules":      []any{map[string]any{"backendRefs": []any{map[string]any{"name": "web", "port": int64(80)}}}},
	}})))
	key := blue.superKey("shop", "web")
	routes.waitField(t, e.superClient, key, "[map[name:public namespace:gateways] map[name:own namespace:"+key.Namespace+"]]", "spec", "parentRefs")
	routes.patchStatus(t, e.superClient, key, `{"status":{"parents":[{"controllerName":"c","parentRef":{"name":"own","namespace":"`+key.Namespace+`"}}]}}`)
	routes.waitField(t, blue.client, client.ObjectKey{Namespace: "shop", Name: "web"}, "[map[controllerName:c parentRef:map[name:own namespace:shop]]]", "status", "parents")
}

// share makes the class share what the presets show.
func (e *environment) share(t *testing.T) {
	t.Helper()
	var class tenancyv1alpha1.VirtualClusterClass
	must(t, e.superClient.Get(t.Context(), client.ObjectKey{Name: className}, &class))
	before := class.DeepCopy()
	class.Spec.Sharing.VolumeSnapshotClasses = &metav1.LabelSelector{MatchLabels: map[string]string{"shared": "yes"}}
	class.Spec.Sharing.GatewayClasses = &metav1.LabelSelector{}
	must(t, e.superClient.Patch(t.Context(), &class, client.MergeFrom(before)))
}
