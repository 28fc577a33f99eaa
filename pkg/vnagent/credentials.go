// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// credentials reads what vc-manager leaves for the agent about each tenant. It
// reads live, one Secret by name: the agent holds no cache of Secrets and needs
// no right to list them.
type credentials struct {
	superReader client.Reader
}

// kubeconfig returns the agent's kubeconfig for a tenant, nil while there is none.
func (c credentials) kubeconfig(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) ([]byte, error) {
	return c.read(ctx, virtualCluster, tenancyv1alpha1.KeyKubeconfig)
}

// authority returns the CA of a tenant's kubelet clients, nil while there is none.
func (c credentials) authority(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) ([]byte, error) {
	return c.read(ctx, virtualCluster, tenancyv1alpha1.KeyKubeletClientCA)
}

func (c credentials) read(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, key string) ([]byte, error) {
	controlPlane := virtualCluster.Status.ControlPlane
	if controlPlane == nil || controlPlane.Namespace == "" {
		return nil, nil
	}
	name := types.NamespacedName{Namespace: controlPlane.Namespace, Name: tenancyv1alpha1.SecretAgentKubeconfig}
	secret := &corev1.Secret{}
	if err := c.superReader.Get(ctx, name, secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	// A Secret of this name in a namespace that is not this tenant's control
	// plane's would make one tenant stand for another.
	if secret.Labels[tenancyv1alpha1.LabelTenantID] != string(virtualCluster.UID) ||
		secret.Labels[tenancyv1alpha1.LabelManagedBy] != tenancyv1alpha1.ManagedByManager {
		return nil, fmt.Errorf("secret %s does not belong to this VirtualCluster", name)
	}
	if len(secret.Data[key]) == 0 {
		return nil, nil
	}
	return secret.Data[key], nil
}
