// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// TestKubeletAuthority: an authority stands for a virtual cluster that it
// endorses, and for one at most: by it vn-agent tells tenants from each other.
func TestKubeletAuthority(t *testing.T) {
	now := time.Now()
	authority, err := pki.NewAuthority("kubelet-clients", now)
	if err != nil {
		t.Fatal(err)
	}
	ca := authority.CertPEM()
	proof, _, err := authority.Issue(pki.Leaf{CommonName: "team/shop", TTL: time.Hour, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, now)
	if err != nil {
		t.Fatal(err)
	}
	virtualCluster := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "shop", UID: "shop"}}
	agents := func(tenant types.UID, name string) *corev1.Secret {
		spec := component.Spec{TenantID: tenant, VirtualCluster: types.NamespacedName{Namespace: "team", Name: name}}
		return spec.AgentKubeconfig(nil, ca)
	}
	forged := agents("other", "other")
	forged.Labels[tenancyv1alpha1.LabelManagedBy] = "somebody"
	cases := map[string]struct {
		ca, proof []byte
		present   *corev1.Secret
		why       string // empty if it is believed
	}{
		"endorsed":                  {ca, proof, nil, ""},
		"its own already":           {ca, proof, agents("shop", "shop"), ""},
		"somebody says he has it":   {ca, proof, forged, ""},
		"none":                      {nil, proof, nil, "has no key"},
		"not endorsed":              {ca, nil, nil, "the proof is missing"},
		"another virtual cluster's": {ca, proof, agents("other", "other"), "already stands for virtual cluster team/other"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			builder := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme)
			if tc.present != nil {
				builder = builder.WithObjects(tc.present.DeepCopy())
			}
			r := &Reconciler{Client: builder.Build(), Clock: clocktesting.NewFakePassiveClock(now)}
			s := newScope(virtualCluster.DeepCopy())
			s.visit = &visit{secret: &corev1.Secret{Data: map[string][]byte{
				tenancyv1alpha1.KeyKubeletClientCA: tc.ca, tenancyv1alpha1.KeyKubeletClientProof: tc.proof,
			}}}
			got, why, err := r.kubeletAuthority(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if believed := bytes.Equal(got, ca); believed != (tc.why == "") || !believed && got != nil || !strings.Contains(why, tc.why) || (why == "") != (tc.why == "") {
				t.Errorf("kubeletAuthority = %q, %q; want it to say %q", got, why, tc.why)
			}
		})
	}
}

// TestOwnKubeconfigIsNotRead: what the platform hands out is no way in of the
// user's, or what it once wrote there would be kept for good.
func TestOwnKubeconfigIsNotRead(t *testing.T) {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "shop", UID: "shop"}}
	spec := newScope(virtualCluster).spec
	own := spec.UserKubeconfig([]byte("x"))
	given := own.DeepCopy()
	given.Name = "given"
	r := &Reconciler{APIReader: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(own, given).Build()}
	for name, want := range map[string]string{own.Name: "the platform itself writes", given.Name: "", "missing": "no such Secret"} {
		virtualCluster.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{External: &tenancyv1alpha1.ExternalControlPlane{
			KubeconfigSecretRef: tenancyv1alpha1.KubeconfigSecretReference{Name: name},
		}}
		_, err := r.readKubeconfig(t.Context(), newScope(virtualCluster))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("readKubeconfig of %s: %v, want %q", name, err, want)
		}
	}
}
