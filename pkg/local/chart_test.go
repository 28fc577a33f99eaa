// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	kubefake "helm.sh/helm/v4/pkg/kube/fake"
	releasecommon "helm.sh/helm/v4/pkg/release/common"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/charts"
)

// memoryHelm returns a Helm that keeps its releases in memory and talks to no cluster.
func memoryHelm() *action.Configuration {
	memory := driver.NewMemory()
	memory.SetNamespace(charts.Namespace)
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	config.Releases = storage.Init(memory)
	config.KubeClient = &kubefake.PrintingKubeClient{Out: io.Discard}
	config.Capabilities = common.DefaultCapabilities.Copy()
	return config
}

// smallChart renders one ConfigMap from the value text.
func smallChart() *chart.Chart {
	return &chart.Chart{
		Metadata: &chart.Metadata{APIVersion: chart.APIVersionV2, Name: "small", Version: "0.1.0"},
		Templates: []*common.File{{Name: "templates/a.yaml", Data: []byte(
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {text: {{ .Values.text | quote }}}\n")}},
	}
}

// deployment returns one of the platform's Deployments, available or not.
func deployment(name string, isAvailable bool) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: charts.Namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/instance": charts.ReleaseName}},
		Status:     appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1},
	}
	if isAvailable {
		d.Status.AvailableReplicas = 1
	}
	return d
}

func fakePlatform(objects ...client.Object) client.Client {
	return fake.NewClientBuilder().WithScheme(newPlatformScheme()).WithObjects(objects...).Build()
}

func allAvailable() []client.Object {
	var objects []client.Object
	for _, name := range components() {
		objects = append(objects, deployment(name, true))
	}
	return objects
}

func revision(t *testing.T, config *action.Configuration) int {
	t.Helper()
	last, err := lastRelease(config)
	if err != nil || last == nil {
		t.Fatalf("got release %v, error %v", last, err)
	}
	return last.Version
}

func TestApplyReleaseWritesARevisionOnlyForAChange(t *testing.T) {
	config, whole := memoryHelm(), fakePlatform(allAvailable()...)
	steps := []struct {
		name   string
		client client.Client
		text   string
		before func()
		want   int
	}{
		{name: "the first call installs", client: whole, text: "x", want: 1},
		{name: "the same again changes nothing", client: whole, text: "x", want: 1},
		{name: "a changed value upgrades", client: whole, text: "y", want: 2},
		{name: "the same again changes nothing, after an upgrade too", client: whole, text: "y", want: 2},
		{name: "a Deployment that was removed is put back", client: fakePlatform(allAvailable()[1:]...), text: "y", want: 3},
		{name: "an interrupted revision is taken over", client: whole, text: "y", want: 4, before: func() {
			last, err := lastRelease(config)
			if err != nil {
				t.Fatal(err)
			}
			last.SetStatus(releasecommon.StatusPendingUpgrade, "killed")
			if err := config.Releases.Update(last); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, step := range steps {
		if step.before != nil {
			step.before()
		}
		if err := applyRelease(t.Context(), config, step.client, smallChart(), map[string]any{"text": step.text}); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := revision(t, config); got != step.want {
			t.Errorf("%s: got revision %d, want %d", step.name, got, step.want)
		}
	}
}

func TestSameValuesComparesWhatIsStored(t *testing.T) {
	stored := map[string]any{"replicas": float64(2), "list": []any{"a"}}
	given := map[string]any{"replicas": 2, "list": []string{"a"}}
	if !sameValues(stored, given) {
		t.Errorf("%v and %v are the same once stored", stored, given)
	}
	if !sameValues(nil, map[string]any{}) {
		t.Error("no values and empty values are the same")
	}
	if sameValues(stored, map[string]any{"replicas": 3}) {
		t.Error("other values are taken for the same")
	}
}

func TestWaitForDeployments(t *testing.T) {
	stuck := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: charts.Namespace, Name: "syncer-1", Labels: map[string]string{"app.kubernetes.io/instance": charts.ReleaseName}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull", Message: "no image"}},
		}}},
	}
	refused := deployment("syncer", false)
	refused.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "violates PodSecurity"}}
	outdated := deployment("syncer", true)
	outdated.Generation = 2
	cases := map[string]struct {
		objects []client.Object
		want    []string
	}{
		"all there":          {objects: allAvailable()},
		"nothing there":      {want: []string{"syncer, vc-gateway, vc-manager, vn-agent not available"}},
		"one not available":  {objects: []client.Object{deployment("syncer", false), deployment("vc-gateway", true), deployment("vc-manager", true), deployment("vn-agent", true), stuck}, want: []string{"syncer not available", "pod syncer-1: ErrImageNeverPull no image"}},
		"no pod is admitted": {objects: []client.Object{refused, deployment("vc-gateway", true), deployment("vc-manager", true), deployment("vn-agent", true)}, want: []string{"Deployment syncer: violates PodSecurity"}},
		"a status of before": {objects: []client.Object{outdated, deployment("vc-gateway", true), deployment("vc-manager", true), deployment("vn-agent", true)}, want: []string{"syncer not available"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := waitForDeployments(t.Context(), fakePlatform(tc.objects...), charts.Namespace, 10*time.Millisecond)
			if (err == nil) != (len(tc.want) == 0) {
				t.Fatalf("got error %v, want %v", err, tc.want)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestWaitForDeploymentsEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waitForDeployments(ctx, fakePlatform(), charts.Namespace, time.Hour); err == nil {
		t.Error("a cancelled wait succeeded")
	}
}
