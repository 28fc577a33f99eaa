// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// mirror makes a tenant's copy live as long as the super object that it shows:
// it is made, repaired, made again, and removed when there is nothing to see.
func (p *pass) mirror(ctx context.Context) error {
	t := p.tenantCluster
	p.env, p.superKey = p.newEnv(), p.request.NamespacedName
	cached, err := p.read(ctx, t.client, p.request.NamespacedName)
	if err != nil {
		return fmt.Errorf("reading the tenant's copy: %w", err)
	}
	p.tenant = p.controller.tenantWrites.latest(overlayKey{t.ID, p.request.NamespacedName}, cached)
	if p.tenant != nil && !isMirrored(p.tenant) {
		return nil // the tenant's own, which hides what is shared
	}
	super := p.controller.engine.options.Super
	subject, visible, err := p.look(ctx, super.GetClient(), super.GetAPIReader())
	switch {
	case err != nil:
		return err
	case !visible:
		return p.hide(ctx)
	case p.tenant != nil && !p.tenant.GetDeletionTimestamp().IsZero():
		return p.releaseCopy(ctx) // and made again when it is gone
	default:
		return p.showMirror(ctx, subject)
	}
}

// isMirrored reports whether a tenant's object is a copy that the syncer made.
func isMirrored(object client.Object) bool {
	return object.GetLabels()[tenancyv1alpha1.LabelManagedBy] == tenancyv1alpha1.ManagedBySyncer
}

// look reads the super object into p.super and says whether the tenant may see
// it, and what of the tenant's it is about. What the reader of a cache misses is
// asked from live.
func (p *pass) look(ctx context.Context, reader, live client.Reader) (kind.Subject, bool, error) {
	k := p.controller.kind
	var err error
	if p.super, err = p.read(ctx, reader, p.superKey); err != nil {
		return kind.Subject{}, false, fmt.Errorf("reading the super object: %w", err)
	}
	if p.super == nil || !k.Visible(p.env.Facts, p.super) {
		return kind.Subject{}, false, nil
	}
	if k.About == nil {
		return kind.Subject{}, true, nil
	}
	return p.lookAbout(ctx, reader, live)
}

// lookAbout finds out whose the object is that p.super tells about.
func (p *pass) lookAbout(ctx context.Context, reader, live client.Reader) (kind.Subject, bool, error) {
	about, key, uid := p.controller.kind.About(p.super)
	if key.Name == "" {
		return kind.Subject{}, false, nil // about nothing
	}
	var namespace corev1.Namespace
	object, err := found(&namespace, reader.Get(ctx, client.ObjectKey{Name: key.Namespace}, &namespace))
	if err != nil {
		return kind.Subject{}, false, fmt.Errorf("reading the super namespace: %w", err)
	}
	owner, stamped := identity.Of(&namespace)
	if object == nil || !stamped || owner.TenantID != p.tenantCluster.ID {
		return kind.Subject{}, false, nil
	}
	// What it is about may be gone; its namespace says still whose it was.
	subject := kind.Subject{NamespacedName: types.NamespacedName{Namespace: owner.Name, Name: key.Name}, Super: key}
	for _, side := range []client.Reader{reader, live} {
		object, err := found(about, side.Get(ctx, key, about))
		if err != nil {
			return kind.Subject{}, false, fmt.Errorf("reading what it is about: %w", err)
		}
		if object == nil || object.GetUID() != uid {
			continue
		}
		if owner, stamped := identity.Of(object); stamped && owner.TenantID == p.tenantCluster.ID {
			subject.NamespacedName = types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}
			subject.UID, subject.Object = owner.UID, object
		}
		break
	}
	return subject, true, nil
}

// showMirror creates the copy or repairs the difference.
func (p *pass) showMirror(ctx context.Context, subject kind.Subject) error {
	shown := p.controller.kind.New()
	if p.tenant == nil {
		if err := p.fill(shown, subject); err != nil {
			return err
		}
		err := p.tenantCluster.client.Create(ctx, shown)
		p.wroteTenant("create")
		if apierrors.IsAlreadyExists(err) {
			return kind.Wait("the tenant's cache")
		}
		if err != nil {
			return toTenant("showing to the tenant", err)
		}
		// The API server drops the status of what is created: it follows below.
		p.tenant = shown
		p.controller.tenantWrites.created(overlayKey{p.tenantCluster.ID, p.request.NamespacedName}, shown.DeepCopyObject().(client.Object))
	}
	shown = p.tenant.DeepCopyObject().(client.Object)
	if err := p.fill(shown, subject); err != nil {
		return err
	}
	if equal(p.tenant, shown) {
		return nil
	}
	err := p.patchTenant(ctx, shown)
	if apierrors.IsInvalid(err) {
		return p.removeCopy(ctx) // what cannot be changed is made again
	}
	return err
}

// fill writes the copy as it should be.
func (p *pass) fill(shown client.Object, subject kind.Subject) error {
	if err := p.controller.kind.Show(p.env, p.super, subject, shown); err != nil {
		return err
	}
	shown.SetName(p.request.Name)
	labels := shown.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[tenancyv1alpha1.LabelManagedBy] = tenancyv1alpha1.ManagedBySyncer
	shown.SetLabels(labels)
	return nil
}

// hide removes the copy of what the tenant cannot see any more. That is decided
// on a live read: a cache that shows nothing may only be late.
func (p *pass) hide(ctx context.Context) error {
	if p.tenant == nil {
		return nil
	}
	if !p.tenant.GetDeletionTimestamp().IsZero() {
		return p.releaseCopy(ctx)
	}
	live := p.controller.engine.options.Super.GetAPIReader()
	_, visible, err := p.look(ctx, live, live)
	if err != nil {
		return err
	}
	if visible {
		return kind.Wait("the super cluster's cache")
	}
	return p.removeCopy(ctx)
}

// removeCopy deletes the copy as it was read: not one that the tenant has made
// its own meanwhile.
func (p *pass) removeCopy(ctx context.Context) error {
	uid, version := p.tenant.GetUID(), p.tenant.GetResourceVersion()
	err := p.tenantCluster.client.Delete(ctx, p.tenant, client.Preconditions{UID: &uid, ResourceVersion: &version})
	p.wroteTenant("delete")
	p.controller.tenantWrites.forget(overlayKey{p.tenantCluster.ID, p.request.NamespacedName})
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("removing the tenant's copy: %w", err)
	}
	return nil
}

// releaseCopy lets a copy go that finalizers hold: nothing that it stands for
// lives in the tenant, so there is nothing to wait for.
func (p *pass) releaseCopy(ctx context.Context) error {
	if len(p.tenant.GetFinalizers()) == 0 {
		return nil
	}
	precondition := map[string]any{"uid": p.tenant.GetUID(), "resourceVersion": p.tenant.GetResourceVersion()}
	return p.sendTenantPatch(ctx, "patch", types.MergePatchType, map[string]any{"metadata": map[string]any{"finalizers": nil}}, precondition)
}

// subjectField names the index from a super namespace to the mirrored objects
// that are about something in it.
const subjectField = "virtualcluster.io/about-namespace"

// IndexSuper registers the indexes on the super cluster's cache that kinds rely
// on: mirrored objects by what they are about, and pods by their addresses. It
// is called before the cache is started.
func IndexSuper(ctx context.Context, indexer client.FieldIndexer, kinds []*kind.Translator) error {
	if err := indexer.IndexField(ctx, &corev1.Pod{}, kind.FieldPodIP, podIPs); err != nil {
		return fmt.Errorf("indexing pods by address: %w", err)
	}
	for _, k := range kinds {
		if !k.Mirror || k.About == nil {
			continue
		}
		err := indexer.IndexField(ctx, k.New(), subjectField, func(super client.Object) []string {
			if _, key, _ := k.About(super); key.Namespace != "" {
				return []string{key.Namespace}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("indexing what %s is about: %w", k.Name, err)
		}
	}
	return nil
}

// podIPs returns a pod's addresses.
func podIPs(object client.Object) []string {
	superPod, ok := object.(*corev1.Pod)
	if !ok {
		return nil
	}
	var addresses []string
	for _, ip := range superPod.Status.PodIPs {
		addresses = append(addresses, ip.IP)
	}
	return addresses
}
