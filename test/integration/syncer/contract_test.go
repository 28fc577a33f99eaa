// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kinds"
)

// contract is one object of a kind, with every field set that should survive,
// and what must then be on the other side.
type contract struct {
	// object is the tenant's for a kind that goes down, the super cluster's for
	// one that goes up.
	object client.Object
	// tenantKey is where the tenant sees what goes up. Default: the object's name.
	tenantKey types.NamespacedName
	// begin, if set, is done once object is there.
	begin func(t *testing.T)
	// pair returns what should be equal on both sides, from the objects as the
	// API servers have them.
	pair func(tenant, super client.Object) (want, got any)
}

// contracts has one method for each kind, called like the kind.
type contracts struct {
	e  *environment
	tn *tenant
}

// TestContract holds every kind of the list against real API servers: what may
// cross arrives whole, what may not does not, and a second pass writes nothing.
// A kind without a sample fails.
func TestContract(t *testing.T) {
	e := newEnvironment(t)
	e.share(t)
	tn := e.addTenant(t, "blue", "10.112.0.0/22")
	e.startSyncer(t)
	e.waitSynced(t, tn)
	tn.waitServiceAccount(t, "default")
	for _, translator := range kinds.All() {
		t.Run(translator.Name, func(t *testing.T) {
			method := reflect.ValueOf(contracts{e, tn}).MethodByName(translator.Name)
			if !method.IsValid() {
				t.Fatalf("there is no sample for this kind: write func (contracts) %s(t *testing.T) contract", translator.Name)
			}
			c := method.Call([]reflect.Value{reflect.ValueOf(t)})[0].Interface().(contract)
			if translator.Direction == kind.Up {
				runUpward(t, e, tn, translator, c)
				return
			}
			runDownward(t, e, tn, translator, c)
		})
	}
}

// Keys that a tenant must not bring into the super cluster.
const (
	forgedKey  = "tenancy.virtualcluster.io/forged"
	runtimeKey = "io.katacontainers.config.hypervisor.path"
	// touchKey makes a pass without a wish.
	touchKey = "tenancy.virtualcluster.io/touched"
)

func runDownward(t *testing.T, e *environment, tn *tenant, translator *kind.Translator, c contract) {
	forged := map[string]string{forgedKey: "x", runtimeKey: "x", "tenancy.virtualcluster.io/tenant-id": "another"}
	c.object.SetLabels(merged(c.object.GetLabels(), forged))
	c.object.SetAnnotations(merged(c.object.GetAnnotations(), forged))
	must(t, tn.client.Create(t.Context(), c.object))
	created := c.object.DeepCopyObject().(client.Object)
	if c.begin != nil {
		c.begin(t)
	}
	super, tenant := translator.New(), translator.New()
	superKey, key := translator.SuperKey(tn.names, client.ObjectKeyFromObject(c.object)), client.ObjectKeyFromObject(c.object)
	eventually(t, "the super object", func(ctx context.Context) error { return e.superClient.Get(ctx, superKey, super) })
	settled(t, func() { mustGet(t, e.superClient, superKey, super); mustGet(t, tn.client, key, tenant) }, super, tenant)

	want, got := c.pair(tenant, super)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what should have survived (-tenant +super):\n%s", diff)
	}
	was, _ := c.pair(created, super)
	if diff := cmp.Diff(was, want); diff != "" && translator.Name != "Service" { // whose node ports and address are allocated
		t.Errorf("the tenant's object was changed (-before +after):\n%s", diff)
	}
	owner, stamped := identity.Of(super)
	if !stamped || owner.TenantID != tn.names.ID || owner.UID != tenant.GetUID() {
		t.Errorf("the stamp is %+v", owner)
	}
	for _, metadata := range []map[string]string{super.GetLabels(), super.GetAnnotations()} {
		for _, key := range []string{forgedKey, runtimeKey} {
			if _, crossed := metadata[key]; crossed {
				t.Errorf("%s crossed", key)
			}
		}
	}
	ownNamespaceOnly(t, super, superKey.Namespace)
	quietPass(t, translator.Name, tn.client, tenant, func() { mustGet(t, e.superClient, superKey, super); mustGet(t, tn.client, key, tenant) }, super, tenant)
}

func runUpward(t *testing.T, e *environment, tn *tenant, translator *kind.Translator, c contract) {
	if c.object.GetResourceVersion() == "" {
		must(t, e.superClient.Create(t.Context(), c.object))
	}
	if c.begin != nil {
		c.begin(t)
	}
	if c.tenantKey.Name == "" {
		c.tenantKey.Name = c.object.GetName()
	}
	super, tenant := translator.New(), translator.New()
	superKey := client.ObjectKeyFromObject(c.object)
	get := func() { mustGet(t, e.superClient, superKey, super); mustGet(t, tn.client, c.tenantKey, tenant) }
	eventually(t, "the tenant's copy", func(ctx context.Context) error { return tn.client.Get(ctx, c.tenantKey, tenant) })
	settled(t, get, super, tenant)
	want, got := c.pair(tenant, super)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what should be seen (-want +got):\n%s", diff)
	}
	data, err := json.Marshal(tenant)
	must(t, err)
	for _, secret := range []string{"secret", tn.names.Namespace("default"), superNode} {
		if containsWord(string(data), secret) {
			t.Errorf("the tenant reads %q: %s", secret, data)
		}
	}
	quietPass(t, translator.Name, e.superClient, super, get, tenant)
}

// quietPass makes the syncer look at the object again and checks that it writes
// nothing: neither the counter of writes nor a version moves, but by the touch.
func quietPass(t *testing.T, name string, toucher client.Client, touched client.Object, get func(), watched ...client.Object) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"x"}}}`, touchKey)
	passes, writes := counter(t, "reconciles", name), counter(t, "writes", name)
	must(t, toucher.Patch(t.Context(), touched, client.RawPatch(types.MergePatchType, []byte(patch))))
	get()
	before := versionsOf(watched)
	eventually(t, "another pass", func(context.Context) error {
		if counter(t, "reconciles", name) == passes {
			return fmt.Errorf("still %v passes", passes)
		}
		return nil
	})
	consistently(t, "a pass without a write", 500*time.Millisecond, func(context.Context) error {
		get()
		if now := versionsOf(watched); now != before || counter(t, "writes", name) != writes {
			return fmt.Errorf("versions %s, then %s; %v writes, then %v", before, now, writes, counter(t, "writes", name))
		}
		return nil
	})
}

// settled waits until nothing has changed for a while.
func settled(t *testing.T, get func(), objects ...client.Object) {
	t.Helper()
	quiet, last := 0, ""
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, settle, true, func(context.Context) (bool, error) {
		get()
		if now := versionsOf(objects); now != last {
			quiet, last = 0, now
		}
		quiet++
		return quiet == 20, nil
	})
	if err != nil {
		t.Fatalf("it never settles: %v", err)
	}
}

func versionsOf(objects []client.Object) string {
	out := ""
	for _, object := range objects {
		out += object.GetResourceVersion() + " "
	}
	return out
}

// counter sums the syncer's counter of a kind.
func counter(t *testing.T, name, kindName string) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	must(t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != "virtualcluster_syncer_"+name+"_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == "kind" && pair.GetValue() == kindName {
					sum += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

func mustGet(t *testing.T, c client.Client, key types.NamespacedName, object client.Object) {
	t.Helper()
	must(t, c.Get(t.Context(), key, object))
}

// ownNamespaceOnly looks for the name of another namespace.
func ownNamespaceOnly(t *testing.T, super client.Object, own string) {
	t.Helper()
	data, err := json.Marshal(super)
	must(t, err)
	var tree any
	must(t, json.Unmarshal(data, &tree))
	var walk func(node any)
	walk = func(node any) {
		switch value := node.(type) {
		case map[string]any:
			for key, child := range value {
				if name, isString := child.(string); isString && key == "namespace" && name != own {
					t.Errorf("it names namespace %q", name)
				}
				walk(child)
			}
		case []any:
			for _, child := range value {
				walk(child)
			}
		}
	}
	walk(tree)
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
