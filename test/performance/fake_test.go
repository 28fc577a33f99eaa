// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"testing"
	"time"

	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// TestFakeTenant: client-go's informers and clients, in both encodings, get from
// a fake tenant what they would from a real one.
func TestFakeTenant(t *testing.T) {
	for name, contentType := range map[string]string{"protobuf": "application/vnd.kubernetes.protobuf", "JSON": "application/json"} {
		t.Run(name, func(t *testing.T) {
			fakes := newFakeTenants(t)
			kubeconfig, err := fakes.add("one", "10.112.0.1")
			if err != nil {
				t.Fatal(err)
			}
			config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			config.ContentType = contentType
			checkFakeTenant(t, kubernetes.NewForConfigOrDie(config))
		})
	}
}

func checkFakeTenant(t *testing.T, tenant kubernetes.Interface) {
	t.Helper()
	factory := informers.NewSharedInformerFactory(tenant, 0)
	namespaces, classes := factory.Core().V1().Namespaces(), factory.Node().V1().RuntimeClasses()
	shown := make(chan string, 1)
	if _, err := classes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
		shown <- object.(*nodev1.RuntimeClass).Name
	}}); err != nil {
		t.Fatal(err)
	}
	namespaces.Informer()
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	system, err := namespaces.Lister().Get(metav1.NamespaceSystem)
	if err != nil {
		t.Fatalf("namespace kube-system in the cache: %v", err)
	}
	live, err := tenant.CoreV1().Namespaces().Get(t.Context(), system.Name, metav1.GetOptions{})
	if err != nil || live.UID != system.UID {
		t.Errorf("namespace kube-system: %v, error %v, want UID %s", live, err, system.UID)
	}
	if _, err := tenant.CoreV1().Namespaces().Get(t.Context(), "absent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("reading what is not there: %v", err)
	}
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"}
	if _, err := tenant.NodeV1().RuntimeClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating: %v", err)
	}
	select {
	case name := <-shown:
		if name != class.Name {
			t.Errorf("the watch shows %s", name)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch does not show what was created")
	}
}
