// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// nodeAddress is the IP address that virtual nodes show. A ClusterIP never
// changes, so it is looked up once.
type nodeAddress struct {
	superReader client.Reader
	namespace   string

	mu      sync.Mutex
	address string
}

func (a *nodeAddress) get(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.address != "" {
		return a.address, nil
	}
	service := &corev1.Service{}
	name := types.NamespacedName{Namespace: a.namespace, Name: tenancyv1alpha1.AgentServiceName}
	if err := a.superReader.Get(ctx, name, service); err != nil {
		return "", fmt.Errorf("reading Service %s: %w", name, err)
	}
	if service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone {
		return "", errors.New("Service " + name.String() + " has no ClusterIP: set nodeAddress")
	}
	a.address = service.Spec.ClusterIP
	return a.address, nil
}
