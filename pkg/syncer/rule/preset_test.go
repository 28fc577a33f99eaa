// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// presets of the API, in its order.
func presets() []tenancyv1alpha1.CustomResourcePreset {
	return []tenancyv1alpha1.CustomResourcePreset{
		tenancyv1alpha1.PresetVolumeSnapshot, tenancyv1alpha1.PresetVolumeSnapshotClass,
		tenancyv1alpha1.PresetGateway, tenancyv1alpha1.PresetGatewayClass,
		tenancyv1alpha1.PresetHTTPRoute, tenancyv1alpha1.PresetGRPCRoute, tenancyv1alpha1.PresetTLSRoute,
	}
}

func TestPresetsCompile(t *testing.T) {
	for _, name := range presets() {
		t.Run(string(name), func(t *testing.T) {
			compiled, err := Compile(tenancyv1alpha1.CustomResourceRule{
				Name: "p", Preset: name, Version: "v9", Select: "has(object.spec)",
				Refuse: []tenancyv1alpha1.CustomResourceRefusal{{Rule: "false", Field: "spec", Message: "m"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if compiled.Kind.Kind != string(name) || compiled.Kind.Version != "v9" || compiled.selects == nil || len(compiled.refusals) == 0 {
				t.Errorf("compiled %+v", compiled)
			}
		})
	}
}

func TestPresets(t *testing.T) {
	stock := tenantNames.Namespace("stock")
	tests := map[tenancyv1alpha1.CustomResourcePreset]map[string]struct {
		spec string
		want string // of super; empty: refused
		// field that a refusal names.
		field string
	}{
		tenancyv1alpha1.PresetVolumeSnapshot: {
			"of a claim": {
				spec: "{source: {persistentVolumeClaimName: data}, volumeSnapshotClassName: shared}",
				want: "{source: {persistentVolumeClaimName: data}, volumeSnapshotClassName: shared}",
			},
			"without a class":      {spec: "{source: {persistentVolumeClaimName: data}}", want: "{source: {persistentVolumeClaimName: data}}"},
			"of a content":         {spec: "{source: {volumeSnapshotContentName: snapcontent-of-b}}", field: "spec.source.volumeSnapshotContentName"},
			"a class not shared":   {spec: "{source: {persistentVolumeClaimName: data}, volumeSnapshotClassName: internal}", field: "spec.volumeSnapshotClassName"},
			"a class of nobody":    {spec: "{source: {persistentVolumeClaimName: data}, volumeSnapshotClassName: nothing}", field: "spec.volumeSnapshotClassName"},
			"a class of no string": {spec: "{source: {persistentVolumeClaimName: data}, volumeSnapshotClassName: [shared]}", field: "spec.volumeSnapshotClassName"},
		},
		tenancyv1alpha1.PresetGateway: {
			"plain": {
				spec: "{gatewayClassName: public, listeners: [{name: web, port: 80, allowedRoutes: {namespaces: {from: Same}}}]}",
				want: "{gatewayClassName: public, listeners: [{name: web, port: 80, allowedRoutes: {namespaces: {from: Same}}}]}",
			},
			"certificates of another namespace": {
				spec: "{gatewayClassName: public, listeners: [{name: web, tls: {certificateRefs: [{name: c, namespace: stock}]}}]}",
				want: "{gatewayClassName: public, listeners: [{name: web, tls: {certificateRefs: [{name: c, namespace: " + stock + "}]}}]}",
			},
			"routes of everybody": {spec: "{gatewayClassName: public, listeners: [{allowedRoutes: {namespaces: {from: All}}}]}", field: "spec.listeners[].allowedRoutes.namespaces"},
			"routes by labels": {
				spec:  "{gatewayClassName: public, listeners: [{allowedRoutes: {namespaces: {from: Same}}}, {allowedRoutes: {namespaces: {selector: {}}}}]}",
				field: "spec.listeners[].allowedRoutes.namespaces",
			},
			"an address":              {spec: "{gatewayClassName: public, addresses: [{value: 1.2.3.4}]}", field: "spec.addresses"},
			"options":                 {spec: "{gatewayClassName: public, listeners: [{tls: {options: {a: b}}}]}", field: "spec.listeners[].tls.options"},
			"a class of nobody":       {spec: "{gatewayClassName: private}", field: "spec.gatewayClassName"},
			"a reference nobody knew": {spec: "{gatewayClassName: public, listeners: [{tls: {x: {namespace: a}}}]}", field: "spec.listeners[0].tls.x.namespace"},
		},
		tenancyv1alpha1.PresetHTTPRoute: {
			"parent and backend": {
				spec: "{parentRefs: [{name: g, namespace: stock}], hostnames: [a.example], rules: [{backendRefs: [{name: web, port: 80}, {name: web, namespace: stock, kind: Service, group: \"\"}]}]}",
				want: "{parentRefs: [{name: g, namespace: " + stock + "}], hostnames: [a.example], rules: [{backendRefs: [{name: web, port: 80}, {name: web, namespace: " + stock + ", kind: Service, group: \"\"}]}]}",
			},
			"mirrored": {
				spec: "{rules: [{filters: [{requestMirror: {backendRef: {name: web, namespace: stock}}}]}]}",
				want: "{rules: [{filters: [{requestMirror: {backendRef: {name: web, namespace: " + stock + "}}}]}]}",
			},
			"a backend that is no Service": {spec: "{rules: [{backendRefs: [{name: web, kind: Import, group: x.example}]}]}", field: "spec.rules[].backendRefs"},
			"an implementation's filter":   {spec: "{rules: [{filters: [{extensionRef: {name: x}}]}]}", field: "spec.rules[].filters"},
			"and on a backend":             {spec: "{rules: [{backendRefs: [{name: a, filters: [{extensionRef: {name: x}}]}]}]}", field: "spec.rules[].filters"},
		},
	}
	for name, cases := range tests {
		for title, tc := range cases {
			t.Run(string(name)+"/"+title, func(t *testing.T) {
				k := translator(t, tenancyv1alpha1.CustomResourceRule{Name: "p", Preset: name})
				tenant := asWidget(t, "spec: "+tc.spec)
				super := &unstructured.Unstructured{Object: map[string]any{}}
				err := k.Down(t.Context(), env(nil), tenant, super)
				if reject := kind.AsReject(err); tc.field != "" {
					if reject == nil || reject.Field != tc.field {
						t.Errorf("got %v and %v, want a refusal of %s", err, super.Object, tc.field)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(asWidget(t, "spec: "+tc.want).Object["spec"], super.Object["spec"]); diff != "" {
					t.Errorf("super object (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// The content of a snapshot is cluster-scoped: its name is no tenant's business.
func TestVolumeSnapshotReportsNoContent(t *testing.T) {
	k := translator(t, tenancyv1alpha1.CustomResourceRule{Name: "p", Preset: tenancyv1alpha1.PresetVolumeSnapshot})
	tenant, super := asWidget(t, "spec: {}"), asWidget(t, "status: {readyToUse: true, boundVolumeSnapshotContentName: snapcontent-1}")
	if err := k.Up(t.Context(), env(nil), super, tenant); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"readyToUse": true}, tenant.Object["status"]); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestUpwardPresets(t *testing.T) {
	tests := map[tenancyv1alpha1.CustomResourcePreset]struct{ super, unshared, want string }{
		tenancyv1alpha1.PresetVolumeSnapshotClass: {
			super: "apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshotClass\n" +
				"metadata: {name: fast, labels: {shared: \"yes\"}, annotations: {a: b, snapshot.storage.kubernetes.io/is-default-class: \"true\"}}\n" +
				"driver: csi.example\ndeletionPolicy: Delete\nparameters: {csi.storage.k8s.io/snapshotter-secret-namespace: kube-system}",
			unshared: "apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshotClass\nmetadata: {name: slow}\n",
			want: "apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshotClass\n" +
				"metadata: {annotations: {snapshot.storage.kubernetes.io/is-default-class: \"true\"}}\n" +
				"driver: " + tenancyv1alpha1.SharedDriver + "\ndeletionPolicy: Delete",
		},
		tenancyv1alpha1.PresetGatewayClass: {
			super: "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: public, annotations: {a: b}}\n" +
				"spec: {controllerName: example.com/c, description: d, parametersRef: {name: p, namespace: kube-system}}\nstatus: {conditions: []}",
			want: "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n" +
				"spec: {controllerName: " + tenancyv1alpha1.SharedDriver + "/shared, description: d}\nstatus: {conditions: []}",
		},
	}
	for name, tc := range tests {
		t.Run(string(name), func(t *testing.T) {
			rule := tenancyv1alpha1.CustomResourceRule{Name: "p", Preset: name}
			k, facts, super := translator(t, rule), env(nil).Facts, parse(t, tc.super)
			if !k.Catalogue() || !k.Visible(facts, super) || k.Visible(kind.Facts{}, super) {
				t.Error("it is not seen by those that share it, or by others")
			}
			if tc.unshared != "" && k.Visible(facts, parse(t, tc.unshared)) {
				t.Error("what is not shared is seen")
			}
			shown := k.New().(*unstructured.Unstructured)
			if err := k.Show(env(nil), super, kind.Subject{}, shown); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parse(t, tc.want).Object, shown.Object); diff != "" {
				t.Errorf("copy (-want +got):\n%s", diff)
			}
			rule.State = tenancyv1alpha1.StateRemoved
			if translator(t, rule).Visible(facts, super) {
				t.Error("a rule that is no more shows it")
			}
		})
	}
}
