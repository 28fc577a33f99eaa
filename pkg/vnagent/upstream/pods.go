// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
)

// ErrNotFound is returned by Find for a pod that the tenant does not have in
// the super cluster. It has no detail, so that a pod of somebody else and no
// pod at all look the same.
var ErrNotFound = errors.New("the pod does not exist")

// Pods finds super pods and leads requests to them. It is safe for concurrent use.
type Pods struct {
	superReader client.Reader
	transport   http.RoundTripper
	server      *url.URL
	// dialsPodIP are the RuntimeClasses whose pods are port-forwarded by their IP.
	dialsPodIP map[string]bool
	dial       dialFunc
}

// Options configures NewPods.
type Options struct {
	// PodIPRuntimeClasses are the RuntimeClasses whose pods' ports are reached
	// at the pod IP instead of through the super cluster's portforward
	// subresource: sandboxes with a network stack of their own, whose ports the
	// host's network namespace does not show.
	PodIPRuntimeClasses []string
}

// NewPods returns a Pods for the super cluster of config. superReader reads
// pods; it must read live, because a cached stamp may be of a pod that has
// been replaced.
func NewPods(config *rest.Config, superReader client.Reader, options Options) (*Pods, error) {
	transport, server, err := newTransport(config)
	if err != nil {
		return nil, err
	}
	p := &Pods{
		superReader: superReader, transport: transport, server: server,
		dialsPodIP: map[string]bool{}, dial: dialPod,
	}
	for _, class := range options.PodIPRuntimeClasses {
		p.dialsPodIP[class] = true
	}
	return p, nil
}

// Find returns the super pod of a tenant's pod, or ErrNotFound. namespace and
// name must be legal names: the caller has checked them.
func (p *Pods) Find(ctx context.Context, tenant names.Tenant, namespace, name string) (*Pod, error) {
	superPod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: tenant.Namespace(namespace), Name: name}
	if err := p.superReader.Get(ctx, key, superPod); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, ErrNotFound
		}
		return nil, fmt.Errorf("reading the super pod: %w", err)
	}
	owner, stamped := identity.Of(superPod)
	if !stamped || owner.TenantID != tenant.ID || owner.Namespace != namespace || owner.Name != name {
		return nil, ErrNotFound
	}
	return &Pod{pods: p, superPod: superPod, tenantNamespace: namespace}, nil
}

// Pod is a super pod that was found to be a tenant's.
type Pod struct {
	pods            *Pods
	superPod        *corev1.Pod
	tenantNamespace string
}

// UID returns the super pod's UID, for the audit log.
func (p *Pod) UID() types.UID { return p.superPod.UID }
