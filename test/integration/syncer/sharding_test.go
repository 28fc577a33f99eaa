// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded/sharder"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/leader"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/shard"
)

// takeover is how long the tenants of a lost replica may wait.
const takeover = 30 * time.Second

// TestSharding runs three syncer processes, as they are shipped, that share six
// virtual clusters: three with a control plane, three that lead nowhere.
func TestSharding(t *testing.T) {
	e := newEnvironment(t)
	e.runFakeKubelet(t)
	must(t, e.superClient.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "vc-system"}}))
	var tenants []*tenant
	for i := range 3 {
		tenants = append(tenants, e.addTenant(t, fmt.Sprintf("real-%d", i), fmt.Sprintf("10.112.%d.0/22", 4*i)))
	}
	slots := []sharder.PeerInfo{{ID: "syncer"}, {ID: "syncer-1"}, {ID: "syncer-2"}}
	for i, slot := range slots { // so that every replica has one to serve
		e.addFakeTenant(t, fmt.Sprintf("fake-%d", i), fmt.Sprintf("10.113.%d.0/22", 4*i), slots, slot)
	}
	creations := e.countCreations(t)
	binary := buildSyncer(t)
	var processes []*process
	for i := range 3 {
		processes = append(processes, e.startProcess(t, binary, fmt.Sprintf("syncer-pod-%d", i)))
	}
	for _, tn := range tenants {
		e.waitSynced(t, tn)
		tn.waitServiceAccount(t, "default")
	}
	e.waitShared(t, processes, 6)
	var victim *process
	t.Run("each tenant is served by one", func(t *testing.T) {
		for _, tn := range tenants {
			must(t, tn.client.Create(t.Context(), makePod("default", "first")))
			tn.waitRunning(t, "default", "first")
		}
		victim = e.ownerOf(t, processes, tenants[0])
	})
	t.Run("a process is killed", func(t *testing.T) { e.testKilled(t, processes, victim, tenants) })
	t.Run("it comes back", func(t *testing.T) {
		again := e.startProcess(t, binary, victim.pod)
		processes[slices.Index(processes, victim)] = again
		e.waitShared(t, processes, 6)
		if owner := e.ownerOf(t, processes, tenants[0]); owner != again {
			t.Errorf("%s is served by %s, not by the replica that came back", tenants[0].vc.Name, owner.pod)
		}
		for _, tn := range tenants {
			must(t, tn.client.Create(t.Context(), makePod("default", "third")))
			tn.waitRunning(t, "default", "third")
		}
		victim = again
	})
	t.Run("a process is frozen", func(t *testing.T) { e.testFrozen(t, processes, victim, tenants) })
	t.Run("a tenant ends", func(t *testing.T) { e.testEndsOnce(t, tenants[2]) })
	t.Run("the rest end in order", func(t *testing.T) {
		for _, p := range processes[1:] {
			p.terminate(t)
		}
		e.waitShared(t, processes[:1], 5)
	})
	for object, times := range creations() {
		if times != 1 {
			t.Errorf("%s was made %d times", object, times)
		}
	}
}

// testKilled kills the process that serves the first tenant: what is created
// there at once is synced by another within 30 s, and nobody else waits.
func (e *environment) testKilled(t *testing.T, processes []*process, victim *process, tenants []*tenant) {
	victim.kill(t)
	since := time.Now()
	for _, tn := range tenants {
		must(t, tn.client.Create(t.Context(), makePod("default", "second")))
		must(t, tn.client.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "second"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}))
	}
	tenants[0].waitRunning(t, "default", "second")
	eventually(t, "the service", func(ctx context.Context) error {
		return e.superClient.Get(ctx, tenants[0].superKey("default", "second"), &corev1.Service{})
	})
	took := time.Since(since)
	t.Logf("taken over and synced %.1f s after the kill", took.Seconds())
	if took > takeover {
		t.Errorf("took %s, more than %s", took, takeover)
	}
	for _, tn := range tenants[1:] {
		tn.waitRunning(t, "default", "second")
	}
	e.waitShared(t, slices.DeleteFunc(slices.Clone(processes), func(p *process) bool { return p == victim }), 6)
}

// testFrozen stops a process (SIGSTOP) for longer than its Lease lasts, while
// pods come and go that it had in its caches, and wakes it up.
func (e *environment) testFrozen(t *testing.T, processes []*process, victim *process, tenants []*tenant) {
	tn := tenants[0]
	must(t, victim.cmd.Process.Signal(syscall.SIGSTOP))
	must(t, tn.client.Create(t.Context(), makePod("default", "meanwhile")))
	must(t, tn.client.Delete(t.Context(), makePod("default", "first")))
	tn.waitRunning(t, "default", "meanwhile")
	eventually(t, "the end of a pod", func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, tn.superKey("default", "first"), &corev1.Pod{}); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("it is there (%v)", err)
		}
		return nil
	})
	must(t, victim.cmd.Process.Signal(syscall.SIGCONT))
	e.waitShared(t, processes, 6)
	must(t, tn.client.Create(t.Context(), makePod("default", "afterwards")))
	tn.waitRunning(t, "default", "afterwards")
	before := e.stamped(t, tn)
	consistently(t, "nothing is written twice", 5*time.Second, func(context.Context) error {
		if after := e.stamped(t, tn); !maps.Equal(before, after) {
			return errors.New(cmp.Diff(before, after))
		}
		return nil
	})
}

// testEndsOnce deletes a virtual cluster: its owner removes everything.
func (e *environment) testEndsOnce(t *testing.T, tn *tenant) {
	must(t, e.superClient.Delete(t.Context(), tn.vc))
	eventually(t, "the end of "+tn.vc.Name, func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &tenancyv1alpha1.VirtualCluster{}); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("it is there (%v)", err)
		}
		return nil
	})
	var pods corev1.PodList
	must(t, e.superClient.List(t.Context(), &pods, client.MatchingLabelsSelector{Selector: identity.TenantSelector(tn.names.ID)}))
	if len(pods.Items) != 0 {
		t.Errorf("%d pods are left", len(pods.Items))
	}
}

// addFakeTenant makes a virtual cluster whose control plane accepts connections
// and never answers. It is one that belongs to a slot.
func (e *environment) addFakeTenant(t *testing.T, name, serviceCIDR string, slots []sharder.PeerInfo, slot sharder.PeerInfo) {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	must(t, e.superClient.Create(t.Context(), vc))
	for !(shard.Rendezvous{}).ShouldOwn(string(vc.UID), slots, slot) {
		must(t, e.superClient.Delete(t.Context(), vc))
		vc = &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		must(t, e.superClient.Create(t.Context(), vc))
	}
	kubeconfig := strings.ReplaceAll(string(e.super.Kubeconfig), e.super.Config.Host, "https://"+silent.Addr().String())
	e.publish(t, &tenant{vc: vc, names: names.Tenant{ID: string(vc.UID), Name: name}}, []byte(kubeconfig), serviceCIDR)
}

// countCreations returns how often each object that carries a stamp and is made
// for a tenant's object was made, by its kind, place and the tenant object's UID.
func (e *environment) countCreations(t *testing.T) func() map[string]int {
	t.Helper()
	var mu sync.Mutex
	made := map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	for _, list := range []client.ObjectList{&corev1.PodList{}, &corev1.NamespaceList{}, &corev1.ServiceList{}} {
		watcher, err := e.superClient.Watch(ctx, list, client.MatchingLabelsSelector{Selector: identity.Selector()})
		must(t, err)
		watching.Go(func() {
			for event := range watcher.ResultChan() {
				object, ok := event.Object.(client.Object)
				if !ok || event.Type != watch.Added {
					continue
				}
				owner, _ := identity.Of(object)
				mu.Lock()
				made[fmt.Sprintf("%T %s/%s of %s", object, object.GetNamespace(), object.GetName(), owner.UID)]++
				mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { cancel(); watching.Wait() })
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(made)
	}
}

// process is a syncer that runs as a child of the test.
type process struct {
	pod     string
	metrics string
	cmd     *exec.Cmd
	ended   chan struct{}
}

func buildSyncer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "syncer")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../../cmd/syncer")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the syncer: %v\n%s", err, output)
	}
	return binary
}

// startProcess starts a syncer whose pod has this name.
func (e *environment) startProcess(t *testing.T, binary, pod string) *process {
	t.Helper()
	dir := e.root.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))
		return path
	}
	p := &process{pod: pod, metrics: freeAddress(t), ended: make(chan struct{})}
	config := write("config.yaml", []byte("apiVersion: config.virtualcluster.io/v1alpha1\nkind: SyncerConfiguration\n"+
		"sharding: {enabled: true}\nhealth: {bindAddress: \"0\"}\nmetrics: {bindAddress: \""+p.metrics+"\"}\n"))
	p.cmd = exec.CommandContext(e.root.Context(), binary, "--config="+config, "--kubeconfig="+write("kubeconfig", e.super.Kubeconfig), "--log-format=text")
	p.cmd.Env = append(os.Environ(), leader.EnvPodName+"="+pod)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	must(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is what the test did to it
	}()
	e.root.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if content, err := os.ReadFile(log.Name()); err == nil && e.root.Failed() {
			e.root.Logf("%s said:\n%s", pod, content)
		}
		_ = log.Close()
	})
	return p
}

// kill ends the process as kill -9 does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	must(t, p.cmd.Process.Kill())
	<-p.ended
}

// terminate ends the process as a kubelet does.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(settle):
		t.Errorf("%s has not ended", p.pod)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, listener.Close()) }()
	return listener.Addr().String()
}

// gauge reads a metric without labels.
func (p *process) gauge(ctx context.Context, name string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(body), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.Atoi(value)
		}
	}
	return 0, fmt.Errorf("%s serves no %s", p.pod, name)
}

// waitShared waits until these replicas agree that they share the tenants, and
// serve each tenant once.
func (e *environment) waitShared(t *testing.T, processes []*process, tenants int) {
	t.Helper()
	eventually(t, "shared tenants", func(ctx context.Context) error {
		var shares []int
		sum := 0
		for _, p := range processes {
			replicas, err := p.gauge(ctx, "virtualcluster_syncer_shard_replicas")
			if err != nil {
				return err
			}
			settled, err := p.gauge(ctx, "virtualcluster_syncer_shard_settled")
			if err != nil {
				return err
			}
			if replicas != len(processes) || settled != 1 {
				return fmt.Errorf("%s sees %d replicas, settled %d", p.pod, replicas, settled)
			}
			owned, err := p.gauge(ctx, "virtualcluster_syncer_tenants_owned")
			if err != nil {
				return err
			}
			if owned == 0 && len(processes) == 3 {
				return fmt.Errorf("%s serves nobody", p.pod)
			}
			shares, sum = append(shares, owned), sum+owned
		}
		if sum != tenants {
			return fmt.Errorf("shares %v of %d tenants", shares, tenants)
		}
		t.Logf("shares of %d tenants: %v", tenants, shares)
		return nil
	})
}

// ownerOf computes which replica serves a tenant.
func (e *environment) ownerOf(t *testing.T, processes []*process, tn *tenant) *process {
	t.Helper()
	var leases coordinationv1.LeaseList
	must(t, e.superClient.List(t.Context(), &leases, client.InNamespace("vc-system")))
	holders, slots := map[string]string{}, []sharder.PeerInfo{}
	for _, lease := range leases.Items {
		if lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "" {
			holders[lease.Name] = *lease.Spec.HolderIdentity
			slots = append(slots, sharder.PeerInfo{ID: lease.Name})
		}
	}
	for _, slot := range slots {
		if !(shard.Rendezvous{}).ShouldOwn(tn.names.ID, slots, slot) {
			continue
		}
		for _, p := range processes {
			if p.pod == holders[slot.ID] {
				return p
			}
		}
	}
	t.Fatalf("nobody owns %s: %v", tn.vc.Name, holders)
	return nil
}
