// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"maps"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// attach keeps the Secret that the super object needs beside it. It returns
// when the first token in it must be renewed.
func (p *pass) attach(ctx context.Context) (time.Duration, error) {
	k := p.controller.kind
	if k.Attach == nil || p.super == nil || k.Finished(p.tenant) {
		return 0, nil
	}
	attachment, err := k.Attach(ctx, p.env, p.tenant, p.super)
	if err != nil || attachment == nil {
		return 0, err
	}
	current, err := p.attached(ctx, attachment.Name)
	if err != nil {
		return 0, err
	}
	data := maps.Clone(attachment.Data)
	if data == nil {
		data = map[string][]byte{}
	}
	var next time.Duration
	now := p.controller.engine.options.Clock.Now()
	for key, spec := range attachment.Tokens {
		token, renew, err := p.token(ctx, spec, current.Data[key], now)
		if err != nil {
			return 0, err
		}
		data[key] = token
		if wait := max(renew.Sub(now), time.Second); next == 0 || wait < next {
			next = wait
		}
	}
	return next, p.writeAttachment(ctx, current, attachment.Name, data)
}

// attached returns the Secret as it is, or an empty one.
func (p *pass) attached(ctx context.Context, name string) (*corev1.Secret, error) {
	key := types.NamespacedName{Namespace: p.superKey.Namespace, Name: name}
	var secret corev1.Secret
	cached, err := found(&secret, p.controller.engine.options.Super.GetClient().Get(ctx, key, &secret))
	if err != nil {
		return nil, fmt.Errorf("reading the attached secret: %w", err)
	}
	latest, ok := p.controller.attachmentWrites.latest(overlayKey{p.tenantCluster.ID, key}, cached).(*corev1.Secret)
	if !ok {
		return &corev1.Secret{}, nil
	}
	return latest, nil
}

// token returns a token that is fresh enough and when to renew it.
func (p *pass) token(ctx context.Context, spec kind.Token, held []byte, now time.Time) ([]byte, time.Time, error) {
	if renew, ok := renewal(held); ok && now.Before(renew) {
		return held, renew, nil
	}
	tokenRequest := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: spec.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: spec.Pod, UID: spec.PodUID},
	}}
	if spec.Audience != "" {
		tokenRequest.Spec.Audiences = []string{spec.Audience}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: spec.Namespace, Name: spec.ServiceAccount}}
	err := p.tenantCluster.client.SubResource("token").Create(ctx, account, tokenRequest)
	p.wroteTenant("create-token")
	if apierrors.IsNotFound(err) {
		return nil, time.Time{}, kind.Wait("service account %s", spec.ServiceAccount)
	}
	if err != nil {
		return nil, time.Time{}, toTenant("requesting a token of service account "+spec.ServiceAccount, err)
	}
	token := []byte(tokenRequest.Status.Token)
	renew, ok := renewal(token)
	if !ok {
		renew = renewAt(now, tokenRequest.Status.ExpirationTimestamp.Time)
	}
	return token, renew, nil
}

// writeAttachment creates or patches the Secret, owned by the super object so
// that it goes with it.
func (p *pass) writeAttachment(ctx context.Context, current *corev1.Secret, name string, data map[string][]byte) error {
	gvk, err := apiutil.GVKForObject(p.super, p.controller.engine.options.Super.GetScheme())
	if err != nil {
		return err
	}
	desired := current.DeepCopy()
	desired.Namespace, desired.Name = p.superKey.Namespace, name
	desired.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Name: p.super.GetName(), UID: p.super.GetUID(),
	}}
	desired.Data, desired.Type = data, corev1.SecretTypeOpaque
	identity.Stamp(desired, p.identity(), p.tenantCluster.VirtualCluster)
	superClient := p.controller.engine.options.Super.GetClient()
	key := overlayKey{p.tenantCluster.ID, client.ObjectKeyFromObject(desired)}
	remember := p.controller.attachmentWrites.changed
	switch {
	case current.UID == "":
		remember = p.controller.attachmentWrites.created
		err = superClient.Create(ctx, desired)
		p.wroteSuper("create-attachment")
		if apierrors.IsAlreadyExists(err) {
			return kind.Wait("the super cluster's cache")
		}
	case equal(current, desired):
		return nil
	default:
		if owner, ok := identity.Of(current); !ok || owner.TenantID != p.tenantCluster.ID {
			return kind.Wait("a secret that is somebody else's to go")
		}
		err = superClient.Patch(ctx, desired, client.MergeFromWithOptions(current, client.MergeFromWithOptimisticLock{}))
		p.wroteSuper("patch-attachment")
	}
	if isNamespaceLate(err) {
		return kind.Wait("the namespace")
	}
	if err != nil {
		p.refusal = err
		return fmt.Errorf("writing the attached secret: %w", err)
	}
	remember(key, desired)
	return nil
}
