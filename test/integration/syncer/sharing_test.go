// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// TestSharing starts one super cluster that shares classes and one tenant.
func TestSharing(t *testing.T) {
	e := newEnvironment(t)
	e.share(t)
	tn := e.addTenant(t, "blue", "10.112.0.0/22")
	stop := e.startSyncer(t)
	e.waitSynced(t, tn)
	tn.waitServiceAccount(t, "default")
	t.Run("classes", func(t *testing.T) { testClasses(t, e, tn) })
	t.Run("a claim and its volume", func(t *testing.T) { testClaim(t, e, tn) })
	t.Run("claims that reach for others' volumes", func(t *testing.T) { testForeignVolumes(t, e, tn) })
	t.Run("network policies follow namespaces", func(t *testing.T) { testPeers(t, e, tn) })
	t.Run("an endpoint whose pod goes", func(t *testing.T) { testStaleEndpoint(t, e, tn) })
	t.Run("an address that is taken", func(t *testing.T) { testTakenAddress(t, e, tn) })
	t.Run("a class shared no more", func(t *testing.T) { testUnshare(t, e, tn) })
	t.Run("node ports crosswise", func(t *testing.T) { testCrosswiseNodePorts(t, e, tn, stop) })
}

var shared = map[string]string{"shared": "yes"}

// share makes the class share what is labelled, and such objects.
func (e *environment) share(t *testing.T) {
	t.Helper()
	e.setSharing(t, &metav1.LabelSelector{MatchLabels: shared})
	meta := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Labels: labels}
	}
	// Of this class there are volumes that were made beforehand: no test has a provisioner.
	fast := &storagev1.StorageClass{
		ObjectMeta: meta("fast", shared), Provisioner: "kubernetes.io/no-provisioner", Parameters: map[string]string{"server": "secret-server"},
		ReclaimPolicy: ptr.To(corev1.PersistentVolumeReclaimRetain), AllowVolumeExpansion: ptr.To(true),
	}
	fast.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	gold := fast.DeepCopy()
	gold.ObjectMeta = meta("platform-gold", nil)
	for _, object := range []client.Object{
		fast, gold,
		&schedulingv1.PriorityClass{ObjectMeta: meta("high", shared), Value: 1000, Description: "for what must not wait"},
		&schedulingv1.PriorityClass{ObjectMeta: meta("platform-high", nil), Value: 1000000},
		&networkingv1.IngressClass{ObjectMeta: meta("web", shared), Spec: networkingv1.IngressClassSpec{Controller: "example.com/secret-controller"}},
		&nodev1.RuntimeClass{ObjectMeta: meta("runc", nil), Handler: "runc"},
	} {
		must(t, e.superClient.Create(t.Context(), object))
	}
}

func (e *environment) setSharing(t *testing.T, selector *metav1.LabelSelector) {
	t.Helper()
	class := &tenancyv1alpha1.VirtualClusterClass{}
	must(t, e.superClient.Get(t.Context(), types.NamespacedName{Name: "default"}, class))
	before := class.DeepCopy()
	class.Spec.Sharing = tenancyv1alpha1.ClassSharing{StorageClasses: selector, PriorityClasses: selector, IngressClasses: selector}
	must(t, e.superClient.Patch(t.Context(), class, client.MergeFrom(before)))
}

// testClasses: each shared class is there, repaired and made again, and what is
// not shared is not; a namesake of the tenant's own is left alone.
func testClasses(t *testing.T, e *environment, tn *tenant) {
	for name, object := range map[string]client.Object{
		"fast": &storagev1.StorageClass{}, "high": &schedulingv1.PriorityClass{}, "web": &networkingv1.IngressClass{}, "gvisor": &nodev1.RuntimeClass{},
	} {
		is := func(ctx context.Context) error { return tn.client.Get(ctx, types.NamespacedName{Name: name}, object) }
		eventually(t, "class "+name, is)
		must(t, tn.client.Delete(t.Context(), object))
		uid := object.GetUID()
		eventually(t, "class "+name+" made again", func(ctx context.Context) error {
			if err := is(ctx); err != nil || object.GetUID() == uid {
				return fmt.Errorf("it is the old one, or %w", err)
			}
			return nil
		})
	}
	for name, object := range map[string]client.Object{
		"platform-gold": &storagev1.StorageClass{}, "platform-high": &schedulingv1.PriorityClass{}, "runc": &nodev1.RuntimeClass{},
	} {
		object.SetName(name)
		must(t, gone(t.Context(), tn.client, object))
	}
	fast := &storagev1.StorageClass{}
	must(t, tn.client.Get(t.Context(), types.NamespacedName{Name: "fast"}, fast))
	if fast.Provisioner != tenancyv1alpha1.SharedDriver || fast.Parameters != nil {
		t.Errorf("the tenant reads %+v", fast)
	}
	edited := fast.DeepCopy()
	edited.AllowVolumeExpansion = ptr.To(false)
	must(t, tn.client.Patch(t.Context(), edited, client.MergeFrom(fast)))
	eventually(t, "the edit taken back", func(ctx context.Context) error {
		if err := tn.client.Get(ctx, types.NamespacedName{Name: "fast"}, fast); err != nil || !*fast.AllowVolumeExpansion {
			return fmt.Errorf("expansion %v, %w", fast.AllowVolumeExpansion, err)
		}
		return nil
	})
	own := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "own"}, Provisioner: "example.com/own"}
	must(t, tn.client.Create(t.Context(), own))
	must(t, e.superClient.Create(t.Context(), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "own", Labels: shared}, Provisioner: "example.com/secret"}))
	consistently(t, "the tenant's own class", 500*time.Millisecond, func(ctx context.Context) error {
		var now storagev1.StorageClass
		if err := tn.client.Get(ctx, types.NamespacedName{Name: "own"}, &now); err != nil || now.ResourceVersion != own.ResourceVersion {
			return fmt.Errorf("it was written, %w", err)
		}
		return nil
	})
}

// superVolume makes a volume in the super cluster.
func (e *environment) superVolume(t *testing.T, name, class string) *corev1.PersistentVolume {
	t.Helper()
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, StorageClassName: class,
		PersistentVolumeSource: corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "secret-server", Path: "/secret"}},
		MountOptions:           []string{"secret-option"},
	}}
	must(t, e.superClient.Create(t.Context(), volume))
	return volume
}

func makeClaim(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
}

// testClaim: a claim without a class gets the shared default and a volume of the
// super cluster; both look in the tenant as they do anywhere, and tell nothing.
func testClaim(t *testing.T, e *environment, tn *tenant) {
	superVolume := e.superVolume(t, "pv-1", "fast")
	claim := makeClaim("data")
	claim.Annotations = map[string]string{"nfs.io/storage-path": "../.."}
	must(t, tn.client.Create(t.Context(), claim))
	key, volume := client.ObjectKeyFromObject(claim), &corev1.PersistentVolume{}
	eventually(t, "the claim bound", func(ctx context.Context) error {
		if err := errors.Join(tn.client.Get(ctx, key, claim), tn.client.Get(ctx, types.NamespacedName{Name: "pv-1"}, volume)); err != nil {
			return err
		}
		if claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName != "pv-1" || volume.Status.Phase != corev1.VolumeBound {
			return fmt.Errorf("claim %+v, volume %+v", claim, volume)
		}
		return nil
	})
	ref := volume.Spec.ClaimRef
	if ref.Namespace != "default" || ref.Name != "data" || ref.UID != claim.UID || volume.Spec.NFS != nil || volume.Spec.MountOptions != nil {
		t.Errorf("the tenant sees %+v", volume.Spec)
	}
	var superClaim corev1.PersistentVolumeClaim
	must(t, e.superClient.Get(t.Context(), tn.superKey("default", "data"), &superClaim))
	if _, crossed := superClaim.Annotations["nfs.io/storage-path"]; crossed {
		t.Error("an annotation that a provisioner could read crossed")
	}
	must(t, tn.client.Delete(t.Context(), volume))
	eventually(t, "the volume made again", func(ctx context.Context) error {
		var again corev1.PersistentVolume
		if err := tn.client.Get(ctx, types.NamespacedName{Name: "pv-1"}, &again); err != nil || again.UID == volume.UID || again.Status.Phase != corev1.VolumeBound {
			return fmt.Errorf("volume %+v, %w", again.Status, err)
		}
		return nil
	})
	must(t, tn.client.Delete(t.Context(), claim))
	eventually(t, "the volume released", func(ctx context.Context) error {
		if err := tn.client.Get(ctx, types.NamespacedName{Name: "pv-1"}, volume); err != nil || volume.Status.Phase != corev1.VolumeReleased {
			return fmt.Errorf("volume %+v, %w", volume.Status, err)
		}
		return nil
	})
	if volume.Spec.ClaimRef.UID != claim.UID {
		t.Errorf("the released volume is %+v's", volume.Spec.ClaimRef)
	}
	must(t, e.superClient.Delete(t.Context(), superVolume))
	eventually(t, "the volume gone", func(ctx context.Context) error { return gone(ctx, tn.client, volume) })
}

// testForeignVolumes: whatever a tenant writes in its own API, its claim gets no
// volume that was not made for it.
func testForeignVolumes(t *testing.T, e *environment, tn *tenant) {
	e.superVolume(t, "platform-volume", "platform-gold")
	classless := e.superVolume(t, "classless", "")
	// The tenant's own class and volume of the platform's names, with the mark of a copy.
	mark := map[string]string{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedBySyncer}
	must(t, tn.client.Create(t.Context(), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "platform-gold", Labels: mark}, Provisioner: "x"}))
	forged := classless.DeepCopy()
	forged.ObjectMeta = metav1.ObjectMeta{Name: "platform-volume"}
	forged.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "gold"}
	must(t, tn.client.Create(t.Context(), forged))
	claims := map[string]func(*corev1.PersistentVolumeClaim){
		"gold":      func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("platform-gold") },
		"classless": func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("") },
		"named":     func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "platform-volume" },
		// The old way to name a class, which goes before the new one where volumes are bound.
		"annotated": func(c *corev1.PersistentVolumeClaim) {
			c.Annotations = map[string]string{corev1.BetaStorageClassAnnotation: "platform-gold"}
		},
	}
	for name, change := range claims {
		claim := makeClaim(name)
		change(claim)
		must(t, tn.client.Create(t.Context(), claim))
		field := "spec.storageClassName"
		if name == "named" {
			field = "spec.volumeName"
		}
		eventually(t, "the refusal of "+name, func(ctx context.Context) error { return oneEventAbout(ctx, tn, claim, field) })
		must(t, gone(t.Context(), e.superClient, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
			Namespace: tn.names.Namespace("default"), Name: name,
		}}))
	}
	for _, name := range []string{"platform-volume", "classless"} {
		var volume corev1.PersistentVolume
		must(t, e.superClient.Get(t.Context(), types.NamespacedName{Name: name}, &volume))
		if volume.Spec.ClaimRef != nil {
			t.Errorf("volume %s was bound to %+v", name, volume.Spec.ClaimRef)
		}
	}
}

// testUnshare: what is shared no more goes, and comes again.
func testUnshare(t *testing.T, e *environment, tn *tenant) {
	e.setSharing(t, nil)
	fast := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}
	eventually(t, "the class gone", func(ctx context.Context) error { return gone(ctx, tn.client, fast) })
	e.setSharing(t, &metav1.LabelSelector{MatchLabels: shared})
	eventually(t, "the class back", func(ctx context.Context) error {
		return tn.client.Get(ctx, types.NamespacedName{Name: "fast"}, fast)
	})
}
