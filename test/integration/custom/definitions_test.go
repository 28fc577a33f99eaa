// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package custom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kindOf is a kind of the tests.
type kindOf struct {
	schema.GroupVersionKind
	plural string
	scope  apiextensionsv1.ResourceScope
	// status is a subresource.
	status bool
}

func namespaced(group, kind, plural string) kindOf {
	return kindOf{schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}, plural, apiextensionsv1.NamespaceScoped, true}
}

func clusterScoped(group, kind, plural string) kindOf {
	return kindOf{schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}, plural, apiextensionsv1.ClusterScoped, true}
}

// definition is the smallest definition of a kind: it admits any field.
func (k kindOf) definition() *apiextensionsv1.CustomResourceDefinition {
	yes := true
	version := apiextensionsv1.CustomResourceDefinitionVersion{
		Name: k.Version, Served: true, Storage: true,
		Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
			Type: "object", XPreserveUnknownFields: &yes,
		}},
	}
	if k.status {
		version.Subresources = &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}}
	}
	name := k.plural + "." + k.Group
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: k.Group, Scope: k.scope, Versions: []apiextensionsv1.CustomResourceDefinitionVersion{version},
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: k.plural, Singular: strings.ToLower(k.Kind), Kind: k.Kind, ListKind: k.Kind + "List",
			},
		},
	}
	if strings.HasSuffix(k.Group, ".k8s.io") {
		crd.Annotations = map[string]string{"api-approved.kubernetes.io": "unapproved, a test"}
	}
	return crd
}

// install creates the definition and waits until it is served.
func (k kindOf) install(t *testing.T, c client.Client) {
	t.Helper()
	must(t, c.Create(t.Context(), k.definition()))
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	eventually(t, k.plural+" are served", func(ctx context.Context) error { return c.List(ctx, list) })
}

// remove deletes the definition, with all objects, and waits until it is gone.
func (k kindOf) remove(t *testing.T, c client.Client) {
	t.Helper()
	must(t, c.Delete(t.Context(), k.definition()))
	eventually(t, k.plural+" are gone", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(k.definition()), &apiextensionsv1.CustomResourceDefinition{})
		return asGone(err)
	})
}

// object returns an object with some content.
func (k kindOf) object(namespace, name string, content map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: content}
	if content == nil {
		object.Object = map[string]any{}
	}
	object.SetGroupVersionKind(k.GroupVersionKind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// get reads an object.
func (k kindOf) get(ctx context.Context, c client.Client, key client.ObjectKey) (*unstructured.Unstructured, error) {
	object := k.object("", "", nil)
	return object, c.Get(ctx, key, object)
}

// waitField waits until a field of an object is as wanted.
func (k kindOf) waitField(t *testing.T, c client.Client, key client.ObjectKey, want string, path ...string) *unstructured.Unstructured {
	t.Helper()
	var found *unstructured.Unstructured
	eventually(t, fmt.Sprintf("%s of %s %s is %q", strings.Join(path, "."), k.Kind, key, want), func(ctx context.Context) error {
		var err error
		if found, err = k.get(ctx, c, key); err != nil {
			return err
		}
		if got, _, _ := unstructured.NestedFieldNoCopy(found.Object, path...); fmt.Sprint(got) != want {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
	return found
}

// waitGone waits until an object is gone.
func (k kindOf) waitGone(t *testing.T, c client.Client, key client.ObjectKey) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s %s is gone", k.Kind, key), func(ctx context.Context) error {
		_, err := k.get(ctx, c, key)
		return asGone(err)
	})
}

// stays fails if the object goes or is another one in a while.
func (k kindOf) stays(t *testing.T, c client.Client, was *unstructured.Unstructured) {
	t.Helper()
	consistently(t, k.Kind+" stays", func(ctx context.Context) error {
		found, err := k.get(ctx, c, client.ObjectKeyFromObject(was))
		if err == nil && (found.GetUID() != was.GetUID() || found.GetResourceVersion() != was.GetResourceVersion()) {
			return errChanged
		}
		return err
	})
}

// absent fails if there is such an object at any time in a while.
func (k kindOf) absent(t *testing.T, c client.Client, key client.ObjectKey) {
	t.Helper()
	consistently(t, k.Kind+" is absent", func(ctx context.Context) error {
		_, err := k.get(ctx, c, key)
		return asGone(err)
	})
}

// count fails unless a namespace holds so many objects with a prefix.
func (k kindOf) count(ctx context.Context, c client.Client, namespace, prefix string, want int) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return err
	}
	n := 0
	for _, item := range list.Items {
		if strings.HasPrefix(item.GetName(), prefix) {
			n++
		}
	}
	if n != want {
		return fmt.Errorf("%w: %d instead of %d", errCount, n, want)
	}
	return nil
}

// patch merges into an object or its status.
func (k kindOf) patch(t *testing.T, c client.Client, key client.ObjectKey, data string) {
	t.Helper()
	must(t, c.Patch(t.Context(), k.object(key.Namespace, key.Name, nil), client.RawPatch("application/merge-patch+json", []byte(data))))
}

func (k kindOf) patchStatus(t *testing.T, c client.Client, key client.ObjectKey, data string) {
	t.Helper()
	must(t, c.Status().Patch(t.Context(), k.object(key.Namespace, key.Name, nil), client.RawPatch("application/merge-patch+json", []byte(data))))
}

var (
	errStillThere = errors.New("it is still there")
	errCount      = errors.New("another number")
	errChanged    = errors.New("it has changed")
)

// asGone is nil for "not found".
func asGone(err error) error {
	if err == nil {
		return errStillThere
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func contains(text, part string) bool { return strings.Contains(text, part) }
