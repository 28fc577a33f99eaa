// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kindtest is the contract that every kind keeps, as a test. It is
// imported by tests only.
package kindtest

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// Sample is one object of a kind for the contract.
type Sample struct {
	// Tenant is an object of the tenant. Required for kinds that go down. The
	// contract adds metadata that must not cross.
	Tenant client.Object
	// Super is an object of the super cluster for kinds that go up.
	Super client.Object
	// Subject is what Super tells about.
	Subject kind.Subject
	// Secrets are words of the super cluster that a tenant must not read in
	// what goes up: names of nodes and namespaces.
	Secrets []string
	// Reader is the tenant's side, as Env.Tenant.
	Reader client.Reader
	// SuperReader is the super cluster's side, as Env.Super.
	SuperReader client.Reader
}

// Env returns the environment in which samples are translated: tenant
// "tenant-1" with 10.112.4.0/22, RuntimeClasses gvisor (default) and kata, and
// of each kind that a class may share what is labelled shared=yes.
func Env(reader client.Reader, warn func(field, remedy string)) kind.Env {
	if warn == nil {
		warn = func(string, string) {}
	}
	shared := &metav1.LabelSelector{MatchLabels: map[string]string{"shared": "yes"}}
	return kind.Env{
		Names: names.Tenant{ID: "tenant-1", Name: "demo"},
		Facts: kind.Facts{
			ServiceCIDR:           netip.MustParsePrefix("10.112.4.0/22"),
			ControlPlaneAddresses: []string{"10.244.0.9"},
			DefaultRuntimeClass:   "gvisor",
			AllowedRuntimeClasses: []string{"gvisor", "kata"},
			Sharing: tenancyv1alpha1.ClassSharing{
				StorageClasses: shared, PriorityClasses: shared, IngressClasses: shared, VolumeSnapshotClasses: shared, GatewayClasses: shared,
			},
		},
		Tenant: reader,
		Warn:   warn,
		// What is changed is the engine's test to see.
		Changed: func(string, string) {},
	}
}

// Run holds a kind against the contract.
func Run(t *testing.T, translator *kind.Translator, sample Sample) {
	t.Helper()
	if translator.Direction == kind.Up {
		runUpward(t, translator, sample)
		return
	}
	forbidden := map[string]string{
		"tenancy.virtualcluster.io/tenant-id": "somebody-else", "io.katacontainers.config.hypervisor.path": "/bin/sh",
	}
	tenant := sample.Tenant.DeepCopyObject().(client.Object)
	tenant.SetLabels(merged(tenant.GetLabels(), forbidden))
	tenant.SetAnnotations(merged(tenant.GetAnnotations(), forbidden))
	before := tenant.DeepCopyObject().(client.Object)

	first := translate(t, translator, sample, tenant, translator.New())
	t.Run("the tenant's object is left alone", func(t *testing.T) {
		if diff := cmp.Diff(before, tenant); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("the same input gives the same output", func(t *testing.T) {
		if diff := cmp.Diff(first, translate(t, translator, sample, tenant, translator.New())); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a second Down changes nothing", func(t *testing.T) {
		live := first.DeepCopyObject().(client.Object)
		live.SetUID("super-uid")
		again := translate(t, translator, sample, tenant, live.DeepCopyObject().(client.Object))
		if !equality.Semantic.DeepEqual(live, again) {
			t.Error(cmp.Diff(live, again))
		}
	})
	t.Run("nothing forbidden crosses", func(t *testing.T) { checkForbidden(t, first, tenant) })
}

// translate does what the engine does around Down.
func translate(t *testing.T, translator *kind.Translator, sample Sample, tenant, super client.Object) client.Object {
	t.Helper()
	if !translator.HideMetadata {
		super.SetLabels(policy.Metadata(tenant.GetLabels(), super.GetLabels()))
		super.SetAnnotations(policy.Metadata(tenant.GetAnnotations(), super.GetAnnotations()))
	}
	env := Env(sample.Reader, nil)
	env.Super = sample.SuperReader
	if err := translator.Down(t.Context(), env, tenant, super); err != nil {
		t.Fatalf("Down: %v", err)
	}
	key := translator.SuperKey(env.Names, client.ObjectKeyFromObject(tenant))
	super.SetNamespace(key.Namespace)
	super.SetName(key.Name)
	identity.Stamp(super, identity.Owner{
		TenantID: env.Names.ID, Namespace: tenant.GetNamespace(), Name: tenant.GetName(), UID: tenant.GetUID(),
	}, types.NamespacedName{Namespace: "default", Name: "demo"})
	return super
}

func checkForbidden(t *testing.T, super, tenant client.Object) {
	t.Helper()
	if len(super.GetOwnerReferences()) > 0 || len(super.GetFinalizers()) > 0 {
		t.Errorf("owners %v, finalizers %v", super.GetOwnerReferences(), super.GetFinalizers())
	}
	owner, ok := identity.Of(super)
	if !ok || owner.TenantID != "tenant-1" || owner.UID != tenant.GetUID() {
		t.Errorf("stamp %+v", owner)
	}
	for _, metadata := range []map[string]string{super.GetLabels(), super.GetAnnotations()} {
		if value, ok := metadata["io.katacontainers.config.hypervisor.path"]; ok {
			t.Errorf("a runtime's setting crossed: %s", value)
		}
	}
	var tree any
	data, err := json.Marshal(super)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	checkNamespaces(t, tree, super.GetNamespace())
}

// checkNamespaces looks for references to a namespace other than the object's own.
func checkNamespaces(t *testing.T, node any, own string) {
	t.Helper()
	switch value := node.(type) {
	case map[string]any:
		for key, child := range value {
			if name, isString := child.(string); isString && key == "namespace" && name != own {
				t.Errorf("it names namespace %q", name)
			}
			checkNamespaces(t, child, own)
		}
	case []any:
		for _, child := range value {
			checkNamespaces(t, child, own)
		}
	}
}

func runUpward(t *testing.T, translator *kind.Translator, sample Sample) {
	t.Helper()
	if !translator.Visible(Env(sample.Reader, nil).Facts, sample.Super) {
		t.Fatal("the sample is not visible")
	}
	before := sample.Super.DeepCopyObject()
	hidden := sample.Super.DeepCopyObject().(client.Object)
	hidden.SetLabels(nil)
	hidden.SetName("system-of-the-platform")
	if translator.Catalogue() && translator.Visible(Env(nil, nil).Facts, hidden) {
		t.Error("what is not shared is visible")
	}
	if translator.Visible(kind.Facts{}, sample.Super) && translator.Catalogue() {
		t.Error("a class that shares nothing shares it")
	}
	show := func(tenant client.Object) client.Object {
		if err := translator.Show(Env(sample.Reader, nil), sample.Super, sample.Subject, tenant); err != nil {
			t.Fatalf("Up: %v", err)
		}
		return tenant
	}
	first := show(translator.New())
	if diff := cmp.Diff(before, sample.Super.DeepCopyObject()); diff != "" {
		t.Errorf("the super object was changed:\n%s", diff)
	}
	if diff := cmp.Diff(first, show(first.DeepCopyObject().(client.Object))); diff != "" {
		t.Errorf("a second Up changes something:\n%s", diff)
	}
	data, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range sample.Secrets {
		if strings.Contains(string(data), secret) {
			t.Errorf("the tenant reads %q: %s", secret, data)
		}
	}
}

func merged(to, from map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{to, from} {
		for key, value := range m {
			out[key] = value
		}
	}
	return out
}
