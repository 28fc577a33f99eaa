// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

const (
	// lookInterval is the time between two looks at a tenant's identity and version,
	// and lookShare what each of very many tenants adds to it.
	lookInterval = 15 * time.Second
	lookShare    = 60 * time.Millisecond
	// lookTimeout bounds one.
	lookTimeout = 10 * time.Second
)

// errAnotherDatabase ends a connection whose caches show a past that is gone.
var errAnotherDatabase = errors.New("the tenant's API server serves another database than before, or an older state of it")

// errNoCluster is returned for an API server that lacks what each cluster has.
var errNoCluster = errors.New("the tenant's API server does not serve a cluster")

// presence is what a tenant's API server says about itself.
type presence struct {
	// cluster is the UID of namespace kube-system, which nobody can delete.
	cluster types.UID
	// version is the resource version of the database as a whole.
	version string
}

// ask reads a tenant's presence, live.
func ask(ctx context.Context, t *tenant) (presence, error) {
	var system corev1.NamespaceList
	if err := t.GetAPIReader().List(ctx, &system, client.MatchingFields{metav1.ObjectNameField: metav1.NamespaceSystem}); err != nil {
		return presence{}, fmt.Errorf("reading the tenant's identity and version: %w", err)
	}
	if len(system.Items) != 1 {
		return presence{}, fmt.Errorf("%w: it has no namespace %s", errNoCluster, metav1.NamespaceSystem)
	}
	return presence{system.Items[0].UID, system.ResourceVersion}, nil
}

// meet learns who the tenant is and judges what is absent, before anything of it is synced.
func (e *Engine) meet(t *tenant) error {
	ctx, cancel := context.WithTimeout(t.ctx, e.options.RequestTimeout)
	defer cancel()
	now, err := ask(ctx, t)
	if err != nil {
		return err
	}
	t.cluster, t.version = now.cluster, now.version
	_, err = e.judge(ctx, t)
	return err
}

// look ends the connection if the tenant is not what it was: a watch does not
// notice that the database behind it was replaced by an older one. While
// deletions are held it judges again.
func (e *Engine) look(t *tenant) {
	ctx, cancel := context.WithTimeout(t.ctx, lookTimeout)
	defer cancel()
	log := ctrl.LoggerFrom(t.ctx)
	now, err := ask(ctx, t)
	if err != nil {
		log.V(1).Info("Cannot look at the tenant", "error", err.Error())
		return
	}
	if t.isAnother(now) {
		log.Info("The tenant is not what it was: connecting anew", "cluster", now.cluster, "version", now.version, "before", t.version, "shown", t.shown.get())
		t.Disconnect(errAnotherDatabase)
		return
	}
	t.version = now.version
	if t.brake.held() == nil {
		return
	}
	if _, err := e.judge(ctx, t); err != nil {
		log.Error(err, "Cannot judge what is absent")
	}
}

// judge collects evidence and lets the brake decide. done is false if somebody
// else is at it.
func (e *Engine) judge(ctx context.Context, t *tenant) (done bool, err error) {
	if !t.brake.judging.TryLock() {
		return false, nil
	}
	defer t.brake.judging.Unlock()
	asked := e.options.Clock.Now()
	found, err := e.collect(ctx, t)
	if err != nil {
		return false, err
	}
	record, err := e.options.Records(ctx, t.VirtualCluster)
	if err != nil {
		return false, fmt.Errorf("reading what is known about held deletions: %w", err)
	}
	before := t.brake.held()
	freed := t.brake.update(asked, found, record)
	after, log := t.brake.held(), ctrl.LoggerFrom(t.ctx)
	switch {
	case freed:
		log.Info("Deletions go on", "reason", before.Reason)
		select {
		case t.freed <- struct{}{}:
		default:
		}
	case before == nil && after != nil:
		log.Info("Deletions are held", "reason", after.Reason, "message", after.Message)
		if t.synced.Load() && after.Reason == tenancyv1alpha1.ReasonTenantWentBack {
			// Some caches were read anew, or this would not be known. Others may
			// wait in silence for a version that comes again with other content.
			t.Disconnect(errAnotherDatabase)
		}
	}
	return true, nil
}

// collect surveys both sides. What looks like too much is compared with the
// tenant's own history first.
func (e *Engine) collect(ctx context.Context, t *tenant) (evidence, error) {
	found, err := e.survey(ctx, t)
	if err != nil {
		return evidence{}, err
	}
	now, err := ask(ctx, t)
	if err != nil {
		return evidence{}, err
	}
	if now.cluster != t.cluster {
		t.Disconnect(errAnotherDatabase)
		return evidence{}, errAnotherDatabase
	}
	found.wentBack = isBehind(now.version, found.highest)
	verdict := t.brake.withRemoved(found.evidence)
	if found.wentBack || found.replaced || !t.brake.policy.tooMany(verdict.orphans, verdict.total) {
		return verdict, nil
	}
	e.replay(ctx, t, found)
	again, err := e.survey(ctx, t)
	if err != nil {
		return evidence{}, err
	}
	return t.brake.withRemoved(again.evidence), nil
}

// survey is what a comparison of a tenant with the super cluster shows.
type survey struct {
	evidence
	// highest version that anything was written from.
	highest string
	// orphaned are the UIDs of absent objects by kind, each with the version
	// that it was synced from, or none.
	orphaned map[*controller]map[types.UID]string
}

// surveyed is one super object.
type surveyed struct {
	controller *controller
	super      client.Object
	owner      identity.Owner
	// absent from the tenant, and explained: somebody was seen to delete it.
	absent, explained bool
}

// survey compares all super objects of a tenant with the tenant's caches.
func (e *Engine) survey(ctx context.Context, t *tenant) (survey, error) {
	var all []surveyed
	for _, c := range e.controllers {
		if c.kind.Direction == kind.Up {
			continue
		}
		var unread error
		ofTenant := []client.ListOption{client.MatchingLabelsSelector{Selector: identity.TenantSelector(t.ID)}, client.UnsafeDisableDeepCopy}
		err := e.tryEach(ctx, e.options.Super.GetClient(), c.kind.New(), ofTenant, func(super client.Object) {
			one, ok, err := c.surveyOne(ctx, t, super)
			unread = errors.Join(unread, err)
			if ok {
				all = append(all, one)
			}
		})
		// Half a survey would make a loss look small.
		if err := errors.Join(err, unread); err != nil {
			return survey{}, err
		}
	}
	return summarize(all, t.cluster), nil
}

func (c *controller) surveyOne(ctx context.Context, t *tenant, super client.Object) (one surveyed, ok bool, err error) {
	owner, stamped := identity.Of(super)
	key := types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}
	if !stamped || c.kind.SuperKey(t.names, key) != client.ObjectKeyFromObject(super) {
		return surveyed{}, false, nil // an attachment, or nothing of ours
	}
	one = surveyed{controller: c, super: super, owner: owner}
	object := c.kind.New()
	tenantObject, err := found(object, t.client.Get(ctx, key, object))
	if err != nil {
		return surveyed{}, false, fmt.Errorf("reading the tenant's object: %w", err)
	}
	one.absent = tenantObject == nil || tenantObject.GetUID() != owner.UID
	one.explained = c.witness.has(request{Tenant: t.ID, NamespacedName: key}, owner.UID) || !super.GetDeletionTimestamp().IsZero()
	return one, true, nil
}

// summarize counts. With a namespace goes everything that is in it, whatever
// else the tenant shows; and whoever deletes a namespace deletes that too.
func summarize(all []surveyed, cluster types.UID) survey {
	lost, deleted := absentNamespaces(all)
	result := survey{orphaned: map[*controller]map[types.UID]string{}}
	for _, one := range all {
		result.total++
		from := originOf(one.super)
		if from.cluster == cluster {
			result.highest = newer(result.highest, from.version)
		}
		namespace := one.super.GetNamespace()
		if explained := one.explained || deleted[namespace]; !lost[namespace] && (!one.absent || explained) {
			continue
		}
		result.orphans++
		result.replaced = result.replaced || from.cluster != "" && from.cluster != cluster
		if one.absent {
			result.miss(one, from.version)
		}
	}
	return result
}

// absentNamespaces names the super namespaces that would take with them what
// is lost, and those that somebody wanted to go.
func absentNamespaces(all []surveyed) (lost, deleted map[string]bool) {
	lost, deleted = map[string]bool{}, map[string]bool{}
	for _, one := range all {
		if _, isNamespace := one.super.(*corev1.Namespace); !isNamespace || !one.absent {
			continue
		}
		if one.explained {
			deleted[one.super.GetName()] = true
		} else {
			lost[one.super.GetName()] = true
		}
	}
	return lost, deleted
}

func (s *survey) miss(one surveyed, version string) {
	if s.orphaned[one.controller] == nil {
		s.orphaned[one.controller] = map[types.UID]string{}
	}
	s.orphaned[one.controller][one.owner.UID] = version
}
