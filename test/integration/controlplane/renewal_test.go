// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// credentials are the certificates that vc-manager made, by where they are.
func (s *suite) credentials(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) map[string][]byte {
	t.Helper()
	namespace := controlPlaneNamespace(virtualCluster)
	out := map[string][]byte{}
	for name, content := range s.secret(t, namespace, component.SecretPKI).Data {
		if strings.HasSuffix(name, ".crt") {
			out[name] = content
		}
	}
	for name, where := range map[string]string{
		tenancyv1alpha1.SecretSyncerKubeconfig: namespace,
		tenancyv1alpha1.SecretAgentKubeconfig:  namespace,
		virtualCluster.Name + "-kubeconfig":    userNamespace,
	} {
		out[name], _ = pki.KubeconfigPair(s.secret(t, where, name).Data[tenancyv1alpha1.KeyKubeconfig])
	}
	return out
}

// testRenewal: when two thirds of their life have passed, every leaf is made
// anew, in kubeconfigs too; the process, which reads them again by itself, is
// not started again, and the authorities stay.
func testRenewal(t *testing.T, s *suite) {
	virtualCluster := s.virtualCluster(t, "renewal", "default")
	r := s.reconciler(nil)
	mustReconcile(t, r, virtualCluster)
	s.runPod(t, virtualCluster, "10.244.7.9")
	result, err := r.Reconcile(t.Context(), request(virtualCluster))
	if err != nil || result.RequeueAfter <= 0 || result.RequeueAfter > time.Hour {
		t.Errorf("a settled virtual cluster: %+v, %v; nothing would renew its certificates", result, err)
	}
	made, authorities := s.credentials(t, virtualCluster), s.authorities(t, virtualCluster)
	hash := s.pkiHash(t, virtualCluster)

	at := func(age time.Duration) map[string][]byte {
		r.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(age))
		mustReconcile(t, r, virtualCluster)
		return s.credentials(t, virtualCluster)
	}
	if diff := cmp.Diff(made, at(pki.LeafTTL*2/3-time.Hour)); diff != "" {
		t.Errorf("certificates changed before their time: %s", diff)
	}
	due := s.get(t, virtualCluster).Status.Certificates.NextRenewal
	for name, certPEM := range made {
		if cert := parse(t, certPEM); !cert.IsCA && due.After(pki.RenewAt(cert, 0)) {
			t.Errorf("%s is due at %s, status.certificates.nextRenewal is %s", name, pki.RenewAt(cert, 0), due)
		}
	}
	r.Clock = clocktesting.NewFakePassiveClock(due.Add(-10 * time.Second))
	if result, err := r.Reconcile(t.Context(), request(virtualCluster)); err != nil || result.RequeueAfter != 10*time.Second {
		t.Errorf("10 s before a certificate is due: %+v, %v", result, err)
	}
	kept := map[string]bool{
		pki.FileServerCA: true, pki.FileUserCACert: true, pki.FileClientCA: true, pki.FileRequestHeaderCA: true,
		pki.FileKubeletServingCA: true, pki.FileEtcdCA: true,
	}
	for name, renewed := range at(pki.LeafTTL * 2 / 3) {
		if bytes.Equal(made[name], renewed) != kept[name] {
			t.Errorf("%s: kept is %v, want %v", name, !kept[name], kept[name])
		}
	}
	if s.pkiHash(t, virtualCluster) != hash {
		t.Errorf("the control plane is started again")
	}
	if diff := cmp.Diff(authorities.Data, s.authorities(t, virtualCluster).Data); diff != "" {
		t.Errorf("the authorities changed")
	}
}

func (s *suite) pkiHash(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) string {
	t.Helper()
	statefulSet := &appsv1.StatefulSet{}
	key := types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane"}
	if err := s.client.Get(t.Context(), key, statefulSet); err != nil {
		t.Fatal(err)
	}
	return statefulSet.Spec.Template.Annotations[component.AnnotationPKIHash]
}
