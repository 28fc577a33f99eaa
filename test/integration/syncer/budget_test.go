// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// call is one kind of request, as an API server counts it.
type call struct{ verb, resource, subresource string }

// calls returns how often each write was asked of an API server, by anybody,
// and how often pods were read one by one. The server itself counts, so that
// no request of the syncer can be missed.
func calls(t *testing.T, instance *controlplanetest.Instance) map[call]int {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(instance.Config)
	must(t, err)
	metrics, err := clientset.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	must(t, err)
	counted := map[call]int{}
	for line := range strings.Lines(string(metrics)) {
		labels, isCount := strings.CutPrefix(line, "apiserver_request_total{")
		if !isCount {
			continue
		}
		labels, value, _ := strings.Cut(labels, "} ")
		c := call{label(labels, "verb"), label(labels, "resource"), label(labels, "subresource")}
		number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		must(t, err)
		counted[c] += int(number)
	}
	return counted
}

func label(labels, name string) string {
	_, rest, _ := strings.Cut(","+labels, ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// testWriteBudget counts what one pod costs from its creation to its end. A
// number that must grow is a decision: every write is paid for each pod of
// every tenant.
func testWriteBudget(t *testing.T, e *environment, tn *tenant) {
	_, _ = e.runPod(t, tn, "budget", "first") // the namespace and what comes with it
	superBefore, tenantBefore := calls(t, e.super), calls(t, tn.Instance)
	tenantPod, superPod := e.runPod(t, tn, "budget", "second")
	must(t, tn.client.Delete(t.Context(), tenantPod))
	eventually(t, "both pods gone", func(ctx context.Context) error {
		return errors.Join(gone(ctx, e.superClient, superPod), gone(ctx, tn.client, tenantPod))
	})
	compare(t, "the super cluster", superBefore, calls(t, e.super), map[call]int{
		{"POST", "pods", ""}:         1, // the super pod
		{"PATCH", "pods", ""}:        0,
		{"DELETE", "pods", ""}:       2, // the syncer's, with the tenant's grace, and the kubelet's
		{"POST", "pods", "binding"}:  1, // the scheduler
		{"PATCH", "pods", "status"}:  2, // the kubelet: creating, running
		{"POST", "secrets", ""}:      1, // the pod's token
		{"PATCH", "secrets", ""}:     0,
		{"PATCH", "configmaps", ""}:  0,
		{"PATCH", "namespaces", ""}:  0,
		{"DELETE", "configmaps", ""}: 0,
		{"APPLY", "pods", ""}:        0,
		{"PUT", "pods", ""}:          0,
	})
	compare(t, "the tenant", tenantBefore, calls(t, tn.Instance), map[call]int{
		{"POST", "pods", ""}:        1, // the test
		{"POST", "pods", "binding"}: 1,
		{"PUT", "pods", "status"}:   2, // creating, running; a busy machine sees both at once
		{"PATCH", "pods", "status"}: 0,
		{"PATCH", "pods", ""}:       0,
		{"DELETE", "pods", ""}:      2, // the test's, and the syncer's once the super pod is gone
		{"PUT", "pods", ""}:         0,
		{"POST", "events", ""}:      0, // nothing was amiss
	})
}

// compare checks that the counters that want names grew no more than it says.
func compare(t *testing.T, where string, before, after, want map[call]int) {
	t.Helper()
	got := map[call]int{}
	for c := range want {
		got[c] = max(after[c]-before[c], want[c])
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(call{})); diff != "" {
		t.Errorf("requests to %s (-want +got):\n%s", where, diff)
	}
}
