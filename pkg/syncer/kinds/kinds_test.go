// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID("uid-of-" + name), Labels: map[string]string{"app": name},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Node", Name: "super-node", UID: "x"}}, Finalizers: []string{"example.com/stay"},
	}
}

// TestContract runs the contract for every kind of the list; a kind without a
// sample fails.
func TestContract(t *testing.T) {
	yes := true
	reader := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "virtual-node-0"}, Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.10"}},
		}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Spec: corev1.ServiceSpec{
			ClusterIP: "10.112.4.77", Ports: []corev1.ServicePort{{Name: "sql", Port: 5432, Protocol: corev1.ProtocolTCP}},
		}},
	).Build()
	samples := map[string]kindtest.Sample{
		"Namespace": {Tenant: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "shop", UID: "u", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"},
		}}},
		"ConfigMap": {Tenant: &corev1.ConfigMap{ObjectMeta: meta("shop", "kube-root-ca.crt"), Data: map[string]string{"a": "b"}, Immutable: &yes}},
		"Secret":    {Tenant: &corev1.Secret{ObjectMeta: meta("shop", "token"), Type: corev1.SecretTypeServiceAccountToken, Data: map[string][]byte{"a": []byte("b")}}},
		"Service": {Tenant: &corev1.Service{ObjectMeta: meta("shop", "db"), Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, ClusterIP: "10.112.4.77", Selector: map[string]string{"app": "db"},
			Ports: []corev1.ServicePort{{Port: 5432, NodePort: 30001}},
		}}},
		"EndpointSlice": {Tenant: &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", UID: "u", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.9"}}},
		}},
		"Pod": {Reader: reader, Tenant: samplePod()},
		"Event": {
			Super:   sampleEvent(),
			Subject: kind.Subject{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "db-0"}, UID: "u", Super: types.NamespacedName{Namespace: "vc-demo-shop-x", Name: "db-0"}},
			Secrets: []string{"vc-demo-shop-x", "super-node-1"},
		},
	}
	for _, translator := range All() {
		t.Run(translator.Name, func(t *testing.T) {
			sample, ok := samples[translator.Name]
			if !ok {
				t.Fatal("there is no sample for this kind")
			}
			kindtest.Run(t, translator, sample)
		})
	}
}

func samplePod() client.Object {
	expiry := int64(3607)
	return &corev1.Pod{ObjectMeta: meta("shop", "db-0"), Spec: corev1.PodSpec{
		ServiceAccountName: "db",
		Containers: []corev1.Container{{
			Name: "main", Image: "db:1", Env: []corev1.EnvVar{
				{Name: "NS", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}},
				{Name: "HOST", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}}},
			},
		}},
		Volumes: []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &expiry}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
		}}}}},
	}}
}

func sampleEvent() *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "vc-demo-shop-x", Name: "db-0.1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "vc-demo-shop-x", Name: "db-0", UID: "super"},
		Reason:         "Scheduled", Message: "Successfully assigned vc-demo-shop-x/db-0 to super-node-1",
		Source: corev1.EventSource{Component: "default-scheduler", Host: "super-node-1"},
	}
}
