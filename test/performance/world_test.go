// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/test/framework/await"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
	processtest "virtualcluster.io/virtualcluster/test/framework/process"
)

const (
	// nodes is how many nodes kwok simulates.
	nodes = 20
	// settle is how long anything may take that a scenario waits for between its
	// measurements.
	settle = 5 * time.Minute
	// serviceRange is the tenants'; each gets a slice of it.
	serviceRange = "10.112.0.0/12"
)

// world is a super cluster with what runs in it.
type world struct {
	super       *controlplanetest.Instance
	superClient client.WithWatch
	tenants     []*tenant
	fakes       *fakeTenants
	fakeTenants int
	syncer      *syncer
	base        *baseline

	programs map[string]*processtest.Process

	// begin says that a scenario's load on the syncer begins; the first call counts.
	begin func()
}

// newWorld starts a super cluster with a scheduler and simulated nodes.
func newWorld(b *testing.B) *world {
	b.Helper()
	super := controlplanetest.Start(b, controlplanetest.Options{Role: controlplanetest.RoleSuper})
	controlplanetest.InstallCRDs(b, super.Config)
	w := &world{super: super, fakes: newFakeTenants(b)}
	scheme := runtime.NewScheme()
	must(b, clientgoscheme.AddToScheme(scheme))
	must(b, tenancyv1alpha1.AddToScheme(scheme))
	var err error
	w.superClient, err = client.NewWithWatch(super.Config, client.Options{Scheme: scheme})
	must(b, err)
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: configv1alpha1.DefaultPlatformNamespace}}, // of the Lease
		&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "tenants"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{serviceRange}}},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"},
		&tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: tenancyv1alpha1.VirtualClusterClassSpec{
			Versions: []tenancyv1alpha1.ClassVersion{{Name: "v1.37.1", Image: "unused", Default: true}},
			Network:  tenancyv1alpha1.ClassNetwork{ServiceCIDR: serviceRange, ServiceSliceBits: 22},
			Sandbox:  tenancyv1alpha1.ClassSandbox{Default: "gvisor", Allowed: []string{"gvisor"}},
		}},
	} {
		must(b, w.superClient.Create(b.Context(), object))
	}
	w.startNodes(b)
	return w
}

// startNodes runs kwok and a scheduler, and makes the nodes.
func (w *world) startNodes(b *testing.B) {
	b.Helper()
	kubeconfig := filepath.Join(b.TempDir(), "super.kubeconfig")
	must(b, os.WriteFile(kubeconfig, w.super.Kubeconfig, 0o600))
	w.programs = map[string]*processtest.Process{}
	w.programs["kwok"] = run(b, "kwok", "--kubeconfig="+kubeconfig, "--manage-all-nodes=true", "--node-lease-duration-seconds=40", "--config="+filepath.Join("testdata", "stages.yaml"))
	w.programs["scheduler"] = run(b, "kube", "scheduler", "--kubeconfig="+kubeconfig, "--authentication-skip-lookup", "--secure-port=0",
		"--leader-elect=false", "--kube-api-qps=2000", "--kube-api-burst=2000")
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1000"), corev1.ResourceMemory: resource.MustParse("4Ti"), corev1.ResourcePods: resource.MustParse("10000"),
	}
	for i := range nodes {
		must(b, w.superClient.Create(b.Context(), &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i)},
			Status:     corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
		}))
	}
	until(b, "the nodes are ready", func(ctx context.Context) error {
		var list corev1.NodeList
		if err := w.superClient.List(ctx, &list); err != nil {
			return err
		}
		for i := range list.Items {
			if !isReady(&list.Items[i]) {
				return fmt.Errorf("node %s is not ready", list.Items[i].Name)
			}
		}
		return nil
	})
}

// serviceSlice returns the range of ClusterIPs of the i-th tenant.
func serviceSlice(i int) string { return fmt.Sprintf("10.%d.%d.0/22", 112+i/64, 4*(i%64)) }

func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// until waits for a condition.
func until(b *testing.B, what string, check func(context.Context) error) {
	b.Helper()
	untilEvery(b, lookInterval, what, check)
}

// untilEvery waits for a condition that it costs something to look at.
func untilEvery(b *testing.B, interval time.Duration, what string, check func(context.Context) error) {
	b.Helper()
	if err := await.Success(b.Context(), interval, settle, check); err != nil {
		b.Fatalf("%s: not within %s: %v", what, settle, err)
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
