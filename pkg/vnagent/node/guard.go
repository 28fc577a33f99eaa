// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// guard watches the Node and puts back what differs from desired. It returns
// errNodeDeleted when the Node is gone, or nil when ctx ends.
func (a *agent) guard(ctx context.Context, desired *corev1.Node) error {
	events := make(chan struct{}, 1)
	notify := func() {
		select {
		case events <- struct{}{}:
		default:
		}
	}
	store, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		// A node may list and watch itself only: the selector is what the authorizer looks at.
		ListerWatcher: cache.NewListWatchFromClient(a.clients.watches.CoreV1().RESTClient(), "nodes", metav1.NamespaceAll,
			fields.OneTermEqualSelector(metav1.ObjectNameField, desired.Name)),
		ObjectType: &corev1.Node{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notify() },
			UpdateFunc: func(any, any) { notify() },
			DeleteFunc: func(any) { notify() },
		},
	})
	a.runs.Go(func() { informer.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil
	}
	notify()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
		}
		item, exists, err := store.GetByKey(desired.Name)
		if err != nil {
			return fmt.Errorf("reading the watched node: %w", err)
		}
		if !exists {
			return errNodeDeleted
		}
		if repaired, err := a.repair(ctx, desired, item); err != nil {
			a.logger.V(1).Info("repairing the virtual node failed", "error", err.Error())
			notify()
		} else if !repaired {
			continue
		}
		// Somebody who fights for the Node gets one repair in each interval.
		a.pause(ctx)
	}
}

func (a *agent) pause(ctx context.Context) {
	timer := a.clock.NewTimer(repairInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

func (a *agent) repair(ctx context.Context, desired *corev1.Node, item any) (repaired bool, err error) {
	live, ok := item.(*corev1.Node)
	if !ok {
		return false, fmt.Errorf("watched a %T", item)
	}
	patch, err := repairPatch(desired, live)
	if err != nil || patch == nil {
		return false, err
	}
	_, err = a.clients.requests.CoreV1().Nodes().Patch(ctx, live.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return false, fmt.Errorf("patching the node: %w", err)
	}
	a.logger.Info("virtual node was changed by somebody else and is repaired")
	return true, nil
}
