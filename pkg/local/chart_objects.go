// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"virtualcluster.io/virtualcluster/charts"
)

const (
	// deploymentTimeout bounds the wait for the platform's pods. On two cores
	// they are ready in a few seconds once their images are there.
	deploymentTimeout = 3 * time.Minute
	// crdTimeout bounds the wait for the API server to serve a CRD.
	crdTimeout = time.Minute
	// pollInterval is how often a wait looks again.
	pollInterval = 500 * time.Millisecond
)

// components are the Deployments of the chart in a local cluster.
func components() []string { return []string{"syncer", "vc-gateway", "vc-manager", "vn-agent"} }

// newPlatformClient returns a client for what the chart installs.
func newPlatformClient(kubeconfig string) (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", kubeconfig, err)
	}
	superClient, err := client.New(config, client.Options{Scheme: newPlatformScheme()})
	if err != nil {
		return nil, fmt.Errorf("connecting with kubeconfig %s: %w", kubeconfig, err)
	}
	return superClient, nil
}

func newPlatformScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(fmt.Sprintf("building the scheme: %v", err)) // Only a programming error can do this.
		}
	}
	return scheme
}

// applyCRDs applies the chart's CRDs and waits until they are served. Helm
// makes CRDs but never upgrades them, so it is done here, each time.
func applyCRDs(ctx context.Context, superClient client.Client, crds []chart.CRD) error {
	for _, crd := range crds {
		object, err := decode(crd.File.Data)
		if err != nil {
			return fmt.Errorf("decoding CRD %s: %w", crd.Name, err)
		}
		if err := apply(ctx, superClient, object); err != nil {
			return fmt.Errorf("applying CRD %s: %w", object.GetName(), err)
		}
		if err := waitForCRD(ctx, superClient, object.GetName()); err != nil {
			return err
		}
	}
	return nil
}

func waitForCRD(ctx context.Context, superClient client.Client, name string) error {
	err := wait.PollUntilContextTimeout(ctx, pollInterval, crdTimeout, true, func(ctx context.Context) (bool, error) {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := superClient.Get(ctx, client.ObjectKey{Name: name}, crd); err != nil {
			return false, err
		}
		return slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
		}), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for CRD %s to be served: %w", name, err)
	}
	return nil
}

// applyNamespace applies the platform's namespace. Its pods need no privilege,
// and the label keeps it so.
func applyNamespace(ctx context.Context, superClient client.Client, name string) error {
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(name)
	namespace.SetLabels(map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	if err := apply(ctx, superClient, namespace); err != nil {
		return fmt.Errorf("applying namespace %s: %w", name, err)
	}
	return nil
}

func apply(ctx context.Context, superClient client.Client, object *unstructured.Unstructured) error {
	return superClient.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(fieldManager), client.ForceOwnership)
}

func decode(data []byte) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &object.Object); err != nil {
		return nil, err
	}
	return object, nil
}

// listDeployments returns the Deployments of the release.
func listDeployments(ctx context.Context, superClient client.Client, namespace string) ([]appsv1.Deployment, error) {
	list := &appsv1.DeploymentList{}
	if err := superClient.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/instance": charts.ReleaseName}); err != nil {
		return nil, fmt.Errorf("listing the platform's Deployments: %w", err)
	}
	return list.Items, nil
}

// waitForDeployments waits until every Deployment of the release runs its
// newest pods. When it gives up, the error says which does not, and why.
func waitForDeployments(ctx context.Context, superClient client.Client, namespace string, timeout time.Duration) error {
	waiting := components()
	err := wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, func(ctx context.Context) (bool, error) {
		found, err := listDeployments(ctx, superClient, namespace)
		if err != nil {
			return false, nil //nolint:nilerr // An API server that restarts is waited for, until the timeout.
		}
		waiting = unavailable(found)
		return len(waiting) == 0, nil
	})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil { // The caller gave up, not this function.
		return fmt.Errorf("waiting for %s: %w", strings.Join(waiting, ", "), err)
	}
	return fmt.Errorf("%s not available after %s%s", strings.Join(waiting, ", "), timeout, explainPods(ctx, superClient, namespace))
}

// unavailable names the components whose Deployment is missing, or does not yet run what it should.
func unavailable(found []appsv1.Deployment) []string {
	var names []string
	for _, name := range components() {
		i := slices.IndexFunc(found, func(d appsv1.Deployment) bool { return d.Name == name })
		if i < 0 || !available(&found[i]) {
			names = append(names, name)
		}
	}
	return names
}

func available(d *appsv1.Deployment) bool {
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation &&
		d.Status.UpdatedReplicas == replicas &&
		d.Status.Replicas == replicas &&
		d.Status.AvailableReplicas == replicas
}

// explainPods says, in one line, what the pods of the platform wait for.
func explainPods(ctx context.Context, superClient client.Client, namespace string) string {
	pods := &corev1.PodList{}
	if err := superClient.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/instance": charts.ReleaseName}); err != nil {
		return fmt.Sprintf(" (and its pods cannot be listed: %v)", err)
	}
	reasons := replicaTrouble(ctx, superClient, namespace)
	for i := range pods.Items {
		reasons = append(reasons, podTrouble(&pods.Items[i])...)
	}
	if len(reasons) == 0 {
		return fmt.Sprintf(": see `kubectl -n %s get events`", namespace)
	}
	return ": " + strings.Join(reasons, "; ")
}

// replicaTrouble says which Deployments cannot even make a pod, and why.
func replicaTrouble(ctx context.Context, superClient client.Client, namespace string) []string {
	found, err := listDeployments(ctx, superClient, namespace)
	if err != nil {
		return nil // The pods could be listed a moment ago: they say more.
	}
	var reasons []string
	for i := range found {
		for _, c := range found[i].Status.Conditions {
			if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
				reasons = append(reasons, fmt.Sprintf("Deployment %s: %s", found[i].Name, c.Message))
			}
		}
	}
	return reasons
}

func podTrouble(superPod *corev1.Pod) []string {
	var reasons []string
	for _, status := range superPod.Status.ContainerStatuses {
		switch {
		case status.State.Waiting != nil:
			reasons = append(reasons, fmt.Sprintf("pod %s: %s %s", superPod.Name, status.State.Waiting.Reason, status.State.Waiting.Message))
		case !status.Ready:
			reasons = append(reasons, fmt.Sprintf("pod %s: not ready after %d restarts", superPod.Name, status.RestartCount))
		}
	}
	for _, c := range superPod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			reasons = append(reasons, fmt.Sprintf("pod %s: %s", superPod.Name, c.Message))
		}
	}
	return reasons
}
