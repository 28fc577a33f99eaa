// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
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

// replayKind reads the history of one kind. What is missing was there at its
// origin, so its end is later; but not later than everything that was synced:
// a syncer that is killed leaves deletions behind it that it has not come to.
func (e *Engine) replayKind(ctx context.Context, t *tenant, c *controller, missing map[types.UID]string, highest string) error {
	tenantWatch, err := e.options.Watcher(t.Tenant)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	versions := beginnings(missing, highest)
	for i := 0; i < len(versions); {
		forgotten, err := e.replayFrom(ctx, t, c, tenantWatch, missing, versions[i])
		if err != nil || !forgotten {
			return err
		}
		i += max(1, (len(versions)-i)/2) // in few steps to what is remembered
	}
	return nil
}

// beginnings returns the versions from which a history is worth reading, the
// one that tells most first.
func beginnings(missing map[types.UID]string, highest string) []string {
	versions := append(slices.Collect(maps.Values(missing)), highest)
	versions = slices.DeleteFunc(versions, func(version string) bool {
		_, err := resourceversion.CompareResourceVersion(version, version)
		return err != nil
	})
	slices.SortFunc(versions, func(a, b string) int {
		switch {
		case isBehind(a, b):
			return -1
		case isBehind(b, a):
			return 1
		}
		return 0
	})
	return slices.Compact(versions)
}

// replayFrom reads the history from a version on. forgotten says that it does
// not reach back so far.
func (e *Engine) replayFrom(
	ctx context.Context, t *tenant, c *controller, tenantWatch client.WithWatch, missing map[types.UID]string, version string,
) (forgotten bool, err error) {
	list, err := listOf(t.GetScheme(), c.kind.New())
	if err != nil {
		return false, err
	}
	watcher, err := tenantWatch.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}})
	if err != nil {
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			return true, nil
		}
		return false, err
	}
	defer watcher.Stop()
	return e.readHistory(ctx, watcher, missing, c.sawDeletion(t)), nil
}

// readHistory calls saw for every deletion of what is missing, until all of it
// is found, or the watch has no more to say. forgotten says that it had nothing.
func (e *Engine) readHistory(ctx context.Context, watcher watch.Interface, missing map[types.UID]string, saw func(client.Object)) (forgotten bool) {
	silence := e.options.Clock.NewTimer(replaySilence)
	defer silence.Stop()
	for left := len(missing); left > 0; {
		select {
		case event, open := <-watcher.ResultChan():
			if !open {
				return false
			}
			if event.Type == watch.Error {
				err := apierrors.FromObject(event.Object)
				return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
			}
			object, ok := event.Object.(client.Object)
			if _, wanted := missing[objectUID(object, ok)]; wanted && event.Type == watch.Deleted {
				saw(object)
				left--
			}
			silence.Reset(replaySilence)
		case <-silence.C():
			return false
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// objectUID returns the UID of an object, or none.
func objectUID(object client.Object, ok bool) types.UID {
	if !ok {
		return ""
	}
	return object.GetUID()
}
