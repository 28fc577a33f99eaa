// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

func TestClaims(t *testing.T) {
	yes := true
	owned := func(uid types.UID) client.Object {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0-scratch",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "web-0", UID: uid, Controller: &yes}},
		}}
	}
	byHand := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0-scratch"}}
	ephemeral := corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}}}
	claim := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data", ReadOnly: true}}
	cases := map[string]struct {
		source  corev1.VolumeSource
		objects []client.Object
		want    *corev1.PersistentVolumeClaimVolumeSource // nil: it waits
	}{
		"a claim that is not there yet":      {source: claim, want: claim.PersistentVolumeClaim},
		"ephemeral":                          {ephemeral, []client.Object{owned("pod-uid")}, &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "web-0-scratch"}},
		"ephemeral, not made yet":            {source: ephemeral},
		"ephemeral, of the pod before":       {source: ephemeral, objects: []client.Object{owned("old-uid")}},
		"ephemeral, made by somebody's hand": {source: ephemeral, objects: []client.Object{byHand}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec, _, err := created(t, makePod(func(s *corev1.PodSpec) {
				s.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: tc.source}}
			}), tc.objects...)
			if tc.want == nil {
				if !kind.IsWait(err) {
					t.Errorf("error %v, want a wait", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			diffOf(t, []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: tc.want}}}, spec.Volumes)
		})
	}
}
