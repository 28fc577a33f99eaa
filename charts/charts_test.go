// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	release "helm.sh/helm/v4/pkg/release/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	sigsyaml "sigs.k8s.io/yaml"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

var componentNames = []string{"vc-manager", "syncer", "vn-agent"}

// render returns what the chart installs with values.
func render(values map[string]any) ([]*unstructured.Unstructured, error) {
	platformChart, err := Load()
	if err != nil {
		return nil, err
	}
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.ReleaseName, install.Namespace = ReleaseName, Namespace
	install.KubeVersion = &common.KubeVersion{Version: "v1.37.1", Major: "1", Minor: "37"}
	rendered, err := install.Run(platformChart, values)
	if err != nil {
		return nil, err
	}
	return split(rendered.(*release.Release).Manifest)
}

func split(manifest string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

func mustRender(t *testing.T, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	objects, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// pick returns the objects of one kind, strictly decoded: a field that the API does not have is an error.
func pick[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) map[string]T {
	t.Helper()
	found := map[string]T{}
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, object.GetName(), err)
		}
		found[object.GetName()] = typed
	}
	return found
}

func TestPodsAreConfined(t *testing.T) {
	deployments := pick[appsv1.Deployment](t, mustRender(t, nil), "Deployment")
	for _, name := range componentNames {
		deployment, found := deployments[name]
		if !found {
			t.Errorf("no Deployment %s", name)
			continue
		}
		pod := deployment.Spec.Template.Spec
		if pod.SecurityContext == nil || !ptr.Deref(pod.SecurityContext.RunAsNonRoot, false) || ptr.Deref(pod.SecurityContext.RunAsUser, 0) != 65532 {
			t.Errorf("%s may run as root: %+v", name, pod.SecurityContext)
		}
		if pod.SecurityContext.SeccompProfile == nil || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s has no seccomp profile", name)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.InitContainers) > 0 {
			t.Errorf("%s uses the host's namespaces or has containers that are not checked here", name)
		}
		for _, container := range pod.Containers {
			checkContainer(t, name, container)
		}
		if deployment.Spec.Template.Annotations["checksum/config"] == "" {
			t.Errorf("%s does not restart when its configuration changes", name)
		}
	}
	if len(deployments) != len(componentNames) {
		t.Errorf("got %d Deployments, want %v", len(deployments), componentNames)
	}
}

// withGateway are values that install every component.
func withGateway(service map[string]any) map[string]any {
	return map[string]any{
		"gateway": map[string]any{"enabled": true, "service": service},
		"class": map[string]any{"controlPlane": map[string]any{"exposure": map[string]any{
			"type": "Gateway", "allowed": []any{"Gateway", "ClusterIP"},
			"gateway": map[string]any{"domain": "vc.example.test", "address": "192.0.2.1:30443"},
		}}},
	}
}

// TestGateway: on request there is a gateway, confined like the others, that
// may read VirtualClusters and nothing else, and that its Service leads to.
func TestGateway(t *testing.T) {
	objects := mustRender(t, withGateway(map[string]any{"type": "NodePort", "nodePort": 30443}))
	deployment := pick[appsv1.Deployment](t, objects, "Deployment")["vc-gateway"]
	pod := deployment.Spec.Template.Spec
	if len(pod.Containers) != 1 || !ptr.Deref(pod.SecurityContext.RunAsNonRoot, false) {
		t.Fatalf("the pod is not confined: %+v", pod)
	}
	checkContainer(t, "vc-gateway", pod.Containers[0])
	config := &configv1alpha1.GatewayConfiguration{}
	config.SetDefaults()
	if drain := config.Timeouts.Drain.Duration + config.Timeouts.ShutdownDelay.Duration; float64(ptr.Deref(pod.TerminationGracePeriodSeconds, 0)) <= drain.Seconds() {
		t.Errorf("the pod is killed after %d s, before connections are drained", *pod.TerminationGracePeriodSeconds)
	}
	rules := pick[rbacv1.ClusterRole](t, objects, "ClusterRole")["virtualcluster-vc-gateway"].Rules
	if len(rules) != 1 || !slices.Equal(rules[0].Resources, []string{"virtualclusters"}) || !slices.Equal(rules[0].Verbs, []string{"get", "list", "watch"}) {
		t.Errorf("the gateway may %+v", rules)
	}
	if _, found := pick[rbacv1.Role](t, objects, "Role")["vc-gateway"]; found {
		t.Error("the gateway has a Role, and needs none")
	}
	service := pick[corev1.Service](t, objects, "Service")["vc-gateway"]
	if service.Spec.Type != corev1.ServiceTypeNodePort || service.Spec.Ports[0].NodePort != 30443 ||
		service.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		t.Errorf("Service %+v", service.Spec)
	}
	if !selects(metav1.LabelSelector{MatchLabels: service.Spec.Selector}, deployment.Spec.Template.Labels) {
		t.Errorf("the Service selects %v, the pods carry %v", service.Spec.Selector, deployment.Spec.Template.Labels)
	}
	if _, found := pick[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")["vc-gateway"]; !found {
		t.Error("two replicas have no PodDisruptionBudget")
	}
	class := classOf(t, objects)
	exposure, _, _ := unstructured.NestedMap(class.Object, "spec", "controlPlane", "exposure")
	if gateway, ok := exposure["gateway"].(map[string]any); !ok || gateway["domain"] != "vc.example.test" || gateway["address"] != "192.0.2.1:30443" {
		t.Errorf("the class exposes by %v", exposure)
	}
	inside := pick[corev1.Service](t, mustRender(t, withGateway(map[string]any{"type": "ClusterIP", "nodePort": 30443})), "Service")["vc-gateway"]
	if inside.Spec.Ports[0].NodePort != 0 || inside.Spec.ExternalTrafficPolicy != "" {
		t.Errorf("Service of type ClusterIP: %+v", inside.Spec)
	}
}

func checkContainer(t *testing.T, name string, container corev1.Container) {
	t.Helper()
	s := container.SecurityContext
	if s == nil || !ptr.Deref(s.ReadOnlyRootFilesystem, false) || ptr.Deref(s.AllowPrivilegeEscalation, true) ||
		s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || len(s.Capabilities.Add) > 0 {
		t.Errorf("%s is not confined: %+v", name, s)
	}
	if container.LivenessProbe == nil || container.ReadinessProbe == nil {
		t.Errorf("%s has no probes", name)
	}
	if container.Resources.Requests.Memory().IsZero() || container.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s has no memory request or limit", name)
	}
	if want := "ghcr.io/virtualcluster/" + name + ":"; !strings.HasPrefix(container.Image, want) {
		t.Errorf("%s has image %s, want %s…", name, container.Image, want)
	}
	if container.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("%s has pull policy %s", name, container.ImagePullPolicy)
	}
}

func TestRolesHaveNoWildcard(t *testing.T) {
	objects := mustRender(t, nil)
	clusterRoles := pick[rbacv1.ClusterRole](t, objects, "ClusterRole")
	roles := pick[rbacv1.Role](t, objects, "Role")
	if len(clusterRoles) != len(componentNames) || len(roles) != len(componentNames) {
		t.Errorf("got %d ClusterRoles and %d Roles, want one of each for %v", len(clusterRoles), len(roles), componentNames)
	}
	check := func(name string, rules []rbacv1.PolicyRule) {
		if len(rules) == 0 {
			t.Errorf("%s has no rules", name)
		}
		for _, rule := range rules {
			for _, words := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources, rule.NonResourceURLs} {
				if slices.Contains(words, "*") {
					t.Errorf("%s has a wildcard: %+v", name, rule)
				}
			}
			for _, verb := range []string{"escalate", "bind", "impersonate"} {
				if slices.Contains(rule.Verbs, verb) {
					t.Errorf("%s may %s, which is as good as everything: %+v", name, verb, rule)
				}
			}
		}
	}
	for name, role := range clusterRoles {
		check("ClusterRole "+name, role.Rules)
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "leases") {
				t.Errorf("ClusterRole %s reaches the Leases of every namespace, but it only holds one in the platform's: %+v", name, rule)
			}
		}
	}
	for name, role := range roles {
		check("Role "+name, role.Rules)
	}
}

func TestAgentWaitsForItsCertificate(t *testing.T) {
	objects := mustRender(t, nil)
	agent := pick[appsv1.Deployment](t, objects, "Deployment")["vn-agent"]
	if !slices.ContainsFunc(agent.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Secret != nil && v.Secret.SecretName == "vn-agent-serving" && !ptr.Deref(v.Secret.Optional, false)
	}) {
		t.Error("vn-agent does not mount the Secret vn-agent-serving, or starts without it")
	}
	service, found := pick[corev1.Service](t, objects, "Service")["vn-agent"]
	if !found || service.Spec.Ports[0].Port != 10250 || service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("got Service vn-agent %+v, want a ClusterIP with port 10250", service.Spec)
	}
	for key, value := range service.Spec.Selector {
		if agent.Spec.Template.Labels[key] != value {
			t.Errorf("the Service selects %s=%s, which vn-agent's pods do not carry", key, value)
		}
	}
}

func TestValuesReachTheObjects(t *testing.T) {
	objects := mustRender(t, map[string]any{
		"image":   map[string]any{"registry": "registry.example/x", "tag": "v9"},
		"syncer":  map[string]any{"replicas": 2, "config": map[string]any{"clientConnection": map[string]any{"qps": 7}}, "podAnnotations": map[string]any{"image": "sha256:1"}},
		"logs":    map[string]any{"verbosity": 4},
		"vnAgent": map[string]any{"tolerations": []any{map[string]any{"operator": "Exists"}}},
		"class": map[string]any{
			"controlPlane": map[string]any{"exposure": map[string]any{"type": "NodePort", "address": "192.0.2.1"}},
			"dns":          map[string]any{"replicas": 2, "upstreamNameservers": []any{"192.0.2.53"}},
		},
	})
	deployments := pick[appsv1.Deployment](t, objects, "Deployment")
	pod := deployments["syncer"].Spec.Template
	if got, want := pod.Spec.Containers[0].Image, "registry.example/x/syncer:v9"; got != want {
		t.Errorf("got image %s, want %s", got, want)
	}
	if !slices.Contains(pod.Spec.Containers[0].Args, "-v=4") {
		t.Errorf("got args %v, want -v=4", pod.Spec.Containers[0].Args)
	}
	if pod.Annotations["image"] != "sha256:1" {
		t.Errorf("got annotations %v, want the given one", pod.Annotations)
	}
	if len(deployments["vn-agent"].Spec.Template.Spec.Tolerations) != 1 {
		t.Error("the toleration is missing")
	}
	config := map[string]any{}
	if err := sigsyaml.Unmarshal([]byte(pick[corev1.ConfigMap](t, objects, "ConfigMap")["syncer"].Data["config.yaml"]), &config); err != nil {
		t.Fatal(err)
	}
	if qps, _, _ := unstructured.NestedFieldNoCopy(config, "clientConnection", "qps"); qps != float64(7) || config["kind"] != "SyncerConfiguration" {
		t.Errorf("got config %v, want qps 7 of a SyncerConfiguration", config)
	}
	if budgets := pick[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget"); len(budgets) != 1 || budgets["syncer"].Name == "" {
		t.Errorf("got PodDisruptionBudgets %v, want one for syncer, which alone has two replicas", budgets)
	}
	class := classOf(t, objects)
	if got, _, _ := unstructured.NestedString(class.Object, "spec", "controlPlane", "exposure", "address"); got != "192.0.2.1" {
		t.Errorf("got exposure address %q, want 192.0.2.1", got)
	}
	if got, _, _ := unstructured.NestedStringSlice(class.Object, "spec", "dns", "upstreamNameservers"); !slices.Equal(got, []string{"192.0.2.53"}) {
		t.Errorf("got upstreams %v, want 192.0.2.53", got)
	}
}

// TestComponentsAcceptTheirConfiguration reads what the chart writes as the
// components do, which refuse a field that they do not know.
func TestComponentsAcceptTheirConfiguration(t *testing.T) {
	configMaps := pick[corev1.ConfigMap](t, mustRender(t, withGateway(nil)), "ConfigMap")
	cases := map[string]configv1alpha1.Configuration{
		"vc-manager": &configv1alpha1.VCManagerConfiguration{},
		"syncer":     &configv1alpha1.SyncerConfiguration{},
		"vn-agent":   &configv1alpha1.VNAgentConfiguration{},
		"vc-gateway": &configv1alpha1.GatewayConfiguration{},
	}
	for name, config := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(configMaps[name].Data["config.yaml"]), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := configv1alpha1.Load(path, config); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNetworkPoliciesLetInOnlyWhoCalls: the tenants' API servers reach vn-agent,
// clients of any address reach the gateway, metrics are read by who is named,
// and nothing else is open.
func TestNetworkPoliciesLetInOnlyWhoCalls(t *testing.T) {
	if got := pick[networkingv1.NetworkPolicy](t, mustRender(t, nil), "NetworkPolicy"); len(got) != 0 {
		t.Errorf("got %d NetworkPolicies unasked: not every network plugin keeps a caller's address", len(got))
	}
	monitoring := map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{"name": "monitoring"}}}
	cases := map[string]struct {
		metricsFrom []any
		want        map[string]string
	}{
		"nobody reads metrics": {want: map[string]string{"vc-manager": "", "syncer": "", "vn-agent": "kubelet", "vc-gateway": "https"}},
		"monitoring does": {metricsFrom: []any{monitoring}, want: map[string]string{
			"vc-manager": "metrics", "syncer": "metrics", "vn-agent": "kubelet metrics", "vc-gateway": "https metrics",
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objects := mustRender(t, map[string]any{"networkPolicy": map[string]any{"enabled": true, "metricsFrom": tc.metricsFrom}, "gateway": map[string]any{"enabled": true}})
			got := map[string]string{}
			for name, policy := range pick[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy") {
				if !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
					t.Errorf("%s: got the types %v, want ingress alone", name, policy.Spec.PolicyTypes)
				}
				if labels := pick[appsv1.Deployment](t, objects, "Deployment")[name].Spec.Template.Labels; !selects(policy.Spec.PodSelector, labels) {
					t.Errorf("%s selects %v, its pods carry %v", name, policy.Spec.PodSelector, labels)
				}
				got[name] = openPorts(t, policy)
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("got open ports %v, want %v", got, tc.want)
			}
		})
	}
}

func selects(selector metav1.LabelSelector, labels map[string]string) bool {
	for key, value := range selector.MatchLabels {
		if labels[key] != value {
			return false
		}
	}
	return len(selector.MatchLabels) > 0
}

// openPorts names the ports that somebody may connect to. A rule without a peer
// or a port would let in everybody or everything.
func openPorts(t *testing.T, policy networkingv1.NetworkPolicy) string {
	t.Helper()
	var open []string
	for _, rule := range policy.Spec.Ingress {
		everybody := len(rule.From) == 0 && policy.Name != "vc-gateway"
		if everybody || len(rule.Ports) == 0 {
			t.Errorf("%s: the rule %+v is open to all", policy.Name, rule)
		}
		for _, port := range rule.Ports {
			open = append(open, port.Port.String())
		}
	}
	return strings.Join(open, " ")
}

func TestClassCanBeLeftOut(t *testing.T) {
	for _, object := range mustRender(t, map[string]any{"class": map[string]any{"create": false}}) {
		if object.GetKind() == "VirtualClusterClass" {
			t.Error("the class is there although class.create is false")
		}
	}
}

// TestCustomResources: what a class has rules for, the syncer may read and write, and nobody else.
func TestCustomResources(t *testing.T) {
	objects := mustRender(t, map[string]any{
		"syncer": map[string]any{"customResources": []any{map[string]any{
			"apiGroups": []any{"gateway.networking.k8s.io"}, "resources": []any{"httproutes", "gatewayclasses"},
		}}},
		"class": map[string]any{"customResources": []any{map[string]any{"name": "routes", "preset": "HTTPRoute"}}},
	})
	for name, role := range pick[rbacv1.ClusterRole](t, objects, "ClusterRole") {
		i := slices.IndexFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "httproutes") })
		switch {
		case (i >= 0) != (name == "virtualcluster-syncer"):
			t.Errorf("rules of %s: %+v", name, role.Rules)
		case i >= 0 && (len(role.Rules[i].Verbs) != 6 || !slices.Contains(role.Rules[i].APIGroups, "gateway.networking.k8s.io")):
			t.Errorf("rule %+v", role.Rules[i])
		}
	}
	rules, _, _ := unstructured.NestedSlice(classOf(t, objects).Object, "spec", "syncing", "customResources")
	if len(rules) != 1 {
		t.Errorf("the class has rules %v", rules)
	}
}

func classOf(t *testing.T, objects []*unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "VirtualClusterClass" })
	if i < 0 {
		t.Fatal("no VirtualClusterClass")
	}
	return objects[i]
}

func TestSchemaRefusesBadValues(t *testing.T) {
	cases := map[string]map[string]any{
		"a key that is not known":   {"sincer": map[string]any{}},
		"a nested unknown key":      {"image": map[string]any{"tga": "x"}},
		"no replicas":               {"syncer": map[string]any{"replicas": 0}},
		"an unknown pull policy":    {"image": map[string]any{"pullPolicy": "Sometimes"}},
		"an unknown exposure":       {"class": map[string]any{"controlPlane": map[string]any{"exposure": map[string]any{"type": "Internet"}}}},
		"a range that is none":      {"class": map[string]any{"network": map[string]any{"serviceCIDR": "10.112"}}},
		"an upstream by name":       {"class": map[string]any{"dns": map[string]any{"upstreamNameservers": []any{"dns.example.com"}}}},
		"no sandbox":                {"class": map[string]any{"sandbox": map[string]any{"allowed": []any{}}}},
		"a version without v":       {"class": map[string]any{"versions": []any{map[string]any{"name": "1.37.1", "image": "x"}}}},
		"an annotation not a text":  {"podAnnotations": map[string]any{"a": 1}},
		"a peer that is everybody":  {"networkPolicy": map[string]any{"metricsFrom": []any{map[string]any{}}}},
		"rights for everything":     {"syncer": map[string]any{"customResources": []any{map[string]any{"apiGroups": []any{"*"}, "resources": []any{"*"}}}}},
		"rights for core objects":   {"syncer": map[string]any{"customResources": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"nodes"}}}}},
		"a gateway's port too high": {"gateway": map[string]any{"service": map[string]any{"nodePort": 70000}}},
		"a gateway that elects":     {"gateway": map[string]any{"leader": true}},
		"a domain with a wildcard":  {"class": map[string]any{"controlPlane": map[string]any{"exposure": map[string]any{"gateway": map[string]any{"domain": "*.vc"}}}}},
		"a word for a number":       {"logs": map[string]any{"verbosity": "loud"}},
	}
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := render(values); err == nil {
				t.Errorf("values %v are accepted", values)
			}
		})
	}
}

// TestLint asks Helm itself, in the strictest way, what it finds odd.
func TestLint(t *testing.T) {
	lint := action.NewLint()
	lint.Namespace, lint.Strict = Namespace, true
	result := lint.Run([]string{"virtualcluster"}, nil)
	for _, message := range result.Messages {
		if message.Severity > support.InfoSev {
			t.Errorf("helm lint: %v", message)
		}
	}
	for _, err := range result.Errors {
		t.Errorf("helm lint: %v", err)
	}
}

func TestCRDsAreCarried(t *testing.T) {
	platformChart, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(platformChart.CRDObjects()); got != 2 {
		t.Errorf("got %d CRDs, want VirtualCluster and VirtualClusterClass", got)
	}
}
