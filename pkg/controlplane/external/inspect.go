// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"regexp"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Facts are what a cluster says about itself.
type Facts struct {
	// ID is the UID of its namespace kube-system, which no two clusters share.
	ID string
	// Version is its Kubernetes version, for example v1.37.1.
	Version string
	// ServiceCIDRs are its ranges of ClusterIPs. None means that it has no API
	// for them (before Kubernetes 1.33); ServiceIP then is all that is known.
	ServiceCIDRs []netip.Prefix
	// ServiceIP is the ClusterIP of default/kubernetes: the first of the range.
	ServiceIP netip.Addr
}

// ready is what an API server that is ready answers at /readyz.
const ready = "ok"

// Forms of what a server says that is stored or shown.
var (
	uidForm     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	versionForm = regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}`)
)

// Inspect asks the server what the platform must know, and whether the
// credentials are an administrator's. The error is a *RefusalError.
func (c *Cluster) Inspect(ctx context.Context) (*Facts, error) {
	facts := &Facts{}
	for _, ask := range []func(context.Context, *Facts) error{c.askReady, c.askRights, c.askID, c.askVersion, c.askServices} {
		err := ask(ctx, facts)
		var refusal *RefusalError
		if errors.As(err, &refusal) {
			return nil, refusal
		}
		if err != nil {
			return nil, c.refusal(err)
		}
	}
	return facts, nil
}

func (c *Cluster) askReady(ctx context.Context, _ *Facts) error {
	answer, err := c.raw(ctx, http.MethodGet, "/readyz", nil)
	if err == nil && string(answer) != ready {
		return errNonsense
	}
	return err
}

// askRights finds out whether the credentials may do everything: the syncer
// reads and writes most kinds, and only who has a right can grant it to vn-agent.
func (c *Cluster) askRights(ctx context.Context, _ *Facts) error {
	review := &authorizationv1.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SelfSubjectAccessReview"},
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Version: "*", Resource: "*"},
		},
	}
	answer := &authorizationv1.SelfSubjectAccessReview{}
	if err := c.post(ctx, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, answer); err != nil {
		return err
	}
	if !answer.Status.Allowed {
		return &RefusalError{tenancyv1alpha1.ReasonCredentialsRejected,
			"the credentials are not an administrator's: bind their user to the ClusterRole cluster-admin"}
	}
	return nil
}

func (c *Cluster) askID(ctx context.Context, facts *Facts) error {
	namespace := &corev1.Namespace{}
	if err := c.get(ctx, "/api/v1/namespaces/kube-system", namespace); err != nil {
		return err
	}
	facts.ID = string(namespace.UID)
	if !uidForm.MatchString(facts.ID) {
		return errNonsense
	}
	return nil
}

func (c *Cluster) askVersion(ctx context.Context, facts *Facts) error {
	info := &version.Info{}
	if err := c.get(ctx, "/version", info); err != nil {
		return err
	}
	if facts.Version = versionForm.FindString(info.GitVersion); facts.Version == "" {
		return errNonsense
	}
	return nil
}

func (c *Cluster) askServices(ctx context.Context, facts *Facts) error {
	service := &corev1.Service{}
	if err := c.get(ctx, "/api/v1/namespaces/default/services/kubernetes", service); err != nil {
		return err
	}
	address, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return errNonsense
	}
	facts.ServiceIP = address
	ranges := &networkingv1.ServiceCIDR{}
	err = c.get(ctx, "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", ranges)
	var status statusError
	if errors.As(err, &status) && status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for _, text := range ranges.Spec.CIDRs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || len(facts.ServiceCIDRs) == 2 {
			return errNonsense
		}
		facts.ServiceCIDRs = append(facts.ServiceCIDRs, prefix.Masked())
	}
	return nil
}
