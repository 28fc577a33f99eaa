// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// watchKubeconfigs follows the tenants' kubeconfig Secrets: one watch for all
// tenants, of the one name that they have everywhere, and of metadata only. What
// is in them is read when a tenant is connected.
func (f *Fleet) watchKubeconfigs(mgr ctrl.Manager) error {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	secrets, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			secret: {Field: fields.OneTermEqualSelector("metadata.name", tenancyv1alpha1.SecretSyncerKubeconfig)},
		},
	})
	if err != nil {
		return fmt.Errorf("making the cache of kubeconfig secrets: %w", err)
	}
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		informer, err := secrets.GetInformer(ctx, secret, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching kubeconfig secrets: %w", err)
		}
		if _, err := informer.AddEventHandler(f.kubeconfigHandler()); err != nil {
			return fmt.Errorf("watching kubeconfig secrets: %w", err)
		}
		return secrets.Start(ctx)
	}))
}

// kubeconfigHandler tells members of a Secret that has changed or appeared.
func (f *Fleet) kubeconfigHandler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(added any, isInInitialList bool) {
			if secret, ok := added.(client.Object); ok && !isInInitialList {
				f.KubeconfigChanged(secret.GetNamespace())
			}
		},
		UpdateFunc: func(before, after any) {
			secret, ok := after.(client.Object)
			if !ok {
				return
			}
			if known, ok := before.(client.Object); ok && known.GetResourceVersion() == secret.GetResourceVersion() {
				return // a resync
			}
			f.KubeconfigChanged(secret.GetNamespace())
		},
	}
}
