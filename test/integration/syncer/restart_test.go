// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
)

// stamped returns the resource version of every super object of a tenant, or
// of all tenants if tn is nil.
func (e *environment) stamped(t *testing.T, tn *tenant) map[string]string {
	t.Helper()
	selector := identity.Selector()
	if tn != nil {
		selector = identity.TenantSelector(tn.names.ID)
	}
	return versions(t, e.superClient, client.MatchingLabelsSelector{Selector: selector})
}

// versions returns the resource versions of what the syncer writes in a cluster.
func versions(t *testing.T, c client.Client, options ...client.ListOption) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, list := range []client.ObjectList{
		&corev1.NamespaceList{}, &corev1.PodList{}, &corev1.ConfigMapList{}, &corev1.SecretList{},
		&corev1.ServiceList{}, &discoveryv1.EndpointSliceList{},
	} {
		must(t, c.List(t.Context(), list, options...))
		items, err := meta.ExtractList(list)
		must(t, err)
		for _, item := range items {
			object := item.(client.Object)
			found[fmt.Sprintf("%T %s/%s %s", object, object.GetNamespace(), object.GetName(), object.GetUID())] = object.GetResourceVersion()
		}
	}
	return found
}

// testQuietRestart: a first pass over what is in order writes nothing.
func testQuietRestart(t *testing.T, e *environment, stop func()) func() {
	var before map[string]string
	eventually(t, "calm", func(context.Context) error { // what earlier parts left is still going
		first := e.stamped(t, nil)
		timer := time.NewTimer(500 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
		before = e.stamped(t, nil)
		if !maps.Equal(first, before) {
			return errors.New(cmp.Diff(first, before))
		}
		return nil
	})
	stop()
	stop = e.startSyncer(t)
	consistently(t, "no write in the super cluster", 4*time.Second, func(context.Context) error {
		if diff := cmp.Diff(before, e.stamped(t, nil)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	return stop
}

// testRestartInTheMiddle: ten pods, and the syncer ends between any of its
// writes; every pod runs and none was made twice.
func testRestartInTheMiddle(t *testing.T, e *environment, tn *tenant, stop func()) func() {
	const pods = 10
	namespace := tn.superKey("default", "").Namespace
	watcher, err := e.superClient.Watch(t.Context(), &corev1.PodList{}, client.InNamespace(namespace),
		client.MatchingLabels{"app.kubernetes.io/part-of": "restart"})
	must(t, err)
	defer watcher.Stop()
	for i := range pods {
		pod := makePod("default", fmt.Sprintf("restart-%d", i))
		pod.Labels["app.kubernetes.io/part-of"] = "restart"
		must(t, tn.client.Create(t.Context(), pod))
		if i == pods/2 {
			stop()
		}
	}
	stop = e.startSyncer(t)
	for i := range pods {
		tn.waitRunning(t, "default", fmt.Sprintf("restart-%d", i))
	}
	made := map[string]int{}
	for len(made) < pods {
		select {
		case event := <-watcher.ResultChan():
			if event.Type == watch.Added {
				made[event.Object.(*corev1.Pod).Name]++
			}
		case <-time.After(settle):
			t.Fatalf("super pods made: %v", made)
		}
	}
	for name, times := range made {
		if times != 1 {
			t.Errorf("%s was made %d times", name, times)
		}
	}
	return stop
}

// testUnreachable: a tenant that does not answer keeps everything it has, also
// over a restart of the syncer, and its neighbour notices nothing.
func testUnreachable(t *testing.T, e *environment, cut, neighbour *tenant, stop func()) func() {
	before := e.stamped(t, cut)
	cut.line.cut()
	eventually(t, "the condition", func(ctx context.Context) error {
		var vc tenancyv1alpha1.VirtualCluster
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(cut.vc), &vc); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionSyncerReady)
		if condition == nil || condition.Reason != tenancyv1alpha1.ReasonTenantUnreachable {
			return fmt.Errorf("condition %+v", condition)
		}
		return nil
	})
	stop()
	stop = e.startSyncer(t)
	must(t, neighbour.client.Create(t.Context(), makePod("default", "meanwhile")))
	neighbour.waitRunning(t, "default", "meanwhile")
	consistently(t, "nothing of the unreachable tenant is touched", 3*time.Second, func(context.Context) error {
		if diff := cmp.Diff(before, e.stamped(t, cut)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	cut.line.mend()
	e.waitSynced(t, cut)
	must(t, cut.client.Create(t.Context(), makePod("default", "mended")))
	cut.waitRunning(t, "default", "mended")
	return stop
}

// cmpVersions says what differs between two looks.
func cmpVersions(before, after map[string]string) string {
	if maps.Equal(before, after) {
		return ""
	}
	return cmp.Diff(before, after)
}
