// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/leader"
	"virtualcluster.io/virtualcluster/pkg/shard"
)

// newGroup makes this replica's membership among those that share the tenants.
// Its client is its own: the limit of the others must not hold up a renewal.
func newGroup(restConfig *rest.Config, scheme *runtime.Scheme, config *configv1alpha1.SyncerConfiguration) (*shard.Group, error) {
	identity, err := leader.Identity()
	if err != nil {
		return nil, err
	}
	leaseConfig := rest.CopyConfig(restConfig)
	leaseConfig.UserAgent = "virtualcluster-syncer/leases"
	leaseConfig.QPS, leaseConfig.Burst = 20, 40
	leaseClient, err := client.New(leaseConfig, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making the client for Leases: %w", err)
	}
	return shard.New(shard.Options{
		Client: leaseClient, Namespace: config.LeaderElection.ResourceNamespace, Name: leaseName, Identity: identity,
		LeaseDuration: config.Sharding.LeaseDuration.Duration,
	}), nil
}

// owns returns which tenants this replica serves; nil means all.
func owns(replicas *shard.Group) func(id string) bool {
	if replicas == nil {
		return nil
	}
	return replicas.Owns
}

// share has the replica serve its part of the tenants, if they are shared.
func share(mgr ctrl.Manager, replicas *shard.Group, tenants *fleet.Fleet) error {
	owned := gauge("tenants_owned", "Tenants that this replica serves, connected or not.", func() float64 { return float64(tenants.Size()) })
	if replicas == nil {
		return expose(owned)
	}
	replicas.OnChange(tenants.Rebalance)
	return errors.Join(
		mgr.Add(replicas),
		mgr.AddReadyzCheck("shard", replicas.Ready),
		expose(owned),
		expose(gauge("shard_replicas", "Replicas that share the tenants, as this one sees them; 0 while it has no part.", func() float64 {
			count, _ := replicas.Peers()
			return float64(count)
		})),
		expose(gauge("shard_settled", "1 when all replicas agree on who serves whom.", func() float64 {
			if _, settled := replicas.Peers(); settled {
				return 1
			}
			return 0
		})),
	)
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "virtualcluster", Subsystem: "syncer", Name: name, Help: help}, value)
}

// expose registers a collector in place of that of an earlier syncer of this process.
func expose(collector prometheus.Collector) error {
	metrics.Registry.Unregister(collector)
	return metrics.Registry.Register(collector)
}
