// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leader elects the one replica of a component that acts, in the same
// way for every component.
//
// In a pod the candidate is the pod, not the process: a container that is
// started again after a crash takes its own Lease back at once, where a new
// name in every process would have it wait for the Lease of the dead one to
// run out. That is safe because the kubelet never runs two containers of one
// name in a pod, and no two pods have the same name.
package leader

import (
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// EnvPodName is the environment variable that holds the pod's name in a pod
// (downward API, metadata.name). Unset, each process is a candidate of its own.
const EnvPodName = "POD_NAME"

const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// Identity returns the name of this candidate: the pod's, or one that is new in
// every process.
func Identity() (string, error) {
	if pod := os.Getenv(EnvPodName); pod != "" {
		return pod, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("naming this candidate: %w", err)
	}
	return host + "_" + string(uuid.NewUUID()), nil
}

// Elect sets the manager's options so that it leads only while it holds the
// Lease of this name, and returns what tells whether it still does; nil if there
// is no election. restConfig reaches the cluster that holds the Lease.
func Elect(options *ctrl.Options, restConfig *rest.Config, config configv1alpha1.LeaderElection, lease string) (*Term, error) {
	duration, deadline, retry := leaseDuration, renewDeadline, retryPeriod
	options.LeaderElection = *config.LeaderElect
	options.LeaderElectionID = lease
	options.LeaderElectionNamespace = config.ResourceNamespace
	// A replica that stops in order hands over at once.
	options.LeaderElectionReleaseOnCancel = true
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = &duration, &deadline, &retry
	if !options.LeaderElection {
		return nil, nil
	}
	identity, err := Identity()
	if err != nil {
		return nil, err
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, config.ResourceNamespace, lease,
		resourcelock.ResourceLockConfig{Identity: identity}, restConfig, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("making the lock of Lease %s/%s: %w", config.ResourceNamespace, lease, err)
	}
	term := &Term{Interface: lock, clock: clock.RealClock{}}
	options.LeaderElectionResourceLockInterface = term
	return term, nil
}
