// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package minors

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"iter"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// controllersTimeout is how long the controllers may take for a Deployment's pods.
const controllersTimeout = 30 * time.Second

//go:embed testdata/objects.yaml
var manifest []byte

// tenant is a client of everything that a control plane serves.
type tenant struct {
	typed   kubernetes.Interface
	dynamic dynamic.Interface
}

func newTenant(t *testing.T, config *rest.Config) *tenant {
	t.Helper()
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{} // everything lists what is deprecated, too
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &tenant{typed: typed, dynamic: untyped}
}

// objects returns the objects of the manifest by a name, in its order.
func objects(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(bytes.ReplaceAll(manifest, []byte("NAME"), []byte(name))), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
}

// write creates the objects of the manifest by a name, and returns when the
// controllers have made the pods of the Deployment.
func (c *tenant) write(t *testing.T, name string) {
	t.Helper()
	for object, resource := range c.resources(t, name) {
		if _, err := resource.Create(t.Context(), object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}); err != nil {
			t.Fatalf("creating %s %s: %v", object.GetKind(), name, err)
		}
	}
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, controllersTimeout, true, func(ctx context.Context) (bool, error) {
		pods, err := c.typed.CoreV1().Pods(name).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
		return err == nil && len(pods.Items) == 2, err
	})
	if err != nil {
		t.Errorf("the controllers made no pods for the Deployment %s: %v", name, err)
	}
}

// read compares the objects of the manifest by a name with what is stored.
func (c *tenant) read(t *testing.T, name string) {
	t.Helper()
	for object, resource := range c.resources(t, name) {
		live, err := resource.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Errorf("reading %s %s: %v", object.GetKind(), name, err)
			continue
		}
		if lost := missing("", object.Object, live.Object); lost != "" {
			t.Errorf("%s %s: %s", object.GetKind(), name, lost)
		}
	}
}

// resources yields the objects of the manifest by a name, each with its client.
func (c *tenant) resources(t *testing.T, name string) iter.Seq2[*unstructured.Unstructured, dynamic.ResourceInterface] {
	t.Helper()
	groups, err := restmapper.GetAPIGroupResources(c.typed.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	return func(yield func(*unstructured.Unstructured, dynamic.ResourceInterface) bool) {
		for _, object := range objects(t, name) {
			kind := object.GroupVersionKind()
			mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(object, c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace())) {
				return
			}
		}
	}
}

// missing says where got does not hold what want does; what got has besides are defaults.
func missing(path string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		got, _ := got.(map[string]any)
		for key := range want {
			if lost := missing(path+"."+key, want[key], got[key]); lost != "" {
				return lost
			}
		}
	case []any:
		got, _ := got.([]any)
		if len(got) != len(want) {
			return fmt.Sprintf("%s has %d items, want %d", path, len(got), len(want))
		}
		for i := range want {
			if lost := missing(fmt.Sprintf("%s[%d]", path, i), want[i], got[i]); lost != "" {
				return lost
			}
		}
	default:
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
	}
	return ""
}

// stored is what an API server serves: the UID of each object, by resource,
// and by namespace and name. A resource without objects is in it too.
type stored map[schema.GroupResource]map[string]types.UID

// everything reads all that there is. An object that a minor cannot decode
// fails the list that it is in.
func (c *tenant) everything(t *testing.T) stored {
	t.Helper()
	lists, err := discovery.ServerPreferredResources(c.typed.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	all := stored{}
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "get"}}, lists) {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range list.APIResources {
			found, err := c.dynamic.Resource(version.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Errorf("listing %s of %s: %v", resource.Name, version, err)
				continue
			}
			uids := map[string]types.UID{}
			for _, object := range found.Items {
				if ofProcess(&object) {
					continue
				}
				uids[object.GetNamespace()+"/"+object.GetName()] = object.GetUID()
			}
			all[version.WithResource(resource.Name).GroupResource()] = uids
		}
	}
	return all
}

// ofProcess says whether an API server makes the object anew whenever it
// starts: the Lease that tells others of it, and what it says it serves.
func ofProcess(object metav1.Object) bool {
	for _, label := range []string{"apiserver.kubernetes.io/identity", "kube-aggregator.kubernetes.io/automanaged"} {
		if _, found := object.GetLabels()[label]; found {
			return true
		}
	}
	return false
}

// wantKept compares what was stored with what is now. The resources of a newer
// minor are not served by the older one.
func wantKept(t *testing.T, before, after stored) {
	t.Helper()
	kept := 0
	for resource, objects := range before {
		now, served := after[resource]
		if !served {
			t.Logf("%s is not served any more: %d objects are not compared", resource, len(objects))
			continue
		}
		for name, uid := range objects {
			if now[name] != uid {
				t.Errorf("%s %s has UID %q, want %q", resource, name, now[name], uid)
			}
			kept++
		}
	}
	t.Logf("%d objects of %d resources compared", kept, len(before))
}
