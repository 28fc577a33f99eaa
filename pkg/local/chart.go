// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/charts"
)

const (
	// helmTimeout bounds what Helm itself does; it does not wait for pods.
	helmTimeout = 2 * time.Minute
	// helmHistory is how many revisions of the release are kept.
	helmHistory = 5
	// fieldManager applies what is not part of the Helm release: CRDs and the namespace.
	fieldManager = "kubectl-vc"
)

// installPlatform makes the cluster that kubeconfig (a path) leads to run the
// platform's chart with values: it applies the CRDs and the namespace vc-system,
// installs or upgrades the Helm release, and returns once every Deployment of
// the release is available. Each step is bounded, and ctx ends all of them.
//
// A call that finds the same chart, the same values and every Deployment in
// place writes no new revision. A release that an earlier call left pending
// (because it was killed) is taken over.
//
// The values that differ from the chart's own are the caller's: a local cluster
// wants class.controlPlane.exposure.type NodePort, and under
// {vcManager,syncer,vnAgent,gateway}.podAnnotations the digest of the image, because
// the tag stays the same when an image is rebuilt.
func installPlatform(ctx context.Context, kubeconfig string, values map[string]any) error {
	platformChart, err := charts.Load()
	if err != nil {
		return err
	}
	superClient, err := newPlatformClient(kubeconfig)
	if err != nil {
		return err
	}
	if err := applyCRDs(ctx, superClient, platformChart.CRDObjects()); err != nil {
		return err
	}
	if err := applyNamespace(ctx, superClient, charts.Namespace); err != nil {
		return err
	}
	config, err := newHelmConfiguration(kubeconfig)
	if err != nil {
		return err
	}
	if err := applyRelease(ctx, config, superClient, platformChart, values); err != nil {
		return err
	}
	return waitForDeployments(ctx, superClient, charts.Namespace, deploymentTimeout)
}

// newHelmConfiguration returns Helm's view of the cluster. Helm's own log is
// dropped: what matters comes back as an error.
func newHelmConfiguration(kubeconfig string) (*action.Configuration, error) {
	namespace := charts.Namespace
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig, flags.Namespace = &kubeconfig, &namespace
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := config.Init(flags, namespace, "secret"); err != nil {
		return nil, fmt.Errorf("preparing Helm: %w", err)
	}
	return config, nil
}

// applyRelease installs the release, upgrades it, or finds that nothing is to be done.
func applyRelease(ctx context.Context, config *action.Configuration, superClient client.Client, platformChart *chart.Chart, values map[string]any) error {
	last, err := lastRelease(config)
	if err != nil {
		return err
	}
	if last == nil {
		return installRelease(ctx, config, platformChart, values)
	}
	if err := takeOverPending(config, last); err != nil {
		return err
	}
	same, err := releaseIsCurrent(ctx, config, superClient, last, platformChart, values)
	if err != nil || same {
		return err
	}
	_, err = newUpgrade(config, action.DryRunNone).RunWithContext(ctx, charts.ReleaseName, platformChart, values)
	if err != nil {
		return fmt.Errorf("upgrading the Helm release %s: %w", charts.ReleaseName, err)
	}
	return nil
}

// lastRelease returns the latest revision of the release, or nil if there is none.
func lastRelease(config *action.Configuration) (*release.Release, error) {
	last, err := config.Releases.Last(charts.ReleaseName)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Helm release %s: %w", charts.ReleaseName, err)
	}
	typed, ok := last.(*release.Release)
	if !ok {
		return nil, fmt.Errorf("the Helm release %s has the unknown type %T: it was written by a newer Helm", charts.ReleaseName, last)
	}
	return typed, nil
}

// takeOverPending marks a pending revision as failed. Helm refuses to touch a
// pending one for ever; here the caller holds the lock of the local cluster, so
// whoever left it pending is gone.
func takeOverPending(config *action.Configuration, last *release.Release) error {
	if !last.Info.Status.IsPending() {
		return nil
	}
	last.SetStatus(common.StatusFailed, "interrupted; taken over by kubectl-vc")
	if err := config.Releases.Update(last); err != nil {
		return fmt.Errorf("taking over the interrupted Helm release %s: %w", charts.ReleaseName, err)
	}
	return nil
}

func installRelease(ctx context.Context, config *action.Configuration, platformChart *chart.Chart, values map[string]any) error {
	install := action.NewInstall(config)
	install.ReleaseName, install.Namespace = charts.ReleaseName, charts.Namespace
	install.Timeout, install.WaitStrategy = helmTimeout, kube.HookOnlyStrategy
	install.SkipCRDs = true // applyCRDs did it, and upgrades them too.
	if _, err := install.RunWithContext(ctx, platformChart, values); err != nil {
		return fmt.Errorf("installing the Helm release %s: %w", charts.ReleaseName, err)
	}
	return nil
}

func newUpgrade(config *action.Configuration, dryRun action.DryRunStrategy) *action.Upgrade {
	upgrade := action.NewUpgrade(config)
	upgrade.Namespace, upgrade.DryRunStrategy = charts.Namespace, dryRun
	upgrade.Timeout, upgrade.WaitStrategy = helmTimeout, kube.HookOnlyStrategy
	upgrade.MaxHistory = helmHistory
	upgrade.ResetValues = true // The caller's values are all there is; old ones do not linger.
	upgrade.SkipCRDs = true
	return upgrade
}

// releaseIsCurrent says whether an upgrade would change nothing: the last
// revision is deployed, its values and manifest are those that an upgrade would
// write, and no Deployment has been removed behind Helm's back.
func releaseIsCurrent(ctx context.Context, config *action.Configuration, superClient client.Client, last *release.Release, platformChart *chart.Chart, values map[string]any) (bool, error) {
	if last.Info.Status != common.StatusDeployed || !sameValues(last.Config, values) {
		return false, nil
	}
	rendered, err := newUpgrade(config, action.DryRunServer).RunWithContext(ctx, charts.ReleaseName, platformChart, values)
	if err != nil {
		return false, fmt.Errorf("rendering the Helm release %s: %w", charts.ReleaseName, err)
	}
	next, ok := rendered.(*release.Release)
	if !ok || next.Manifest != last.Manifest {
		return false, nil
	}
	found, err := listDeployments(ctx, superClient, charts.Namespace)
	if err != nil {
		return false, err
	}
	return len(found) == len(components()), nil
}

// sameValues compares values as they are stored: an int and the float64 that
// JSON makes of it are the same.
func sameValues(a, b map[string]any) bool {
	normalisedA, errA := normaliseValues(a)
	normalisedB, errB := normaliseValues(b)
	return errA == nil && errB == nil && equality.Semantic.DeepEqual(normalisedA, normalisedB)
}

func normaliseValues(values map[string]any) (map[string]any, error) {
	normalised := map[string]any{}
	data, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encoding values: %w", err)
	}
	if err := json.Unmarshal(data, &normalised); err != nil {
		return nil, fmt.Errorf("decoding values: %w", err)
	}
	if normalised == nil {
		normalised = map[string]any{}
	}
	return normalised, nil
}
