// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// testServices: one address on both sides, node ports from the super cluster,
// a taken address told, and default/kubernetes leading to the control plane.
func testServices(t *testing.T, e *environment, tn *tenant) {
	ports := []corev1.ServicePort{{Name: "http", Port: 80}}
	tenantService := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "exposed"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": "web"}, Ports: ports},
	}
	must(t, tn.client.Create(t.Context(), tenantService))
	var superService corev1.Service
	eventually(t, "the same address and node port", func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, tn.superKey("default", "exposed"), &superService); err != nil {
			return err
		}
		if err := tn.client.Get(ctx, client.ObjectKeyFromObject(tenantService), tenantService); err != nil {
			return err
		}
		if tenantService.Spec.ClusterIP != superService.Spec.ClusterIP || tenantService.Spec.Ports[0].NodePort != superService.Spec.Ports[0].NodePort {
			return fmt.Errorf("tenant %+v, super %+v", tenantService.Spec, superService.Spec)
		}
		return nil
	})
	var slice discoveryv1.EndpointSlice
	eventually(t, "the control plane's address", func(ctx context.Context) error {
		return e.superClient.Get(ctx, tn.superKey("default", "kubernetes"), &slice)
	})
	if len(slice.Endpoints) != 1 || slice.Endpoints[0].Addresses[0] != "192.0.2.1" {
		t.Errorf("endpoints %+v", slice.Endpoints)
	}
	taken := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "taken"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.112.1.7", Ports: ports},
	}
	must(t, e.superClient.Create(t.Context(), taken.DeepCopy()))
	must(t, tn.client.Create(t.Context(), taken))
	eventually(t, "the event about the address", func(ctx context.Context) error {
		return oneEventAbout(ctx, tn, taken, "spec.clusterIP")
	})
}

// testDrift: what somebody else changes or deletes in the super cluster comes back.
func testDrift(t *testing.T, e *environment, tn *tenant) {
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "settings"}, Data: map[string]string{"a": "1"}}
	must(t, tn.client.Create(t.Context(), configMap))
	pod := makePod("default", "reader")
	pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
	must(t, tn.client.Create(t.Context(), pod))
	key := tn.superKey("default", "settings")
	is := func(want string) func(context.Context) error {
		return func(ctx context.Context) error {
			var superConfigMap corev1.ConfigMap
			if err := e.superClient.Get(ctx, key, &superConfigMap); err != nil {
				return err
			}
			if got := superConfigMap.Data["a"]; got != want || len(superConfigMap.Data) != 1 {
				return fmt.Errorf("data %v", superConfigMap.Data)
			}
			return nil
		}
	}
	eventually(t, "the copy", is("1"))
	edited := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	must(t, e.superClient.Patch(t.Context(), edited, client.RawPatch(types.MergePatchType, []byte(`{"data":{"a":"2","b":"3"}}`))))
	eventually(t, "the edit taken back", is("1"))
	must(t, e.superClient.Delete(t.Context(), edited))
	eventually(t, "the copy made again", is("1"))
	must(t, tn.client.Delete(t.Context(), pod))
	eventually(t, "the copy gone with its last user", func(ctx context.Context) error { return gone(ctx, e.superClient, edited) })
}

// testEvents: the tenant reads what the super cluster says about its pod, with
// its own names, and nothing about the platform's objects.
func testEvents(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "events", "web")
	say := func(name, message string) {
		now := metav1.NewTime(time.Now().Truncate(time.Second))
		must(t, e.superClient.Create(t.Context(), &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: superPod.Namespace, Name: name},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: superPod.Namespace, Name: superPod.Name, UID: superPod.UID},
			Reason:         "Testing", Message: message, Type: corev1.EventTypeNormal, Count: 1, FirstTimestamp: now, LastTimestamp: now,
			Source: corev1.EventSource{Component: "kubelet", Host: superNode},
		}))
	}
	say("web.hidden", `secret "vc-reserved-pod-x" not found`)
	say("web.shown", "pod "+superPod.Namespace+"/web on "+superNode)
	shown := &corev1.Event{}
	eventually(t, "the event", func(ctx context.Context) error {
		return tn.client.Get(ctx, types.NamespacedName{Namespace: "events", Name: "web.shown"}, shown)
	})
	if want := "pod events/web on virtual-node-0"; shown.Message != want || shown.InvolvedObject.UID != tenantPod.UID || shown.Source.Host != "virtual-node-0" {
		t.Errorf("the tenant reads %+v, want %q", shown, want)
	}
	if err := tn.client.Get(t.Context(), types.NamespacedName{Namespace: "events", Name: "web.hidden"}, shown); err == nil {
		t.Error("the tenant reads about the platform's secret")
	}
}

// testForeignObject: what is in the way and not the syncer's is left alone, and told.
func testForeignObject(t *testing.T, e *environment, tn *tenant) {
	key := tn.superKey("default", "in-the-way")
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: map[string]string{"owner": "somebody"}}
	must(t, e.superClient.Create(t.Context(), foreign))
	mine := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: key.Name}, Data: map[string]string{"owner": "me"}}
	must(t, tn.client.Create(t.Context(), mine))
	pod := makePod("default", "wants-it")
	pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: key.Name}}}}
	must(t, tn.client.Create(t.Context(), pod))
	eventually(t, "the event", func(ctx context.Context) error { return oneEventAbout(ctx, tn, mine, "metadata.name") })
	must(t, tn.client.Delete(t.Context(), mine))
	consistently(t, "the foreign object stays", 500*time.Millisecond, func(ctx context.Context) error {
		var live corev1.ConfigMap
		if err := e.superClient.Get(ctx, key, &live); err != nil {
			return err
		}
		if live.UID != foreign.UID || live.Data["owner"] != "somebody" {
			return fmt.Errorf("it is now %+v", live)
		}
		return nil
	})
	must(t, tn.client.Delete(t.Context(), pod))
}

// oneEventAbout checks that the object has an event about a field.
func oneEventAbout(ctx context.Context, tn *tenant, object client.Object, field string) error {
	var events corev1.EventList
	if err := tn.client.List(ctx, &events, client.InNamespace(object.GetNamespace())); err != nil {
		return err
	}
	for _, event := range events.Items {
		if event.InvolvedObject.UID == object.GetUID() && strings.HasPrefix(event.Message, field+": ") {
			return nil
		}
	}
	return errors.New("no event")
}
