// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

//go:embed addons/*.yaml
var addonFiles embed.FS

// addonNamespaces hold the deployments that Up waits for before it installs the platform.
func addonNamespaces() []string { return []string{"kube-system", "local-path-storage"} }

// addonTimeout bounds the wait for one kind of the add-ons to be accepted.
const addonTimeout = 30 * time.Second

// readAddons returns what every local cluster runs besides Kubernetes, in the
// order it is applied.
func readAddons() ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	files, err := fs.Glob(addonFiles, "addons/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the add-ons: %w", err)
	}
	for _, file := range files {
		content, err := addonFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading an add-on: %w", err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			object := &unstructured.Unstructured{}
			err := decoder.Decode(object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("decoding %s: %w", file, err)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// applyAddons applies every add-on and reports whether that changed any. A young
// API server may refuse a kind, or an object in a namespace that it is still
// making, for a moment.
func applyAddons(ctx context.Context, superClient client.Client) (changed bool, err error) {
	objects, err := readAddons()
	if err != nil {
		return false, err
	}
	for _, object := range objects {
		var last error
		err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, addonTimeout, true, func(ctx context.Context) (bool, error) {
			var one bool
			one, last = applyAddon(ctx, superClient, object)
			changed = changed || one
			return last == nil, nil
		})
		if err != nil {
			return changed, fmt.Errorf("applying add-on %s %s: %w", object.GetKind(), object.GetName(), errors.Join(last, err))
		}
	}
	return changed, nil
}

// applyAddon reports a change if what was there lacked anything of object.
func applyAddon(ctx context.Context, superClient client.Client, object *unstructured.Unstructured) (changed bool, err error) {
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(object.GroupVersionKind())
	if err := superClient.Get(ctx, client.ObjectKeyFromObject(object), found); client.IgnoreNotFound(err) != nil {
		return false, err
	}
	return !contains(found.Object, object.Object), apply(ctx, superClient, object.DeepCopy())
}

// contains reports whether value holds all that part does: maps may hold more,
// lists and all else must be the same.
func contains(value, part any) bool {
	switch part := part.(type) {
	case map[string]any:
		whole, ok := value.(map[string]any)
		if !ok {
			return false
		}
		for key := range part {
			if !contains(whole[key], part[key]) {
				return false
			}
		}
		return true
	case []any:
		whole, ok := value.([]any)
		return ok && slices.EqualFunc(whole, part, contains)
	default:
		return equality.Semantic.DeepEqual(value, part)
	}
}
