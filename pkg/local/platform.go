// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/charts"
	"virtualcluster.io/virtualcluster/pkg/local/host"
)

// platformComponents maps the platform's images to where the chart's values
// have the component.
func platformComponents() map[string]string {
	return map[string]string{"vc-manager": "vcManager", "syncer": "syncer", "vn-agent": "vnAgent", "vc-gateway": "gateway"}
}

// imageDigestAnnotation on the platform's pods holds the digest of their image
// file: the tag stays the same when an image is built again.
const imageDigestAnnotation = "local.virtualcluster.io/image-digest"

func restConfig(l layout) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	config.QPS = -1 // It is one client of a cluster of its own.
	config.Timeout = 10 * time.Second
	return config, nil
}

func newSuperClient(l layout) (client.Client, error) {
	config, err := restConfig(l)
	if err != nil {
		return nil, err
	}
	superClient, err := client.New(config, client.Options{Scheme: newPlatformScheme()})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return superClient, nil
}

// apiReady asks the API server whether it is ready.
func apiReady(ctx context.Context, l layout) error {
	config, err := restConfig(l)
	if err != nil {
		return err
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	err = discoveryClient.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return errors.New("the API server is still starting") // Its answer lists every check, a page long.
	}
	return err
}

func (s *starter) waitForAPI(ctx context.Context) (bool, error) {
	if apiReady(ctx, s.layout) == nil {
		return slices.Contains(s.started, daemonControlPlane), nil
	}
	err := s.await(ctx, 90*time.Second, daemonControlPlane, func(ctx context.Context) error { return apiReady(ctx, s.layout) })
	return true, err
}

func (s *starter) applyAddons(ctx context.Context) (bool, error) {
	superClient, err := newSuperClient(s.layout)
	if err != nil {
		return false, err
	}
	changed, err := applyAddons(ctx, superClient)
	if err != nil {
		err = fmt.Errorf("%w; see %s", err, s.layout.logFile(daemonControlPlane))
	}
	return changed, err
}

// waitForNode waits until the node is Ready. After a restart of the kubelet it
// still is: its pods never stopped.
func (s *starter) waitForNode(ctx context.Context) (bool, error) {
	superClient, err := newSuperClient(s.layout)
	if err != nil {
		return false, err
	}
	if nodeReady(ctx, superClient) == nil {
		return false, nil
	}
	err = s.await(ctx, 90*time.Second, daemonKubelet, func(ctx context.Context) error { return nodeReady(ctx, superClient) })
	return true, err
}

func nodeReady(ctx context.Context, superClient client.Client) error {
	node := &corev1.Node{}
	if err := superClient.Get(ctx, client.ObjectKey{Name: NodeName}, node); err != nil {
		return fmt.Errorf("reading node %s: %w", NodeName, err)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("node %s is not Ready", NodeName)
}

func (s *starter) waitForAddons(ctx context.Context) (bool, error) {
	superClient, err := newSuperClient(s.layout)
	if err != nil {
		return false, err
	}
	if addonsAvailable(ctx, superClient) == nil {
		return false, nil
	}
	err = s.await(ctx, 2*time.Minute, daemonKubelet, func(ctx context.Context) error { return addonsAvailable(ctx, superClient) })
	return true, err
}

func addonsAvailable(ctx context.Context, superClient client.Client) error {
	for _, namespace := range addonNamespaces() {
		deployments := &appsv1.DeploymentList{}
		if err := superClient.List(ctx, deployments, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("listing the add-ons: %w", err)
		}
		if len(deployments.Items) == 0 {
			return fmt.Errorf("no Deployment in namespace %s", namespace)
		}
		for i := range deployments.Items {
			if d := &deployments.Items[i]; !available(d) {
				return fmt.Errorf("deployment %s/%s is not available", d.Namespace, d.Name)
			}
		}
	}
	return nil
}

func (s *starter) installPlatform(ctx context.Context) (bool, error) {
	if s.options.WithoutPlatform {
		return false, nil
	}
	superClient, err := newSuperClient(s.layout)
	if err != nil {
		return false, err
	}
	known, err := readImports(s.layout)
	if err != nil {
		return false, err
	}
	before, err := revisions(ctx, superClient)
	if err != nil {
		return false, err
	}
	if err := s.options.InstallPlatform(ctx, s.layout.kubeconfig(), platformValues(known, s.state.NodeIP, s.options.Values)); err != nil {
		return true, fmt.Errorf("installing the platform: %w; see %s", err, s.layout.path(logsDir, "pods"))
	}
	after, err := revisions(ctx, superClient)
	return !slices.Equal(before, after), err
}

// revisions names the revisions of the platform's Helm release, by which a
// change is known.
func revisions(ctx context.Context, superClient client.Client) ([]string, error) {
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := superClient.List(ctx, secrets, client.InNamespace(charts.Namespace), client.MatchingLabels{"owner": "helm"}); err != nil {
		return nil, fmt.Errorf("listing the platform's releases: %w", err)
	}
	var names []string
	for _, secret := range secrets.Items {
		names = append(names, secret.Name)
	}
	slices.Sort(names)
	return names, nil
}

// What vc-gateway is called in a local cluster: a port of the node, and a
// domain that no DNS server knows, since kubeconfigs name the address.
const (
	gatewayPort   = 30443
	gatewayDomain = "vc.internal"
)

// platformValues are the chart's values for a local cluster whose node has the
// address node, with those of the caller on top. It is pure.
func platformValues(known imports, node netip.Addr, own map[string]any) map[string]any {
	values := map[string]any{
		// A tenant's API must be reached from the machine, which is not on the pods' network.
		"class": map[string]any{"controlPlane": map[string]any{"exposure": map[string]any{
			"type":    "NodePort",
			"allowed": []any{"NodePort", "ClusterIP", "Gateway"},
			"gateway": map[string]any{"domain": gatewayDomain, "address": netip.AddrPortFrom(node, gatewayPort).String()},
		}}},
		"gateway": map[string]any{
			"enabled": true, "replicas": 1,
			"service": map[string]any{"type": "NodePort", "nodePort": gatewayPort},
			// Nobody's work depends on a connection that ends sooner.
			"config": map[string]any{"timeouts": map[string]any{"shutdownDelay": "1s", "drain": "5s"}},
		},
	}
	for image, component := range platformComponents() {
		if digest := known[image].Digest; digest != "" {
			values = merge(values, map[string]any{component: map[string]any{"podAnnotations": map[string]any{imageDigestAnnotation: digest}}})
		}
	}
	return merge(values, own)
}

// merge returns base with over on top; maps are merged, all else is replaced.
func merge(base, over map[string]any) map[string]any {
	merged := maps.Clone(base)
	for key, value := range over {
		below, isMap := merged[key].(map[string]any)
		above, alsoMap := value.(map[string]any)
		if isMap && alsoMap {
			value = merge(below, above)
		}
		merged[key] = value
	}
	return merged
}

// dialInside connects to a socket as the daemon sees it.
func dialInside(ctx context.Context, l layout, name, socket string) error {
	process, err := host.ReadPidFile(l.pidFile(name))
	if err != nil {
		return err
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join("/proc", fmt.Sprint(process.PID), "root", socket))
	if err != nil {
		return err
	}
	return connection.Close()
}

// lastLogLine returns the end of a log, for an error message.
func lastLogLine(path string) string {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || len(strings.TrimSpace(string(content))) == 0 {
		return "it said nothing"
	}
	const longest = 300
	line := lastLine(string(content))
	return line[:min(len(line), longest)]
}
