// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/fleet"
)

const (
	// replaySilence is how long a history may be silent before it counts as read.
	replaySilence = time.Second
	// replayTimeout bounds the reading of the history of one kind.
	replayTimeout = 5 * time.Second
)

// watcherOf is the default of Options.Watcher.
func watcherOf(t *fleet.Tenant) (client.WithWatch, error) {
	return client.NewWithWatch(t.GetConfig(), client.Options{HTTPClient: t.GetHTTPClient(), Scheme: t.GetScheme(), Mapper: t.GetRESTMapper()})
}

// replay reads in the tenant's own history who deleted what is absent. A tenant
// remembers the last minutes: deletions during a restart of the syncer are seen
// after the event. Of a database that was replaced or restored there is no such
// history, nor of what is too long ago; then nothing is learned.
func (e *Engine) replay(ctx context.Context, t *tenant, from survey) {
	for c, missing := range from.orphaned {
		if err := e.replayKind(ctx, t, c, missing, from.highest); err != nil {
			ctrl.LoggerFrom(ctx).Info("Cannot read the tenant's history", "kind", c.kind.Name, "error", err.Error())
		}
	}
}

func (e *Engine) replayKind(ctx context.Context, t *tenant, c *controller, missing map[types.UID]bool, version string) error {
	if version == "" {
		return nil
	}
	tenantWatch, err := e.options.Watcher(t.Tenant)
	if err != nil {
		return err
	}
	list, err := listOf(t.GetScheme(), c.kind.New())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	watcher, err := tenantWatch.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	e.readHistory(ctx, watcher, missing, c.sawDeletion(t))
	return nil
}

// readHistory calls saw for every deletion of what is missing, until all of it
// is found, or the watch has no more to say.
func (e *Engine) readHistory(ctx context.Context, watcher watch.Interface, missing map[types.UID]bool, saw func(client.Object)) {
	silence := e.options.Clock.NewTimer(replaySilence)
	defer silence.Stop()
	for left := len(missing); left > 0; {
		select {
		case event, open := <-watcher.ResultChan():
			if !open || event.Type == watch.Error {
				return
			}
			object, ok := event.Object.(client.Object)
			if ok && event.Type == watch.Deleted && missing[object.GetUID()] {
				saw(object)
				left--
			}
			silence.Reset(replaySilence)
		case <-silence.C():
			return
		case <-ctx.Done():
			return
		}
	}
}
