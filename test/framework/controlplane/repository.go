// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplanetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// crdTimeout is how long an API server may take to serve a new kind.
const crdTimeout = 30 * time.Second

// InstallCRDs creates the platform's CustomResourceDefinitions, as generated in
// config/crd, and returns when they are served.
func InstallCRDs(t testing.TB, config *rest.Config) {
	t.Helper()
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(root, "config", "crd", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CustomResourceDefinitions in config/crd (%v): run `make generate`", err)
	}
	client, err := apiextensionsclient.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := installCRD(t.Context(), client, path); err != nil {
			t.Fatalf("installing %s: %v", path, err)
		}
	}
}

func installCRD(ctx context.Context, client apiextensionsclient.Interface, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(content, crd); err != nil {
		return err
	}
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	if _, err := crds.Create(ctx, crd, metav1.CreateOptions{}); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, crdTimeout, true, func(ctx context.Context) (bool, error) {
		live, err := crds.Get(ctx, crd.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, condition := range live.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
}

// kubeBinary returns the binary of a minor: bin/kube-MINOR of the repository.
// That of the newest is $KUBE_BIN, or bin/kube.
func kubeBinary(minor string) (string, error) {
	path := os.Getenv("KUBE_BIN")
	if path == "" || minor != MinorNewest {
		root, err := repositoryRoot()
		if err != nil {
			return "", err
		}
		path = filepath.Join(root, "bin", "kube")
		if minor != MinorNewest {
			path += "-" + minor
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: run `make build`", err)
	}
	return path, nil
}

// repositoryRoot returns the directory of go.mod, at or above the working directory.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("there is no go.mod at or above the working directory")
		}
		dir = parent
	}
}
