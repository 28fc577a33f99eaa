// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// tenantNames are those of the tenant in all tests.
var tenantNames = names.Tenant{ID: "id-a", Name: "demo"}

// widget returns a rule for a kind of the tests.
func widget(changes func(*tenancyv1alpha1.CustomResourceRule)) tenancyv1alpha1.CustomResourceRule {
	r := tenancyv1alpha1.CustomResourceRule{
		Name: "widgets", Group: "example.com", Version: "v1", Kind: "Widget",
		Direction: tenancyv1alpha1.DirectionDown, Copy: []tenancyv1alpha1.FieldPath{".spec"}, Report: []tenancyv1alpha1.FieldPath{".status"},
	}
	if changes != nil {
		changes(&r)
	}
	return r
}

// parse reads an object's content as an API server would hand it over.
func parse(t *testing.T, content string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return object
}

// asWidget puts a spec, or more, into an object of a kind.
func asWidget(t *testing.T, content string) *unstructured.Unstructured {
	t.Helper()
	return parse(t, "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n"+content)
}

// env is a tenant with namespaces shop and stock.
func env(warn func(field, remedy string)) kind.Env {
	namespace := func(name string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	if warn == nil {
		warn = func(string, string) {}
	}
	return kind.Env{
		Names:  tenantNames,
		Tenant: fake.NewClientBuilder().WithObjects(namespace("shop"), namespace("stock"), namespace("gateways")).Build(),
		Facts: kind.Facts{Sharing: tenancyv1alpha1.ClassSharing{
			VolumeSnapshotClasses: &metav1.LabelSelector{MatchLabels: map[string]string{"shared": "yes"}},
			GatewayClasses:        &metav1.LabelSelector{},
		}},
		Warn: warn,
	}
}

func translator(t *testing.T, source tenancyv1alpha1.CustomResourceRule) *kind.Translator {
	t.Helper()
	compiled, err := Compile(source)
	if err != nil {
		t.Fatal(err)
	}
	class := func(group, kindName, name string, labels map[string]string) client.Object {
		object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		object.APIVersion, object.Kind = group+"/v1", kindName
		return object
	}
	return compiled.Translator(fake.NewClientBuilder().WithObjects(
		class(snapshotGroup, "VolumeSnapshotClass", "shared", map[string]string{"shared": "yes"}),
		class(snapshotGroup, "VolumeSnapshotClass", "internal", nil),
		class(gatewayGroup, "GatewayClass", "public", nil),
	).Build())
}

func TestCompileRefuses(t *testing.T) {
	type change = func(*tenancyv1alpha1.CustomResourceRule)
	tests := map[string]struct {
		change change
		want   error // nil: any
	}{
		"no fields":          {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = nil }, errIncomplete},
		"no version":         {func(r *tenancyv1alpha1.CustomResourceRule) { r.Version = "" }, errIncomplete},
		"the platform's own": {func(r *tenancyv1alpha1.CustomResourceRule) { r.Group = "tenancy.virtualcluster.io" }, errPlatform},
		"metadata": {func(r *tenancyv1alpha1.CustomResourceRule) {
			r.Copy = []tenancyv1alpha1.FieldPath{".metadata.ownerReferences"}
		}, errNotOurs},
		"metadata as a list":        {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{".metadata[*]"} }, errNotOurs},
		"kind":                      {func(r *tenancyv1alpha1.CustomResourceRule) { r.Report = []tenancyv1alpha1.FieldPath{".kind"} }, errNotOurs},
		"the whole object":          {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{"."} }, errPath},
		"no leading dot":            {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{"spec"} }, errPath},
		"an index":                  {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{".spec.a[0]"} }, errPath},
		"elements copied":           {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{".spec.a[*].b"} }, errElements},
		"copied twice":              {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{".spec.a", ".spec"} }, errOverlap},
		"copied and reported":       {func(r *tenancyv1alpha1.CustomResourceRule) { r.Report = []tenancyv1alpha1.FieldPath{".spec"} }, errOverlap},
		"copied from what reported": {func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{".status.a"} }, errOverlap},
		"up and nothing selected": {func(r *tenancyv1alpha1.CustomResourceRule) {
			r.Direction, r.Report = tenancyv1alpha1.DirectionUp, nil
		}, errNoSelect},
		"CEL that does not parse":  {func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "object.spec." }, nil},
		"CEL of an unknown name":   {func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "tenant.spec.a == 1" }, nil},
		"CEL that is not a choice": {func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "'a'" }, errNotBool},
		"CEL in refuse": {func(r *tenancyv1alpha1.CustomResourceRule) {
			r.Refuse = []tenancyv1alpha1.CustomResourceRefusal{{Rule: "1", Field: "spec", Message: "m"}}
		}, errNotBool},
		"a reference that is no path": {func(r *tenancyv1alpha1.CustomResourceRule) {
			r.References.Namespaces = []tenancyv1alpha1.FieldPath{"spec.namespace"}
		}, errPath},
		"an unknown preset": {func(r *tenancyv1alpha1.CustomResourceRule) { r.Preset = "Pods" }, errPreset},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(widget(tc.change))
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestKeyIsOfWhatARuleDoes(t *testing.T) {
	a, errA := Compile(widget(nil))
	b, errB := Compile(widget(func(r *tenancyv1alpha1.CustomResourceRule) { r.Name = "others" }))
	c, errC := Compile(widget(func(r *tenancyv1alpha1.CustomResourceRule) { r.State = tenancyv1alpha1.StateRemoved }))
	if err := errors.Join(errA, errB, errC); err != nil {
		t.Fatal(err)
	}
	if a.Key != b.Key || a.Key == c.Key {
		t.Errorf("keys %s, %s, %s", a.Key, b.Key, c.Key)
	}
}

func TestDownCopiesNamedFieldsOnly(t *testing.T) {
	own, stock := tenantNames.Namespace("shop"), tenantNames.Namespace("stock")
	tests := map[string]struct {
		rule          func(*tenancyv1alpha1.CustomResourceRule)
		tenant, super string
		want          string // of super, without its head
		warning       string
	}{
		"creation": {
			tenant: "spec: {size: 3, list: [a, b]}\nstatus: {phase: mine}",
			want:   "spec: {size: 3, list: [a, b]}",
		},
		"only what is named": {
			rule:    func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{".spec.size"} },
			tenant:  "spec: {size: 3, secret: s}\ndata: {a: b}",
			want:    "spec: {size: 3}",
			warning: "data, spec.secret",
		},
		"what the tenant drops is dropped": {
			tenant: "spec: {size: 3}",
			super:  "spec: {size: 4, gone: x}\nstatus: {phase: Ready}",
			want:   "spec: {size: 3}\nstatus: {phase: Ready}",
		},
		"a field that is dropped whole": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.Copy = []tenancyv1alpha1.FieldPath{".spec.a", ".spec.b"}
			},
			tenant: "spec: {a: 1}",
			super:  "spec: {a: 2, b: 3, kept: true}",
			want:   "spec: {a: 1, kept: true}",
		},
		"what super allocates stays": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.Report = []tenancyv1alpha1.FieldPath{".status", ".spec.volume.name"}
			},
			tenant: "spec: {size: 3, volume: {name: stolen, mode: rw}}",
			super:  "spec: {size: 3, volume: {name: given}}",
			want:   "spec: {size: 3, volume: {name: given, mode: rw}}",
		},
		"what super allocates is not the tenant's to choose": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.Report = []tenancyv1alpha1.FieldPath{".spec.volume.name"}
			},
			tenant: "spec: {size: 3, volume: {name: stolen}}",
			want:   "spec: {size: 3, volume: {}}",
		},
		"namespaces become the tenant's own": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.References.Namespaces = []tenancyv1alpha1.FieldPath{".spec.refs[*].namespace", ".spec.namespaces[*]"}
			},
			tenant: "spec: {refs: [{name: a, namespace: shop}, {name: b}, {name: c, namespace: \"\"}], namespaces: [stock, shop]}",
			want:   "spec: {refs: [{name: a, namespace: " + own + "}, {name: b}, {name: c, namespace: \"\"}], namespaces: [" + stock + ", " + own + "]}",
		},
		"a shared namespace stays, even before the tenant's own": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.References.Namespaces = []tenancyv1alpha1.FieldPath{".spec.ref.namespace"}
				r.References.SharedNamespaces = []string{"gateways"}
			},
			tenant: "spec: {ref: {namespace: gateways}}",
			want:   "spec: {ref: {namespace: gateways}}",
		},
		"an empty object that would hold one": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.References.Namespaces = []tenancyv1alpha1.FieldPath{".spec.namespaceRef.name", ".spec.namespaces[*]"}
			},
			tenant: "spec: {namespaceRef: {}, namespaces: []}",
			want:   "spec: {namespaceRef: {}, namespaces: []}",
		},
		"unrelated": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.References.Unrelated = []tenancyv1alpha1.FieldPath{".spec.xmlNamespace"}
			},
			tenant: "spec: {xmlNamespace: {uri: urn:x}}",
			want:   "spec: {xmlNamespace: {uri: urn:x}}",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tenant, super := asWidget(t, tc.tenant), asWidget(t, tc.super)
			before := tenant.DeepCopy()
			k := translator(t, widget(tc.rule))
			warnings := ""
			down := func() {
				if err := k.Down(t.Context(), env(func(field, _ string) { warnings = field }), tenant, super); err != nil {
					t.Fatal(err)
				}
			}
			down()
			if diff := cmp.Diff(asWidget(t, tc.want).Object, super.Object); diff != "" {
				t.Errorf("super object (-want +got):\n%s", diff)
			}
			if warnings != tc.warning {
				t.Errorf("warned about %q, want %q", warnings, tc.warning)
			}
			first := super.DeepCopy()
			down()
			if diff := cmp.Diff(first.Object, super.Object); diff != "" {
				t.Errorf("a second pass changed (-first +second):\n%s", diff)
			}
			if diff := cmp.Diff(before.Object, tenant.Object); diff != "" {
				t.Errorf("the tenant's object was changed:\n%s", diff)
			}
		})
	}
}

// A hostile tenant's definition admits any field, and the super cluster's may
// know it: what speaks of namespaces and is not known does not pass.
func TestDownRefuses(t *testing.T) {
	listed := func(r *tenancyv1alpha1.CustomResourceRule) {
		r.References.Namespaces = []tenancyv1alpha1.FieldPath{".spec.refs[*].namespace", ".spec.namespaceRef.name"}
	}
	tests := map[string]struct {
		rule   func(*tenancyv1alpha1.CustomResourceRule)
		tenant string
		field  string
		wait   bool
	}{
		"a namespace":                         {tenant: "spec: {namespace: kube-system}", field: "spec.namespace"},
		"deep down":                           {tenant: "spec: {a: [{b: {c: {secretNamespace: x}}}]}", field: "spec.a[0].b.c.secretNamespace"},
		"in capitals":                         {tenant: "spec: {targetNAMESPACE: x}", field: "spec.targetNAMESPACE"},
		"a list":                              {tenant: "spec: {namespaces: [a]}", field: "spec.namespaces[0]"},
		"a selector":                          {tenant: "spec: {namespaceSelector: {matchLabels: {a: b}}}", field: "spec.namespaceSelector.matchLabels.a"},
		"an empty list":                       {tenant: "spec: {namespaces: []}", field: "spec.namespaces"},
		"a text in place of a list":           {rule: listed, tenant: "spec: {namespaceRef: x}", field: "spec.namespaceRef"},
		"an empty selector":                   {tenant: "spec: {namespaceSelector: {}}", field: "spec.namespaceSelector"},
		"beside one that is known":            {rule: listed, tenant: "spec: {namespaceRef: {other: x}}", field: "spec.namespaceRef.other"},
		"a known one that is a list":          {rule: listed, tenant: "spec: {refs: [{namespace: [a]}]}", field: "spec.refs[0].namespace"},
		"a list in place of what is known":    {rule: listed, tenant: "spec: {refs: [[{namespace: a}]]}", field: "spec.refs[0][0].namespace"},
		"an object in place of a list":        {rule: listed, tenant: "spec: {refs: {namespace: a}}", field: "spec.refs.namespace"},
		"a namespace that the tenant has not": {rule: listed, tenant: "spec: {refs: [{namespace: kube-system}]}", wait: true},
		"its own super namespace": {
			rule: listed, tenant: "spec: {refs: [{namespace: " + tenantNames.Namespace("shop") + "}]}", wait: true,
		},
		"a copied field of that name": {
			rule:   func(r *tenancyv1alpha1.CustomResourceRule) { r.Copy = []tenancyv1alpha1.FieldPath{".spec.namespace"} },
			tenant: "spec: {namespace: kube-system}", field: "spec.namespace",
		},
		"what the rule refuses": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.Refuse = []tenancyv1alpha1.CustomResourceRefusal{{Rule: "object.spec.size > 3", Field: "spec.size", Message: "at most 3"}}
			},
			tenant: "spec: {size: 4}", field: "spec.size",
		},
		"what cannot be judged": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.Refuse = []tenancyv1alpha1.CustomResourceRefusal{{Rule: "object.spec.size > 3", Field: "spec.size", Message: "at most 3"}}
			},
			tenant: "spec: {}", field: "spec.size",
		},
		"what cannot be selected": {
			rule:   func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "object.spec.wanted" },
			tenant: "spec: {}", field: "spec",
		},
		"an expression that costs too much": {
			rule: func(r *tenancyv1alpha1.CustomResourceRule) {
				r.Refuse = []tenancyv1alpha1.CustomResourceRefusal{{
					Rule:  "object.spec.l.exists(a, object.spec.l.exists(b, object.spec.l.exists(c, a + b + c == -1)))",
					Field: "spec.l", Message: "no",
				}}
			},
			tenant: "spec: {l: [" + strings.Repeat("1,", 120) + "1]}", field: "spec.l",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			k, super := translator(t, widget(tc.rule)), asWidget(t, "")
			tenant := asWidget(t, tc.tenant)
			if k.Select != nil && !k.Select(tenant) {
				t.Error("it is not selected: nobody would be told")
			}
			err := k.Down(t.Context(), env(nil), tenant, super)
			reject := kind.AsReject(err)
			switch {
			case tc.wait:
				if !kind.IsWait(err) {
					t.Errorf("got %v, want to wait", err)
				}
			case reject == nil:
				t.Errorf("got %v and\n%v\nwant a refusal", err, super.Object)
			case reject.Field != tc.field || reject.Remedy == "":
				t.Errorf("refused with %q of field %q, want field %q", reject.Remedy, reject.Field, tc.field)
			}
		})
	}
}

func TestSelect(t *testing.T) {
	tests := map[string]struct {
		rule   func(*tenancyv1alpha1.CustomResourceRule)
		tenant string
		want   bool
	}{
		"all":                      {tenant: "spec: {}", want: true},
		"true":                     {func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "object.spec.wanted" }, "spec: {wanted: true}", true},
		"false":                    {func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "object.spec.wanted" }, "spec: {wanted: false}", false},
		"unknown is not no":        {func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "object.spec.wanted" }, "spec: {}", true},
		"a rule that is no more":   {func(r *tenancyv1alpha1.CustomResourceRule) { r.State = tenancyv1alpha1.StateRemoved }, "spec: {}", false},
		"a label, and nothing set": {func(r *tenancyv1alpha1.CustomResourceRule) { r.Select = "has(object.metadata.labels)" }, "spec: {}", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := translator(t, widget(tc.rule)).Select(asWidget(t, tc.tenant)); got != tc.want {
				t.Errorf("selected %v, want %v", got, tc.want)
			}
		})
	}
}

func TestUpReports(t *testing.T) {
	own, stock := tenantNames.Namespace("shop"), tenantNames.Namespace("stock")
	foreign := names.Tenant{ID: "id-b", Name: "other"}.Namespace("shop")
	named := func(r *tenancyv1alpha1.CustomResourceRule) {
		r.Report = []tenancyv1alpha1.FieldPath{".status", ".spec.address"}
		r.References.Namespaces = []tenancyv1alpha1.FieldPath{".status.refs[*].namespace"}
		r.References.SharedNamespaces = []string{"gateways"}
	}
	tests := map[string]struct{ tenant, super, want string }{
		"status and what is allocated": {
			"spec: {size: 3}", "spec: {size: 3, address: a}\nstatus: {phase: Ready}", "spec: {size: 3, address: a}\nstatus: {phase: Ready}",
		},
		"what super does not say yet stays": {"spec: {}\nstatus: {phase: Unknown}", "spec: {}", "spec: {}\nstatus: {phase: Unknown}"},
		"namespaces are the tenant's again": {
			"spec: {}",
			"status: {refs: [{namespace: " + stock + "}, {namespace: gateways}, {namespace: " + foreign + "}, {}]}",
			"spec: {}\nstatus: {refs: [{namespace: stock}, {namespace: gateways}, {namespace: \"\"}, {}]}",
		},
		"and in texts": {
			"spec: {}", "status: {message: [no service " + own + "/web]}", "spec: {}\nstatus: {message: [no service shop/web]}",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tenant, super := asWidget(t, tc.tenant), asWidget(t, tc.super)
			super.SetNamespace(own)
			before := super.DeepCopy()
			if err := translator(t, widget(named)).Up(t.Context(), env(nil), super, tenant); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(asWidget(t, tc.want).Object, tenant.Object); diff != "" {
				t.Errorf("tenant's object (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before.Object, super.Object); diff != "" {
				t.Errorf("the super object was changed:\n%s", diff)
			}
		})
	}
}
