// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane"
	"virtualcluster.io/virtualcluster/test/framework/await"
)

// toldWithin is how soon trouble must be told, and healWithin how soon it must
// have ended after its cause was fixed.
const (
	toldWithin = 10 * time.Second
	healWithin = 30 * time.Second
)

// TestManaged runs vc-manager as it is shipped, with its own rights alone, on a
// super cluster of its own, and shows what it makes of trouble.
func TestManaged(t *testing.T) {
	s := newSuite(t)
	calls := s.startManager(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite, *counter)
	}{
		{"Classes", testClasses},
		{"BadInput", testBadInput},
		{"External", testExternal},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s, calls) })
	}
}

// counter counts the requests of vc-manager to the meta cluster.
type counter struct {
	next  http.RoundTripper
	count *atomic.Int64
}

// RoundTrip implements http.RoundTripper. Watches are counted when they begin.
func (c counter) RoundTrip(request *http.Request) (*http.Response, error) {
	// Leases are renewed, and the Service of vn-agent, which is not installed
	// here, is looked for, all the time, whatever there is to do.
	if !strings.Contains(request.URL.Path, "/leases/") && !strings.HasSuffix(request.URL.Path, "/services/vn-agent") {
		c.count.Add(1)
	}
	return c.next.RoundTrip(request)
}

// startManager runs vc-manager until the test ends.
func (s *suite) startManager(t *testing.T) *counter {
	t.Helper()
	config := &configv1alpha1.VCManagerConfiguration{}
	config.Metrics.BindAddress, config.Health.BindAddress = "0", "0"
	if err := configv1alpha1.Load("", config); err != nil {
		t.Fatal(err)
	}
	calls := &counter{count: &atomic.Int64{}}
	restricted := s.restricted(t)
	restricted.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, calls.count} })
	options, err := controlplane.ManagerOptions(restricted, config)
	if err != nil {
		t.Fatal(err)
	}
	skip := true
	options.Controller.SkipNameValidation = &skip // other tests of this process have managers, too
	mgr, err := ctrl.NewManager(restricted, options)
	if err != nil {
		t.Fatal(err)
	}
	err = controlplane.Setup(t.Context(), mgr, config, controlplane.Reach{
		Probe:        func(context.Context, string, []byte) error { return errors.New("no answer") },
		Dial:         func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way") },
		DialExternal: dialAdvertised,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	})
	return calls
}

// within waits until check returns no error, and says how long that took.
func within(t *testing.T, limit time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	start := time.Now()
	if err := await.Success(t.Context(), waitInterval, limit, check); err != nil {
		t.Errorf("%s: not within %s: %v", what, limit, err)
		return
	}
	t.Logf("%s after %s", what, time.Since(start).Round(10*time.Millisecond))
}

// wantTold waits for a condition to be False for a reason, with words in its message.
func (s *suite) wantTold(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, condition, reason, words string) {
	t.Helper()
	within(t, toldWithin, fmt.Sprintf("%s is told %s (%s)", virtualCluster.Name, reason, words), func(ctx context.Context) error {
		if err := s.wantCondition(ctx, virtualCluster, condition, metav1.ConditionFalse, reason); err != nil {
			return err
		}
		live := &tenancyv1alpha1.VirtualCluster{}
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(virtualCluster), live); err != nil {
			return err
		}
		if message := meta.FindStatusCondition(live.Status.Conditions, condition).Message; !strings.Contains(message, words) {
			return fmt.Errorf("the message is %q", message)
		}
		return s.wantCondition(ctx, virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionFalse, reason)
	})
}
