// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func TestCredentials(t *testing.T) {
	secret := func(tenantID, managedBy string, data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "vcp-demo", Name: tenancyv1alpha1.SecretAgentKubeconfig, Labels: map[string]string{
				tenancyv1alpha1.LabelTenantID: tenantID, tenancyv1alpha1.LabelManagedBy: managedBy,
			}},
			Data: data,
		}
	}
	full := map[string][]byte{tenancyv1alpha1.KeyKubeconfig: []byte("kubeconfig"), tenancyv1alpha1.KeyKubeletClientCA: []byte("ca")}
	cases := map[string]struct {
		namespace string
		secret    *corev1.Secret
		want      string
		wantErr   bool
	}{
		"there":                       {"vcp-demo", secret("a", tenancyv1alpha1.ManagedByManager, full), "kubeconfig", false},
		"not yet":                     {"vcp-demo", nil, "", false},
		"not yet filled":              {"vcp-demo", secret("a", tenancyv1alpha1.ManagedByManager, nil), "", false},
		"no control plane yet":        {"", secret("a", tenancyv1alpha1.ManagedByManager, full), "", false},
		"another tenant's":            {"vcp-demo", secret("b", tenancyv1alpha1.ManagedByManager, full), "", true},
		"a tenant's own of that name": {"vcp-demo", secret("a", tenancyv1alpha1.ManagedBySyncer, full), "", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var objects []client.Object
			if tc.secret != nil {
				objects = append(objects, tc.secret)
			}
			virtualCluster := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{UID: "a"}}
			if tc.namespace != "" {
				virtualCluster.Status.ControlPlane = &tenancyv1alpha1.ControlPlaneStatus{Namespace: tc.namespace}
			}
			secrets := credentials{superReader: fake.NewClientBuilder().WithObjects(objects...).Build()}
			got, err := secrets.kubeconfig(t.Context(), virtualCluster)
			if string(got) != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("kubeconfig = %q, %v; want %q, an error: %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}
