// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// catalogue is a catalogue of what is labelled shared=yes.
func catalogue() kind.Upward[*storagev1.StorageClass] {
	return kind.Upward[*storagev1.StorageClass]{
		Object:  &storagev1.StorageClass{},
		Visible: func(_ kind.Facts, super *storagev1.StorageClass) bool { return super.Labels["shared"] == "yes" },
		Up: func(_ kind.Env, super *storagev1.StorageClass, _ kind.Subject, tenant *storagev1.StorageClass) error {
			tenant.Provisioner, tenant.AllowVolumeExpansion = "shared", super.AllowVolumeExpansion
			return nil
		},
	}
}

// volumes mirrors volumes to whose claim is the tenant's.
func volumes() kind.Upward[*corev1.PersistentVolume] {
	return kind.Upward[*corev1.PersistentVolume]{
		Object: &corev1.PersistentVolume{}, Mirror: true,
		About: func(super *corev1.PersistentVolume) (client.Object, types.NamespacedName, types.UID) {
			ref := super.Spec.ClaimRef
			if ref == nil {
				return &corev1.PersistentVolumeClaim{}, types.NamespacedName{}, ""
			}
			return &corev1.PersistentVolumeClaim{}, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, ref.UID
		},
		Visible: func(kind.Facts, *corev1.PersistentVolume) bool { return true },
		Up: func(_ kind.Env, super *corev1.PersistentVolume, owner kind.Subject, tenant *corev1.PersistentVolume) error {
			tenant.Spec.ClaimRef = &corev1.ObjectReference{Namespace: owner.Namespace, Name: owner.Name, UID: owner.UID}
			tenant.Status.Phase = super.Status.Phase
			return nil
		},
	}
}

func class(shared string) *storagev1.StorageClass {
	expand := true
	return &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "fast", Labels: map[string]string{"shared": shared}},
		Provisioner: "secret-driver", AllowVolumeExpansion: &expand,
	}
}

// copyOf is a tenant's copy of class, changed.
func copyOf(change func(*storagev1.StorageClass)) *storagev1.StorageClass {
	c := class("")
	c.UID, c.Provisioner = "copy", "shared"
	c.Labels = map[string]string{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedBySyncer}
	change(c)
	return c
}

func unchanged(*storagev1.StorageClass) {}

// TestACatalogueIsMirrored: what a tenant may see it sees, whatever it does to
// its copy, and nothing else; its own objects are left alone.
func TestACatalogueIsMirrored(t *testing.T) {
	cases := map[string]struct {
		super, tenant *storagev1.StorageClass
		// want is the tenant's provisioner afterwards; empty means no object.
		want   string
		writes int
	}{
		"is shown":                 {super: class("yes"), want: "shared", writes: 1},
		"is not shared":            {super: class("no")},
		"is there already":         {super: class("yes"), tenant: copyOf(unchanged), want: "shared"},
		"was edited":               {super: class("yes"), tenant: copyOf(func(c *storagev1.StorageClass) { c.AllowVolumeExpansion = nil }), want: "shared", writes: 1},
		"is shared no more":        {super: class("no"), tenant: copyOf(unchanged), writes: 1},
		"is gone":                  {tenant: copyOf(unchanged), writes: 1},
		"the tenant's own hides":   {super: class("yes"), tenant: copyOf(func(c *storagev1.StorageClass) { c.Labels, c.Provisioner = nil, "own" }), want: "own"},
		"the tenant's own is left": {tenant: copyOf(func(c *storagev1.StorageClass) { c.Labels, c.Provisioner = nil, "own" }), want: "own"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			superSide, tenantSide := newSide(), newSide()
			if tc.super != nil {
				superSide = newSide(tc.super)
			}
			if tc.tenant != nil {
				tenantSide = newSide(tc.tenant)
			}
			live := tenantSide.live
			writes := 0
			tenantSide.intercept(countWrites(&writes))
			pass := newPasses(t, catalogue().Translator(), types.NamespacedName{Name: "fast"}, tenantSide, superSide)
			for range 2 {
				if err := pass(); err != nil {
					t.Fatal(err)
				}
			}
			var got storagev1.StorageClass
			if found := exists(t, live, types.NamespacedName{Name: "fast"}, &got); found != (tc.want != "") || got.Provisioner != tc.want {
				t.Errorf("the tenant has %q, want %q", got.Provisioner, tc.want)
			}
			if tc.want == "shared" && (got.AllowVolumeExpansion == nil || !isMirrored(&got)) {
				t.Errorf("the copy is %+v", got)
			}
			if writes != tc.writes {
				t.Errorf("%d writes, want %d", writes, tc.writes)
			}
		})
	}
}

func countWrites(writes *int) interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			*writes++
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			*writes++
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			*writes++
			return c.Delete(ctx, o, opts...)
		},
	}
}

// TestACopyIsNotRemovedForALateCache: the super cluster's cache shows nothing,
// and its API server does.
func TestACopyIsNotRemovedForALateCache(t *testing.T) {
	tenantSide := newSide(copyOf(unchanged))
	superSide := &side{cached: newFake(), live: newFake(class("yes"))}
	err := reconcileKind(t, catalogue().Translator(), types.NamespacedName{Name: "fast"}, tenantSide, superSide)
	if !kind.IsWait(err) {
		t.Errorf("error %v, want a wait", err)
	}
	if !exists(t, tenantSide.live, types.NamespacedName{Name: "fast"}, &storagev1.StorageClass{}) {
		t.Error("the copy is gone")
	}
}

// TestWhatCannotBeChangedIsMadeAgain: the platform has made its object anew
// with other values, which the tenant's API server does not take as a change.
func TestWhatCannotBeChangedIsMadeAgain(t *testing.T) {
	tenantSide, superSide := newSide(copyOf(func(c *storagev1.StorageClass) { c.Provisioner = "other" })), newSide(class("yes"))
	live := tenantSide.live
	tenantSide.intercept(interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "StorageClass"}, "fast", nil)
	}})
	pass := newPasses(t, catalogue().Translator(), types.NamespacedName{Name: "fast"}, tenantSide, superSide)
	for range 2 {
		if err := pass(); err != nil {
			t.Fatal(err)
		}
	}
	var got storagev1.StorageClass
	if !exists(t, live, types.NamespacedName{Name: "fast"}, &got) || got.Provisioner != "shared" {
		t.Errorf("the tenant has %+v", got)
	}
}

// TestFinalizersDoNotHoldACopy: a deleted copy would wait for controllers that
// the tenant does not run, or for ever.
func TestFinalizersDoNotHoldACopy(t *testing.T) {
	deleted := metav1.Now()
	tenantSide := newSide(copyOf(func(c *storagev1.StorageClass) {
		c.Finalizers, c.DeletionTimestamp = []string{"example.com/hold"}, &deleted
	}))
	if err := reconcileKind(t, catalogue().Translator(), types.NamespacedName{Name: "fast"}, tenantSide, newSide(class("yes"))); err != nil {
		t.Fatal(err)
	}
	if exists(t, tenantSide.live, types.NamespacedName{Name: "fast"}, &storagev1.StorageClass{}) {
		t.Error("the copy is still there")
	}
}

// TestAVolumeIsShownToWhoseClaimItIs: by the stamp of the claim or, once that is
// gone, of its namespace.
func TestAVolumeIsShownToWhoseClaimItIs(t *testing.T) {
	namespace := superObjects("x")[0]
	claim := func(tenantID string) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.GetName(), Name: "data", UID: "super-claim"}}
		identity.Stamp(c, identity.Owner{TenantID: tenantID, Namespace: "shop", Name: "data", UID: "claim"}, virtualCluster)
		return c
	}
	volume := func(superNamespace string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pv-1"},
			Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: superNamespace, Name: "data", UID: "super-claim"}},
			Status:     corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
		}
	}
	foreign := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "vc-other"}}
	identity.Stamp(foreign, identity.Owner{TenantID: "tenant-2", Name: "shop", UID: "ns-2"}, virtualCluster)
	unbound := volume("")
	unbound.Spec.ClaimRef = nil
	cases := map[string]struct {
		super   []client.Object
		visible bool
		uid     types.UID
	}{
		"the claim's":                {[]client.Object{namespace, claim("tenant-1"), volume(namespace.GetName())}, true, "claim"},
		"the claim is gone":          {[]client.Object{namespace, volume(namespace.GetName())}, true, ""},
		"the namespace is gone":      {[]client.Object{claim("tenant-1"), volume(namespace.GetName())}, false, ""},
		"another namespace's":        {[]client.Object{namespace, volume("platform")}, false, ""},
		"another tenant's":           {[]client.Object{foreign, volume("vc-other")}, false, ""},
		"nobody's":                   {[]client.Object{namespace, unbound}, false, ""},
		"a claim of somebody else's": {[]client.Object{namespace, claim("tenant-2"), volume(namespace.GetName())}, true, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenantSide := newSide()
			if err := reconcileKind(t, volumes().Translator(), types.NamespacedName{Name: "pv-1"}, tenantSide, newSide(tc.super...)); err != nil {
				t.Fatal(err)
			}
			var got corev1.PersistentVolume
			if visible := exists(t, tenantSide.live, types.NamespacedName{Name: "pv-1"}, &got); visible != tc.visible {
				t.Fatalf("visible: %v", visible)
			}
			if tc.visible && (got.Spec.ClaimRef.Namespace != "shop" || got.Spec.ClaimRef.UID != tc.uid) {
				t.Errorf("the tenant sees %+v", got)
			}
		})
	}
}

// TestAKindReadsOfTheSuperClusterWhatIsTheTenants: its stamp and the shared
// catalogue, and no kind that nobody syncs.
func TestAKindReadsOfTheSuperClusterWhatIsTheTenants(t *testing.T) {
	objects := superObjects("web")
	foreign := objects[1].DeepCopyObject().(*corev1.Pod)
	foreign.Name = "foreign"
	identity.Stamp(foreign, identity.Owner{TenantID: "tenant-2", Namespace: "shop", Name: "foreign", UID: "x"}, virtualCluster)
	hidden := class("no")
	hidden.Name = "hidden"
	super := newSide(append(objects, foreign, class("yes"), hidden)...)
	e, err := New(Options{Super: super, Kinds: []*kind.Translator{process().Translator(), catalogue().Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	tn := newTenant(t.Context(), fleet.NewTenant(newSide(), "tenant-1", virtualCluster, fleet.Facts{}))
	reader := superReader{engine: e, tenant: tn}
	cases := map[string]struct {
		object client.Object
		key    types.NamespacedName
		found  bool
	}{
		"its pod":           {&corev1.Pod{}, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, true},
		"another's pod":     {&corev1.Pod{}, types.NamespacedName{Namespace: superNamespaceName(), Name: "foreign"}, false},
		"a shared class":    {&storagev1.StorageClass{}, types.NamespacedName{Name: "fast"}, true},
		"a hidden class":    {&storagev1.StorageClass{}, types.NamespacedName{Name: "hidden"}, false},
		"what nobody syncs": {&corev1.Namespace{}, types.NamespacedName{Name: superNamespaceName()}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := reader.Get(t.Context(), tc.key, tc.object); (err == nil) != tc.found {
				t.Errorf("error %v", err)
			}
		})
	}
	var pods corev1.PodList
	if err := reader.List(t.Context(), &pods, client.MatchingLabels{tenancyv1alpha1.LabelTenantID: "tenant-2"}); err != nil || len(pods.Items) != 0 {
		t.Errorf("it lists %d pods of another tenant, error %v", len(pods.Items), err)
	}
	if err := reader.List(t.Context(), &pods, client.InNamespace(superNamespaceName())); err != nil || len(pods.Items) != 1 {
		t.Errorf("it lists %d pods, error %v", len(pods.Items), err)
	}
}
