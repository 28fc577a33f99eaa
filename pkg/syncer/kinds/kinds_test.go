// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

// samples has one method for each kind, called like the kind, which returns its
// sample for the contract. It stands in the kind's own test file.
type samples struct{}

// TestContract runs the contract for every kind of the list; a kind without a
// sample fails.
func TestContract(t *testing.T) {
	for _, translator := range All() {
		t.Run(translator.Name, func(t *testing.T) {
			method := reflect.ValueOf(samples{}).MethodByName(translator.Name)
			if !method.IsValid() {
				t.Fatalf("there is no sample for this kind: write func (samples) %s() kindtest.Sample beside it", translator.Name)
			}
			kindtest.Run(t, translator, method.Call(nil)[0].Interface().(kindtest.Sample))
		})
	}
}

// meta is the metadata of a tenant's object, with what must not cross.
func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID("uid-of-" + name), Labels: map[string]string{"app": name},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Node", Name: "super-node", UID: "x"}}, Finalizers: []string{"example.com/stay"},
	}
}

// sharedMeta is the metadata of an object of the super cluster that the class shares.
func sharedMeta(name string, annotations map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, UID: "super-uid", Labels: map[string]string{"shared": "yes", "super-label": "x"}, Annotations: annotations}
}

// readerOf returns a reader of these objects.
func readerOf(objects ...client.Object) client.Reader {
	return fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).Build()
}
