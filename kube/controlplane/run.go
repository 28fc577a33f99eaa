// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/controller-manager/pkg/features"
	"k8s.io/klog/v2"
)

const (
	// readyTimeout bounds how long the API server may take to become ready
	// before the process gives up, to be restarted with its reason in the log.
	readyTimeout = 2 * time.Minute
	readyPeriod  = 50 * time.Millisecond
	// stopTimeout bounds how long the parts may take to stop before the
	// database is closed all the same: a request that waits for a webhook may
	// take half a minute, who stops us does not wait longer than 20 s, and a
	// member of several waits up to 7 s for its clients when it closes.
	stopTimeout = 10 * time.Second
)

// Run runs the control plane until ctx ends, which is no error, or until one
// of its parts ends, which is. The parts stop in the reverse of the order in
// which they need each other: controllers, API server, database.
func Run(ctx context.Context, o *Options) error {
	if err := pki(o.PKIDir).check(); err != nil {
		return err
	}
	if err := makeDirs(o.DataDir, o.runDir()); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	keys, err := readEncryptionKeys(o)
	if err != nil {
		return err
	}
	if err := setUpProcess(o); err != nil {
		return err
	}
	etcd, err := startDatabase(ctx, o)
	if err != nil {
		return endedEarly(ctx, "etcd", err)
	}
	defer etcd.Close()

	// The API server outlives ctx until the controllers have stopped.
	apiserverCtx, stopAPIServer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAPIServer()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return endedEarly(apiserverCtx, "kube-apiserver", runAPIServer(apiserverCtx, o, keys))
	})
	group.Go(func() error {
		defer stopAPIServer()
		if err := waitReady(ctx, o); err != nil {
			return endedEarly(ctx, "kube-apiserver", err) // who stops it this early is no error either
		}
		go trimMemory(ctx, time.After)
		go paceCollector(ctx, time.After)
		return endedEarly(ctx, "kube-controller-manager", runControllerManager(ctx, o))
	})
	group.Go(func() error { return etcd.wait(ctx) })
	return waitStopped(ctx, group.Wait, time.After)
}

// errDatabaseEnded is part of why the process ends when its database has ended
// before it.
var errDatabaseEnded = errors.New("the database has ended")

// waitStopped returns what wait does, which it calls once. When ctx has ended
// it gives wait stopTimeout, and then returns why ctx ended, if that is an
// error. Without a database there is nothing to wait for: every request that the
// API server still took would fail, and clients turn to another replica only
// when this one is gone.
func waitStopped(ctx context.Context, wait func() error, after func(time.Duration) <-chan time.Time) error {
	stopped := make(chan error, 1)
	go func() { stopped <- wait() }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	if cause := context.Cause(ctx); errors.Is(cause, errDatabaseEnded) {
		return cause
	}
	select {
	case err := <-stopped:
		return err
	case <-after(stopTimeout):
	}
	klog.InfoS("Parts are still busy: closing the database without them", "waited", stopTimeout)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// makeDirs makes directories that only this user may enter: the database's
// socket is in the first. One that exists with other rights is put right.
func makeDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// endedEarly makes an error of a part that returned although nobody stopped it.
func endedEarly(ctx context.Context, part string, err error) error {
	if err == nil && ctx.Err() == nil {
		return fmt.Errorf("%s ended by itself", part)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// setUpProcess does once what each program would do in its own process.
func setUpProcess(o *Options) error {
	// The programs were made to be alone: without this the second one to set
	// up logging ends the process.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	logging := logs.NewOptions()
	logging.Verbosity = logsapi.VerbosityLevel(o.Verbosity)
	if err := logsapi.ValidateAndApply(logging, utilfeature.DefaultFeatureGate); err != nil {
		return fmt.Errorf("setting up logging: %w", err)
	}
	// Otherwise kube-controller-manager ends the process, and with it the
	// database, at once when it is told to stop while it leads.
	if o.replicated() {
		gate := map[string]bool{string(features.ControllerManagerReleaseLeaderElectionLockOnExit): true}
		if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gate); err != nil {
			return fmt.Errorf("setting up kube-controller-manager: %w", err)
		}
	}
	// Warnings about deprecated APIs are for users, not for the controllers,
	// which watch every API there is.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	followClientPairs()
	return nil
}

// waitReady returns when the API server answers /readyz, which includes the
// roles that the controllers need.
func waitReady(ctx context.Context, o *Options) error {
	ca, err := os.ReadFile(pki(o.PKIDir).path(fileServerCA))
	if err != nil {
		return fmt.Errorf("reading the API server's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("%s holds no certificate", pki(o.PKIDir).path(fileServerCA))
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	started := time.Now()
	var last error
	err = wait.PollUntilContextTimeout(ctx, readyPeriod, readyTimeout, true, func(ctx context.Context) (bool, error) {
		last = probe(ctx, client, o.loopbackURL()+"/readyz")
		return last == nil, nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("kube-apiserver was not ready within %s: %w", readyTimeout, last)
	}
	klog.InfoS("API server ready", "after", time.Since(started).Round(time.Millisecond))
	return err
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}
