// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

func fieldEnv(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func TestDownwardEnv(t *testing.T) {
	cases := map[string]struct {
		path string
		want string // empty: the reference stays
	}{
		"name":            {"metadata.name", "web-0"},
		"namespace":       {"metadata.namespace", "shop"},
		"uid":             {"metadata.uid", "pod-uid"},
		"label":           {"metadata.labels['app']", "web"},
		"annotation":      {"metadata.annotations['note']", "costs $$(HOME) $$5"},
		"node":            {"spec.nodeName", "virtual-node-0"},
		"node, old name":  {"spec.host", "virtual-node-0"},
		"service account": {"spec.serviceAccountName", "default"},
		"host":            {"status.hostIP", "192.0.2.10"},
		"hosts":           {"status.hostIPs", "192.0.2.10"},
		"pod IP":          {"status.podIP", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec, _, err := created(t, makePod(func(s *corev1.PodSpec) {
				s.Containers[0].Env = []corev1.EnvVar{fieldEnv("X", tc.path)}
			}), virtualNodeObject())
			if err != nil {
				t.Fatal(err)
			}
			got := spec.Containers[0].Env[len(spec.Containers[0].Env)-1]
			if got.Value != tc.want || (got.ValueFrom != nil) != (tc.want == "") {
				t.Errorf("got %+v", got)
			}
		})
	}
	t.Run("waits for the node's address", func(t *testing.T) {
		node := virtualNodeObject()
		node.Status.Addresses = nil
		_, _, err := created(t, makePod(func(s *corev1.PodSpec) { s.Containers[0].Env = []corev1.EnvVar{fieldEnv("X", "status.hostIP")} }), node)
		if !kind.IsWait(err) {
			t.Errorf("error %v, want a wait", err)
		}
	})
}

// environment returns what the container of a super pod sets directly.
func environment(spec corev1.PodSpec) map[string]string {
	env := map[string]string{}
	for _, variable := range spec.Containers[0].Env {
		env[variable.Name] = variable.Value
	}
	return env
}

func TestServiceLinks(t *testing.T) {
	off := false
	database := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "my-db"}, Spec: corev1.ServiceSpec{
		ClusterIP: "10.112.4.77", Ports: []corev1.ServicePort{{Name: "sql-main", Port: 5432, Protocol: corev1.ProtocolTCP}},
	}}
	headless := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "headless"}, Spec: corev1.ServiceSpec{
		ClusterIP: "None", Ports: []corev1.ServicePort{{Port: 1}},
	}}
	elsewhere := database.DeepCopy()
	elsewhere.Namespace, elsewhere.Name = "other", "elsewhere"
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "settings"}, Data: map[string]string{"DB_PORT": "1", "SERVICE_PORT": "2"}}
	api := map[string]string{
		"KUBERNETES_SERVICE_HOST": "10.112.4.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_SERVICE_PORT_HTTPS": "443",
		"KUBERNETES_PORT": "tcp://10.112.4.1:443", "KUBERNETES_PORT_443_TCP": "tcp://10.112.4.1:443",
		"KUBERNETES_PORT_443_TCP_PROTO": "tcp", "KUBERNETES_PORT_443_TCP_PORT": "443", "KUBERNETES_PORT_443_TCP_ADDR": "10.112.4.1",
	}
	with := func(more map[string]string, without ...string) map[string]string {
		out := maps.Clone(api)
		maps.Copy(out, more)
		for _, name := range without {
			delete(out, name)
		}
		return out
	}
	db := map[string]string{
		"MY_DB_SERVICE_HOST": "10.112.4.77", "MY_DB_SERVICE_PORT": "5432", "MY_DB_SERVICE_PORT_SQL_MAIN": "5432",
		"MY_DB_PORT": "tcp://10.112.4.77:5432", "MY_DB_PORT_5432_TCP": "tcp://10.112.4.77:5432",
		"MY_DB_PORT_5432_TCP_PROTO": "tcp", "MY_DB_PORT_5432_TCP_PORT": "5432", "MY_DB_PORT_5432_TCP_ADDR": "10.112.4.77",
	}
	cases := map[string]struct {
		change func(*corev1.PodSpec)
		want   map[string]string
	}{
		"services of the namespace": {nil, with(db)},
		"only the API":              {func(s *corev1.PodSpec) { s.EnableServiceLinks = &off }, api},
		"the container's own win": {func(s *corev1.PodSpec) {
			s.EnableServiceLinks = &off
			s.Containers[0].Env = []corev1.EnvVar{{Name: "KUBERNETES_SERVICE_HOST", Value: "mine"}}
		}, with(map[string]string{"KUBERNETES_SERVICE_HOST": "mine"})},
		"those from a ConfigMap win": {func(s *corev1.PodSpec) {
			s.Containers[0].EnvFrom = []corev1.EnvFromSource{{Prefix: "MY_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
		}, with(db, "MY_DB_PORT")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec, _, err := created(t, makePod(tc.change), database, headless, elsewhere, settings)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, environment(spec)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("links stand before the variables that may refer to them", func(t *testing.T) {
		spec, _, err := created(t, makePod(func(s *corev1.PodSpec) {
			s.Containers[0].Env = []corev1.EnvVar{{Name: "URL", Value: "https://$(KUBERNETES_SERVICE_HOST)"}}
		}))
		if err != nil {
			t.Fatal(err)
		}
		env := spec.Containers[0].Env
		if env[len(env)-1].Name != "URL" {
			t.Errorf("order %v", env)
		}
	})
}

func TestReferences(t *testing.T) {
	named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	pod := makePod(func(s *corev1.PodSpec) {
		s.ImagePullSecrets = []corev1.LocalObjectReference{named("s-pull")}
		s.Volumes = []corev1.Volume{
			{VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("c-volume")}}},
			{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s-volume"}}},
			{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("c-projected")}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: named("s-projected")}},
			}}}},
		}
		s.InitContainers = []corev1.Container{{EnvFrom: []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named("c-from")}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("s-from")}},
		}}}
		s.Containers[0].Env = []corev1.EnvVar{
			{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("c-key")}}},
			{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named("s-key")}}},
			{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named("s-key")}}},
		}
	})
	if want, got := []string{"c-from", "c-key", "c-projected", "c-volume"}, ConfigMaps(pod); !slices.Equal(want, got) {
		t.Errorf("config maps %v, want %v", got, want)
	}
	if want, got := []string{"s-from", "s-key", "s-projected", "s-pull", "s-volume"}, Secrets(pod); !slices.Equal(want, got) {
		t.Errorf("secrets %v, want %v", got, want)
	}
}
