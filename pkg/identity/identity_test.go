// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

var (
	owner          = Owner{TenantID: "id-a", Namespace: "default", Name: "web", UID: "uid-1"}
	virtualCluster = types.NamespacedName{Namespace: "team", Name: "demo"}
)

func TestStampRoundTrip(t *testing.T) {
	tests := map[string]Owner{
		"namespaced":     owner,
		"cluster-scoped": {TenantID: "id-a", Name: "default", UID: "uid-2"},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{}
			Stamp(pod, want, virtualCluster)
			got, ok := Of(pod)
			if !ok {
				t.Fatal("the stamp is not complete")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("owner (-want +got):\n%s", diff)
			}
			if !TenantSelector(want.TenantID).Matches(labels.Set(pod.Labels)) || !Selector().Matches(labels.Set(pod.Labels)) {
				t.Error("the selectors do not select a stamped object")
			}
			if TenantSelector("id-b").Matches(labels.Set(pod.Labels)) {
				t.Error("another tenant's selector selects it")
			}
		})
	}
}

// A tenant writes what it likes below the platform's domain; none of it may
// survive the stamp (attack catalogue, M04).
func TestStampRemovesForgeries(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{
			tenancyv1alpha1.LabelTenantID:         "id-b",
			tenancyv1alpha1.LabelPrefix + "extra": "x",
			"config.virtualcluster.io/x":          "x",
			"app":                                 "web",
			"xvirtualcluster.io/keep":             "x",
		},
		Annotations: map[string]string{
			tenancyv1alpha1.AnnotationTenantUID: "uid-b",
			"virtualcluster.io/x":               "x",
			"example.com/note":                  "kept",
		},
	}}
	Stamp(pod, owner, virtualCluster)
	wantLabels := map[string]string{
		tenancyv1alpha1.LabelTenantID:  "id-a",
		tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedBySyncer,
		"app":                          "web",
		"xvirtualcluster.io/keep":      "x",
	}
	wantAnnotations := map[string]string{
		tenancyv1alpha1.AnnotationTenantNamespace: "default",
		tenancyv1alpha1.AnnotationTenantName:      "web",
		tenancyv1alpha1.AnnotationTenantUID:       "uid-1",
		tenancyv1alpha1.AnnotationVirtualCluster:  "team/demo",
		"example.com/note":                        "kept",
	}
	if diff := cmp.Diff(wantLabels, pod.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantAnnotations, pod.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestOfRefusesAnIncompleteStamp(t *testing.T) {
	tests := map[string]func(*corev1.Pod){
		"not managed by the syncer": func(p *corev1.Pod) { p.Labels[tenancyv1alpha1.LabelManagedBy] = "vc-manager" },
		"no tenant":                 func(p *corev1.Pod) { delete(p.Labels, tenancyv1alpha1.LabelTenantID) },
		"no namespace":              func(p *corev1.Pod) { delete(p.Annotations, tenancyv1alpha1.AnnotationTenantNamespace) },
		"no name":                   func(p *corev1.Pod) { p.Annotations[tenancyv1alpha1.AnnotationTenantName] = "" },
		"no uid":                    func(p *corev1.Pod) { delete(p.Annotations, tenancyv1alpha1.AnnotationTenantUID) },
		"nothing at all":            func(p *corev1.Pod) { p.Labels, p.Annotations = nil, nil },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{}
			Stamp(pod, owner, virtualCluster)
			damage(pod)
			if got, ok := Of(pod); ok {
				t.Errorf("accepted as %+v", got)
			}
		})
	}
}

func TestIsReservedKey(t *testing.T) {
	tests := map[string]bool{
		"tenancy.virtualcluster.io/tenant-id": true,
		"config.virtualcluster.io/a":          true,
		"virtualcluster.io/a":                 true,
		"a.b.virtualcluster.io/a":             true,
		"xvirtualcluster.io/a":                false,
		"virtualcluster.io.example.com/a":     false,
		"virtualcluster.io":                   false,
		"app.kubernetes.io/name":              false,
		"app":                                 false,
	}
	for key, want := range tests {
		t.Run(key, func(t *testing.T) {
			if got := IsReservedKey(key); got != want {
				t.Errorf("IsReservedKey(%q) = %v, want %v", key, got, want)
			}
		})
	}
}
