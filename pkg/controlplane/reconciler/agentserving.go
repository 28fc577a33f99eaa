// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

const (
	// retryAgentService is how soon vn-agent's Service is looked for again;
	// vn-agent does not start without the certificate.
	retryAgentService = time.Second
	// resyncAgentServing is how often the certificate is looked at.
	resyncAgentServing = time.Minute
)

// AgentServing keeps the authority and the serving certificate of vn-agent,
// which every tenant's API server calls as its kubelet. It is the platform's,
// not a tenant's, so it has a controller of its own with one single request.
type AgentServing struct {
	// Client and APIReader are as in Reconciler.
	Client    client.Client
	APIReader client.Reader
	// Namespace is where vn-agent runs.
	Namespace string
	// Clock tells the time of certificates.
	Clock clock.PassiveClock
	// Metrics tells when certificates end. Nil tells nobody.
	Metrics *Metrics
}

// CA returns the authority's certificate (PEM) and makes the authority if
// there is none. It is safe for concurrent use: one is made.
func (a *AgentServing) CA(ctx context.Context) ([]byte, error) {
	authority, err := a.authority(ctx)
	if err != nil {
		return nil, err
	}
	return authority.CertPEM(), nil
}

func (a *AgentServing) authority(ctx context.Context) (*pki.Authority, error) {
	name := component.AgentServingCA(a.Namespace, nil, nil)
	secret, err := createOnce(ctx, a.Client, a.APIReader, name, func() (*corev1.Secret, error) {
		authority, err := pki.NewAuthority("vc-"+tenancyv1alpha1.SecretAgentServingCA, a.Clock.Now())
		if err != nil {
			return nil, err
		}
		return component.AgentServingCA(a.Namespace, authority.CertPEM(), authority.KeyPEM()), nil
	})
	if err != nil {
		return nil, err
	}
	authority, err := pki.ParseAuthority(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", describe(name), err)
	}
	return authority, nil
}

// Reconcile implements reconcile.Reconciler: it makes the certificate as soon
// as the Service has its ClusterIP, and renews it.
func (a *AgentServing) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	authority, err := a.authority(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	service := &corev1.Service{}
	// Read live: the cache holds only what vc-manager made.
	err = a.APIReader.Get(ctx, types.NamespacedName{Namespace: a.Namespace, Name: tenancyv1alpha1.AgentServiceName}, service)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("getting Service %s/%s: %w", a.Namespace, tenancyv1alpha1.AgentServiceName, err)
	}
	// A Service that is not there yet is empty: it has no address either.
	ip := net.ParseIP(service.Spec.ClusterIP)
	if ip == nil {
		return ctrl.Result{RequeueAfter: retryAgentService}, nil
	}
	existing := &corev1.Secret{}
	if _, err := getOwned(ctx, a.Client, a.APIReader, component.AgentServing(a.Namespace, nil, nil, nil), existing); err != nil {
		return ctrl.Result{}, err
	}
	certPEM, keyPEM, err := authority.Ensure(existing.Data[corev1.TLSCertKey], existing.Data[corev1.TLSPrivateKeyKey],
		pki.Leaf{
			CommonName: tenancyv1alpha1.AgentServiceName,
			DNSNames:   component.AgentDNSNames(a.Namespace),
			IPs:        []net.IP{ip},
			Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}, a.Clock.Now())
	if err != nil {
		return ctrl.Result{}, err
	}
	desired := component.AgentServing(a.Namespace, certPEM, keyPEM, authority.CertPEM())
	if err := apply(ctx, a.Client, a.APIReader, desired, &corev1.Secret{}); err != nil {
		return ctrl.Result{}, err
	}
	serving, err := pki.ParseCertificate(certPEM)
	if err != nil {
		return ctrl.Result{}, err
	}
	a.Metrics.set(types.NamespacedName{Namespace: a.Namespace}, map[string]*x509.Certificate{
		tenancyv1alpha1.SecretAgentServing: serving, tenancyv1alpha1.SecretAgentServingCA: authority.Certificate(),
	})
	return ctrl.Result{RequeueAfter: resyncAgentServing}, nil
}

// SetupWithManager adds the controller to mgr. Call it once.
func (a *AgentServing) SetupWithManager(mgr ctrl.Manager) error {
	once := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{
			Namespace: a.Namespace, Name: tenancyv1alpha1.SecretAgentServing,
		}})
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("agent-serving").
		WatchesRawSource(once).
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](backoffBase, backoffMax),
		}).
		Complete(a)
}
