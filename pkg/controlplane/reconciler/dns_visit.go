// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/addon"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/dns"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

const (
	// managerUser is the name by which a tenant's API server knows vc-manager.
	managerUser = "virtualcluster:vc-manager"
	// managerTTL is how long a certificate of that name is valid: one visit, and
	// room for clocks that differ.
	managerTTL = 10 * time.Minute
	// dnsFieldManager owns the condition DNSReady.
	dnsFieldManager = "vc-manager-dns"
)

// ensure makes the tenant's DNS server be as the class says and returns what
// DNSReady should be. Trouble of the tenant's is no error but a condition.
func (d *DNS) ensure(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) (metav1.Condition, error) {
	class, err := d.getClass(ctx, virtualCluster)
	if apierrors.IsNotFound(err) {
		return waitingFor(tenancyv1alpha1.ConditionClassResolved), nil
	}
	if err != nil {
		return metav1.Condition{}, fmt.Errorf("getting class %q: %w", virtualCluster.Spec.ClassName, err)
	}
	if externalRef(virtualCluster) != nil {
		return notReady(tenancyv1alpha1.ReasonDisabled, "an external control plane brings its own DNS"), nil
	}
	reported := meta.FindStatusCondition(virtualCluster.Status.Conditions, tenancyv1alpha1.ConditionDNSReady)
	wasDisabled := reported != nil && reported.Reason == tenancyv1alpha1.ReasonDisabled
	if class.Spec.DNS.Disabled && wasDisabled {
		return disabledBy(class), nil
	}
	if condition := unmet(virtualCluster); condition != "" {
		return waitingFor(condition), nil
	}
	if !class.Spec.DNS.Disabled && wasDisabled {
		// Said before anything is made, so that "Disabled" always means that nothing is there.
		if err := d.report(ctx, virtualCluster, notReady(tenancyv1alpha1.ReasonProvisioning, "it is being made")); err != nil {
			return metav1.Condition{}, err
		}
	}
	return d.visit(ctx, virtualCluster, class)
}

// unmet returns the condition that must be True before a visit, or nothing.
// Before pods can run, a DNS server would only compete with what they wait for.
func unmet(virtualCluster *tenancyv1alpha1.VirtualCluster) string {
	for _, condition := range []string{tenancyv1alpha1.ConditionNetworkAllocated, tenancyv1alpha1.ConditionControlPlaneReady, tenancyv1alpha1.ConditionSyncerReady} {
		if !meta.IsStatusConditionTrue(virtualCluster.Status.Conditions, condition) {
			return condition
		}
	}
	if virtualCluster.Status.Network == nil {
		return tenancyv1alpha1.ConditionNetworkAllocated
	}
	return ""
}

// visit goes to the tenant, for a bounded time.
func (d *DNS) visit(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, class *tenancyv1alpha1.VirtualClusterClass) (metav1.Condition, error) {
	tenant, objects, err := d.prepare(ctx, virtualCluster, class)
	if err != nil {
		return metav1.Condition{}, err
	}
	defer tenant.Close()
	ctx, cancel := context.WithTimeout(ctx, addon.VisitTimeout)
	defer cancel()
	if class.Spec.DNS.Disabled {
		if err := tenant.Remove(ctx, objects); err != nil {
			return trouble(err), nil
		}
		return disabledBy(class), nil
	}
	live, err := tenant.Keep(ctx, objects)
	if err != nil {
		return trouble(err), nil
	}
	return availability(live), nil
}

// prepare returns a way into the tenant and what should be there.
func (d *DNS) prepare(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, class *tenancyv1alpha1.VirtualClusterClass) (*addon.Tenant, []client.Object, error) {
	slice, err := netip.ParsePrefix(virtualCluster.Status.Network.ServiceCIDR)
	if err != nil {
		return nil, nil, fmt.Errorf("parsing status.network.serviceCIDR: %w", err)
	}
	objects, err := dns.Spec{ServiceCIDR: slice, Class: class.Spec.DNS}.Objects()
	if err != nil {
		return nil, nil, err
	}
	spec := component.Spec{
		TenantID:       virtualCluster.UID,
		VirtualCluster: types.NamespacedName{Namespace: virtualCluster.Namespace, Name: virtualCluster.Name},
	}
	service, files := &corev1.Service{}, &corev1.Secret{}
	for desired, live := range map[client.Object]client.Object{spec.Service(): service, spec.PKI(nil): files} {
		found, err := getOwned(ctx, d.Client, d.APIReader, desired, live)
		if err == nil && !found {
			err = fmt.Errorf("there is no %s", describe(desired))
		}
		if err != nil {
			return nil, nil, err
		}
	}
	found, err := listGenerations(ctx, d.Client, spec)
	if err != nil {
		return nil, nil, err
	}
	// The control plane accepts what signs by its files, also in a rotation.
	signing, ok := found[found.signing(files.Data)]
	if !ok {
		return nil, nil, fmt.Errorf("no Secret %s has the authorities that sign in %s", component.SecretAuthorities, describe(spec.PKI(nil)))
	}
	tenant, err := d.connect(signing, pki.ServerBundle(found.of(found.numbers())), service.Spec.ClusterIP)
	return tenant, objects, err
}

// connect certifies vc-manager for one visit. It is an administrator there: only
// one may write roles, and any lesser right the tenant could take away. The
// certificate is kept nowhere.
func (d *DNS) connect(authorities *pki.Authorities, serverCA []byte, clusterIP string) (*addon.Tenant, error) {
	certPEM, keyPEM, err := authorities.PlatformClient.Issue(pki.Leaf{
		CommonName: managerUser, Organizations: []string{"system:masters"},
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, TTL: managerTTL,
	}, d.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("certifying %q: %w", managerUser, err)
	}
	return addon.Connect(addon.Access{
		Address: net.JoinHostPort(clusterIP, strconv.Itoa(tenancyv1alpha1.ControlPlanePort)),
		CA:      serverCA, ClientCert: certPEM, ClientKey: keyPEM, Dial: d.Dial,
	})
}

// report writes the condition if it is another than before, and then tells people.
func (d *DNS) report(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, state metav1.Condition) error {
	before := append([]metav1.Condition(nil), virtualCluster.Status.Conditions...)
	state.ObservedGeneration = virtualCluster.Generation
	state.Message = cut(state.Message, maxMessage)
	state.LastTransitionTime = metav1.NewTime(d.Clock.Now()).Rfc3339Copy()
	if !meta.SetStatusCondition(&virtualCluster.Status.Conditions, state) {
		return nil
	}
	now := meta.FindStatusCondition(virtualCluster.Status.Conditions, state.Type)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(now)
	if err != nil {
		return fmt.Errorf("encoding the condition: %w", err)
	}
	configuration := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"namespace": virtualCluster.Namespace, "name": virtualCluster.Name, "uid": string(virtualCluster.UID)},
		"status":   map[string]any{"conditions": []any{content}},
	}}
	configuration.SetGroupVersionKind(tenancyv1alpha1.GroupVersion.WithKind("VirtualCluster"))
	err = d.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(configuration),
		client.FieldOwner(dnsFieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying the condition %s: %w", state.Type, err)
	}
	recordTransitions(ctx, d.Recorder, virtualCluster, before, virtualCluster.Status.Conditions)
	return nil
}

func notReady(reason, message string) metav1.Condition {
	return metav1.Condition{Type: tenancyv1alpha1.ConditionDNSReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

func disabledBy(class *tenancyv1alpha1.VirtualClusterClass) metav1.Condition {
	return notReady(tenancyv1alpha1.ReasonDisabled, fmt.Sprintf("class %q gives no DNS", class.Name))
}

// waitingFor is Unknown: what was made before may well work.
func waitingFor(condition string) metav1.Condition {
	out := notReady(tenancyv1alpha1.ReasonWaiting, "waiting for condition "+condition)
	out.Status = metav1.ConditionUnknown
	return out
}

// trouble returns the condition for an error of a visit.
func trouble(err error) metav1.Condition {
	reason := tenancyv1alpha1.ReasonError
	switch {
	case errors.Is(err, addon.ErrUnreachable):
		reason = tenancyv1alpha1.ReasonTenantUnreachable
	case errors.Is(err, addon.ErrConflict):
		reason = tenancyv1alpha1.ReasonConflict
	case errors.Is(err, addon.ErrRefused):
		reason = tenancyv1alpha1.ReasonRefused
	}
	return notReady(reason, err.Error())
}

// availability reads from the Deployment, the last of the objects, whether the
// server runs as asked for. A tenant can forge that, about itself alone.
func availability(live []*unstructured.Unstructured) metav1.Condition {
	deployment := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live[len(live)-1].Object, deployment); err != nil {
		return notReady(tenancyv1alpha1.ReasonError, "the Deployment cannot be read")
	}
	status := deployment.Status
	if status.ObservedGeneration < deployment.Generation || status.AvailableReplicas == 0 {
		return notReady(tenancyv1alpha1.ReasonProvisioning, fmt.Sprintf(
			"no pod of Deployment %s/%s is available", deployment.Namespace, deployment.Name))
	}
	return metav1.Condition{Type: tenancyv1alpha1.ConditionDNSReady, Status: metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady}
}
