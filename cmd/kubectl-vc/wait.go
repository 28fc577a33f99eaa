// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// pollInterval is how often a wait looks again.
const pollInterval = 300 * time.Millisecond

// waitReady waits until the virtual cluster is Ready and prints each condition
// as it changes. A single failed read is not the end: the timeout is.
func waitReady(ctx context.Context, cluster *metaCluster, key client.ObjectKey, timeout time.Duration, out io.Writer) error {
	start := time.Now()
	progress := conditionPrinter{out: out, start: start, seen: map[string]string{}}
	vc := &tenancyv1alpha1.VirtualCluster{}
	var lastErr error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, func(ctx context.Context) (bool, error) {
		if lastErr = cluster.client.Get(ctx, key, vc); lastErr != nil {
			return false, permanent(lastErr)
		}
		progress.print(vc.Status.Conditions)
		return meta.IsStatusConditionTrue(vc.Status.Conditions, tenancyv1alpha1.ConditionReady), nil
	})
	switch {
	case err == nil:
		fmt.Fprintf(out, "virtual cluster %s is Ready after %.1f s\n", key, time.Since(start).Seconds())
		return nil
	case !wait.Interrupted(err), lastErr != nil && !wait.Interrupted(lastErr):
		return cluster.explain("waiting for virtual cluster "+key.String(), key, lastErr)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted while virtual cluster %s was not Ready: %s", key, describe(vc.Status.Conditions))
	default:
		return fmt.Errorf("virtual cluster %s is not Ready after %s: %s: see `kubectl -n %s describe vc %s` in the meta cluster", key, timeout, describe(vc.Status.Conditions), key.Namespace, key.Name)
	}
}

// waitGone waits until the object with this UID no longer exists.
func waitGone(ctx context.Context, cluster *metaCluster, vc *tenancyv1alpha1.VirtualCluster, timeout time.Duration, out io.Writer) error {
	start, key := time.Now(), client.ObjectKeyFromObject(vc)
	live := &tenancyv1alpha1.VirtualCluster{}
	var lastErr error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, func(ctx context.Context) (bool, error) {
		lastErr = cluster.client.Get(ctx, key, live)
		if apierrors.IsNotFound(lastErr) || lastErr == nil && live.UID != vc.UID {
			return true, nil
		}
		return false, permanent(lastErr)
	})
	switch {
	case err == nil:
		fmt.Fprintf(out, "virtual cluster %s is gone after %.1f s\n", key, time.Since(start).Seconds())
		return nil
	case !wait.Interrupted(err), lastErr != nil && !wait.Interrupted(lastErr):
		return cluster.explain("waiting for virtual cluster "+key.String()+" to go", key, lastErr)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted while virtual cluster %s was still being deleted", key)
	default:
		return fmt.Errorf("virtual cluster %s is not gone after %s: it waits for the finalizers %s: see the logs of syncer and vc-manager", key, timeout, strings.Join(live.Finalizers, ", "))
	}
}

// permanent returns err if no amount of waiting will make it go away.
func permanent(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || meta.IsNoMatchError(err) {
		return err
	}
	return nil
}

// conditionPrinter prints a condition when its status or reason has changed.
type conditionPrinter struct {
	out   io.Writer
	start time.Time
	seen  map[string]string
}

func (p *conditionPrinter) print(conditions []metav1.Condition) {
	for _, c := range conditions {
		if c.Type == tenancyv1alpha1.ConditionReady {
			continue // It summarises the others; the caller has its own line for it.
		}
		state := string(c.Status) + "/" + c.Reason
		if p.seen[c.Type] == state {
			continue
		}
		p.seen[c.Type] = state
		line := fmt.Sprintf("%6.1f s  %-18s %-7s %s", time.Since(p.start).Seconds(), c.Type, c.Status, c.Reason)
		if c.Status != metav1.ConditionTrue && c.Message != "" {
			line += ": " + c.Message
		}
		fmt.Fprintln(p.out, line)
	}
}

// describe says what a virtual cluster that is not Ready waits for. Conditions
// that only wait for others are left out where there is a cause.
func describe(conditions []metav1.Condition) string {
	var causes, waiting []string
	for _, c := range conditions {
		if c.Type == tenancyv1alpha1.ConditionReady || c.Status == metav1.ConditionTrue {
			continue
		}
		line := fmt.Sprintf("%s is %s (%s: %s)", c.Type, c.Status, c.Reason, c.Message)
		if c.Reason == tenancyv1alpha1.ReasonWaiting {
			waiting = append(waiting, line)
		} else {
			causes = append(causes, line)
		}
	}
	if len(causes) == 0 {
		causes = waiting
	}
	if len(causes) > 0 {
		return strings.Join(causes, "; ")
	}
	if ready := meta.FindStatusCondition(conditions, tenancyv1alpha1.ConditionReady); ready != nil {
		return fmt.Sprintf("%s: %s", ready.Reason, ready.Message)
	}
	return "it has no conditions yet: is vc-manager running?"
}
