// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

// ErrNotConnected is returned for a tenant that takes part but has not been tried yet.
var ErrNotConnected = errors.New("not connected yet")

// Options configure a Fleet.
type Options struct {
	// MetaReader reads VirtualClusters and classes, usually from a cache. Required.
	MetaReader client.Reader
	// SecretReader reads kubeconfig Secrets, live. Required.
	SecretReader client.Reader
	// Cluster is applied to every tenant's cluster: scheme and cache options.
	// Client.Cache should name what must not be cached.
	Cluster cluster.Option
	// UserAgent of requests to tenants.
	UserAgent string
	// QPS and Burst limit requests to one tenant. Negative QPS means no limit;
	// zero means client-go's default.
	QPS   float32
	Burst int
	// ProbeInterval is the time between two probes of a connected tenant. Default 5 s.
	// It is longer with very many tenants, for those whose last probe succeeded: all
	// together are probed 25 times in a second at most.
	ProbeInterval time.Duration
	// ProbeFailures in a row disengage a tenant. Default 3.
	ProbeFailures int
	// MaxDials bounds how many tenants are dialled at once. Default 16.
	MaxDials int
	// ProbeTimeout bounds one probe, from the handshake to the last byte. Default 5 s.
	ProbeTimeout time.Duration
	// Owns reports whether this replica serves the tenant of this id, and changes
	// only with a call of Rebalance. Nil means all of them.
	Owns func(id string) bool
	// Clock is the real clock by default.
	Clock clock.WithTicker
}

func (o *Options) setDefaults() {
	if o.ProbeInterval == 0 {
		o.ProbeInterval = 5 * time.Second
	}
	if o.ProbeFailures == 0 {
		o.ProbeFailures = 3
	}
	if o.MaxDials == 0 {
		o.MaxDials = 16
	}
	if o.ProbeTimeout == 0 {
		o.ProbeTimeout = 5 * time.Second
	}
	if o.Owns == nil {
		o.Owns = func(string) bool { return true }
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Cluster == nil {
		o.Cluster = func(*cluster.Options) {}
	}
}

// Fleet is a multicluster-runtime provider of tenants, and the reconciler of
// VirtualClusters behind it (see SetupWithManager). Clusters are named by
// tenant id. It is safe for concurrent use.
type Fleet struct {
	options   Options
	dialSlots chan struct{}
	started   chan struct{}
	changes   chan types.NamespacedName
	// looks has the reconciler look at all VirtualClusters again.
	looks chan event.TypedGenericEvent[struct{}]

	// Set by Start before started is closed.
	ctx   context.Context //nolint:containedctx // the members live as long as Start runs.
	aware multicluster.Aware

	mu      sync.Mutex
	members map[types.NamespacedName]*member
	indexes []index
}

type index struct {
	object  client.Object
	field   string
	extract client.IndexerFunc
}

var (
	_ multicluster.Provider         = &Fleet{}
	_ multicluster.ProviderRunnable = &Fleet{}
)

// New returns a Fleet that connects to nobody until Start is called.
func New(options Options) *Fleet {
	options.setDefaults()
	return &Fleet{
		options:   options,
		dialSlots: make(chan struct{}, options.MaxDials),
		started:   make(chan struct{}),
		changes:   make(chan types.NamespacedName, 1024),
		looks:     make(chan event.TypedGenericEvent[struct{}], 1),
		members:   map[types.NamespacedName]*member{},
	}
}

// Start implements multicluster.ProviderRunnable. It blocks until ctx ends and
// every tenant is disengaged. It must be called once.
func (f *Fleet) Start(ctx context.Context, aware multicluster.Aware) error {
	f.ctx, f.aware = ctx, aware
	close(f.started)
	<-ctx.Done()
	f.mu.Lock()
	members := slices.Collect(maps.Values(f.members))
	f.mu.Unlock()
	for _, m := range members {
		m.stop()
	}
	return nil
}

// Get implements multicluster.Provider: the cluster of a connected tenant, by tenant id.
func (f *Fleet) Get(_ context.Context, id string) (cluster.Cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.id != id {
			continue
		}
		if tenant, _ := m.state(); tenant != nil {
			return tenant, nil
		}
	}
	return nil, fmt.Errorf("tenant %s: %w", id, multicluster.ErrClusterNotFound)
}

// IndexField implements multicluster.Provider. It applies to connections made
// later, so it must be called before Start.
func (f *Fleet) IndexField(_ context.Context, object client.Object, field string, extract client.IndexerFunc) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.indexes = append(f.indexes, index{object: object, field: field, extract: extract})
	return nil
}

// State returns the tenant of a VirtualCluster if it is connected, and
// otherwise the reason why it is not. Both are nil for a VirtualCluster that
// does not take part.
func (f *Fleet) State(key types.NamespacedName) (*Tenant, error) {
	f.mu.Lock()
	m := f.members[key]
	f.mu.Unlock()
	if m == nil {
		return nil, nil
	}
	tenant, err := m.state()
	if tenant == nil && err == nil {
		err = ErrNotConnected
	}
	return tenant, err
}

// Changes delivers the keys of VirtualClusters whose State changed. There is
// one channel for one reader; a key may be delivered more than once.
func (f *Fleet) Changes() <-chan types.NamespacedName { return f.changes }

// announce never blocks a tenant: with a full channel the reader is told by
// its own periodic look.
func (f *Fleet) announce(key types.NamespacedName) {
	select {
	case f.changes <- key:
	default:
	}
}

func (f *Fleet) snapshotIndexes() []index {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.indexes)
}
