// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/event"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func superNode(cpu, architecture string, change func(*corev1.Node)) corev1.Node {
	node := corev1.Node{Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourcePods: resource.MustParse("110"),
			corev1.ResourceAttachableVolumesPrefix + "csi-x": resource.MustParse("39"),
		},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		NodeInfo:   corev1.NodeSystemInfo{Architecture: architecture, KubeletVersion: "v1.37.1", ContainerRuntimeVersion: "containerd://2"},
	}}
	if change != nil {
		change(&node)
	}
	return node
}

func notReady(node *corev1.Node) { node.Status.Conditions[0].Status = corev1.ConditionUnknown }
func leaving(node *corev1.Node)  { node.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
func noStatus(node *corev1.Node) { node.Status = corev1.NodeStatus{} }

func TestCapacityOf(t *testing.T) {
	cases := map[string]struct {
		nodes              []corev1.Node
		cpu, pods          string
		architecture       string
		wantResourcesCount int
	}{
		"two":            {[]corev1.Node{superNode("2", "amd64", nil), superNode("1500m", "amd64", nil)}, "3500m", "220", "amd64", 2},
		"not ready":      {[]corev1.Node{superNode("2", "amd64", nil), superNode("4", "arm64", notReady)}, "2", "110", "amd64", 2},
		"leaving":        {[]corev1.Node{superNode("2", "amd64", nil), superNode("4", "arm64", leaving)}, "2", "110", "amd64", 2},
		"without status": {[]corev1.Node{superNode("2", "amd64", nil), superNode("4", "arm64", noStatus)}, "2", "110", "amd64", 2},
		"mostly arm64":   {[]corev1.Node{superNode("1", "arm64", nil), superNode("1", "amd64", nil), superNode("1", "arm64", nil)}, "3", "330", "arm64", 2},
		"as many":        {[]corev1.Node{superNode("1", "arm64", nil), superNode("1", "amd64", nil)}, "2", "220", "amd64", 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := capacityOf(tc.nodes)
			cpu, pods := got.Allocatable[corev1.ResourceCPU], got.Allocatable[corev1.ResourcePods]
			if cpu.String() != tc.cpu || pods.String() != tc.pods || got.Architecture != tc.architecture || len(got.Allocatable) != tc.wantResourcesCount {
				t.Errorf("capacityOf = %+v, want %+v", got, tc)
			}
		})
	}
	if empty := capacityOf(nil); len(empty.Allocatable) != 0 || empty.Architecture == "" || empty.KubeletVersion == "" {
		t.Errorf("capacity of no nodes: %+v", empty)
	}
}

func TestSharedCapacityTells(t *testing.T) {
	shared := newSharedCapacity()
	first, changed := shared.get()
	if first != nil {
		t.Errorf("capacity before it is known: %v", first)
	}
	if !shared.set(Capacity{Architecture: "a"}) || !closed(changed) {
		t.Error("the first capacity was not told")
	}
	_, changed = shared.get()
	if shared.set(Capacity{Architecture: "a"}) || closed(changed) {
		t.Error("the same capacity was told again")
	}
	if !shared.set(Capacity{Architecture: "b"}) || !closed(changed) {
		t.Error("another capacity was not told")
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestCapacityChanged(t *testing.T) {
	base := superNode("2", "amd64", nil)
	cases := map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"heartbeat":   {func(n *corev1.Node) { n.Status.Conditions[0].LastHeartbeatTime = metav1.Now() }, false},
		"labels":      {func(n *corev1.Node) { n.Labels = map[string]string{"a": "b"} }, false},
		"ready":       {notReady, true},
		"leaving":     {leaving, true},
		"allocatable": {func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("3") }, true},
		"version":     {func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.38.0" }, true},
	}
	for name, tc := range cases {
		after := base.DeepCopy()
		tc.change(after)
		if got := CapacityChanged().Update(event.UpdateEvent{ObjectOld: base.DeepCopy(), ObjectNew: after}); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func desiredNode() *corev1.Node {
	capacity := capacityOf([]corev1.Node{superNode("2", "amd64", nil)})
	return virtualNode(&capacity, nil, "10.96.0.20", tenancyv1alpha1.ClassNode{}, time.Unix(100, 0))
}

func TestVirtualNode(t *testing.T) {
	node := desiredNode()
	if len(node.Spec.Taints) != 0 || node.Spec.PodCIDR != "" || node.Spec.Unschedulable {
		t.Errorf("spec: %+v, want it empty", node.Spec)
	}
	want := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.96.0.20"}, {Type: corev1.NodeHostName, Address: "virtual-node-0"}}
	if diff := cmp.Diff(want, node.Status.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if port := node.Status.DaemonEndpoints.KubeletEndpoint.Port; port != 10250 {
		t.Errorf("port %d, want 10250", port)
	}
}

func TestRepairPatch(t *testing.T) {
	cases := map[string]struct {
		change func(*corev1.Node)
		want   []string // parts of the patch; none: no patch
	}{
		"untouched":     {func(*corev1.Node) {}, nil},
		"heartbeat":     {func(n *corev1.Node) { n.Status.Conditions[0].LastHeartbeatTime = metav1.Unix(999, 0) }, nil},
		"another label": {func(n *corev1.Node) { n.Labels["team"] = "a" }, nil},
		"condition of a tenant's": {func(n *corev1.Node) {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: "Own", Status: "True"})
		}, nil},
		"taint of a tenant's": {func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectNoExecute}} }, nil},
		"address":             {func(n *corev1.Node) { n.Status.Addresses[0].Address = "192.0.2.2" }, []string{"10.96.0.20"}},
		"further address": {func(n *corev1.Node) {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "192.0.2.2"})
		}, []string{"addresses"}},
		"port":              {func(n *corev1.Node) { n.Status.DaemonEndpoints.KubeletEndpoint.Port = 2379 }, []string{`"Port":10250`}},
		"capacity":          {func(n *corev1.Node) { n.Status.Capacity[corev1.ResourceCPU] = resource.MustParse("1") }, []string{`"cpu":"2"`}},
		"further resource":  {func(n *corev1.Node) { n.Status.Allocatable["x/gpu"] = resource.MustParse("1") }, []string{`"x/gpu":null`}},
		"not ready":         {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }, []string{`"Ready"`, `"KubeletReady"`}},
		"condition removed": {func(n *corev1.Node) { n.Status.Conditions = n.Status.Conditions[1:] }, []string{`"Ready"`}},
		"label":             {func(n *corev1.Node) { delete(n.Labels, corev1.LabelOSStable) }, []string{`"kubernetes.io/os":"linux"`}},
		"no labels":         {func(n *corev1.Node) { n.Labels = nil }, []string{`"kubernetes.io/os":"linux"`}},
		"node info":         {func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v0" }, []string{`"kubeletVersion":"v1.37.1"`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			live := desiredNode()
			tc.change(live)
			before := live.DeepCopy()
			patch, err := repairPatch(desiredNode(), live)
			if err != nil {
				t.Fatal(err)
			}
			if (patch != nil) != (len(tc.want) > 0) {
				t.Errorf("patch %s, want one: %v", patch, len(tc.want) > 0)
			}
			for _, want := range tc.want {
				if !strings.Contains(string(patch), want) {
					t.Errorf("patch %s has no %s", patch, want)
				}
			}
			if patch != nil && !json.Valid(patch) {
				t.Errorf("patch %s is not JSON", patch)
			}
			if diff := cmp.Diff(before, live); diff != "" {
				t.Errorf("the live node was modified:\n%s", diff)
			}
		})
	}
}

func TestHealth(t *testing.T) {
	fake := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	told := 0
	h := &health{clock: fake, changed: func() { told++ }}
	step := func(name string, act func(), want Health, wantTold int) {
		t.Helper()
		act()
		if got := h.get(); got != want || told != wantTold {
			t.Errorf("%s: %+v, told %d times; want %+v, %d", name, got, told, want, wantTold)
		}
	}
	refused := &net.OpError{Op: "dial", Err: errors.New("x")}
	const unreachable = "the API server cannot be reached"
	pass := func(d time.Duration) { fake.SetTime(fake.Now().Add(d)) }
	step("failing", func() { h.setTrouble(refused) }, Health{Trouble: unreachable}, 1)
	step("failing again", func() { h.setTrouble(refused) }, Health{Trouble: unreachable}, 1)
	step("renewed", func() { h.observeRenewal(nil) }, Health{}, 2)
	step("registered", h.setRegistered, Health{Ready: true}, 3)
	step("one renewal fails", func() { pass(10 * time.Second); h.observeRenewal(refused) }, Health{Ready: true}, 3)
	step("renewals fail for long", func() { pass(31 * time.Second); h.observeRenewal(refused) }, Health{Trouble: unreachable}, 4)
	step("renewed at last", func() { h.observeRenewal(nil) }, Health{Ready: true}, 5)
	step("time passes", func() { pass(time.Minute) }, Health{}, 5)
}

// TestStarting: an agent that has just begun knows nothing yet; one that has
// met trouble, or has been at it for longer than a lease lasts, does.
func TestStarting(t *testing.T) {
	start := time.Unix(1000, 0)
	cases := map[string]struct {
		act  func(*health)
		age  time.Duration
		want Health
	}{
		"new":           {func(*health) {}, time.Second, Health{Starting: true}},
		"registered":    {func(h *health) { h.setRegistered() }, time.Second, Health{Starting: true}},
		"with a lease":  {func(h *health) { h.setRegistered(); h.observeRenewal(nil) }, time.Second, Health{Ready: true}},
		"lost later":    {func(h *health) { h.setRegistered(); h.observeRenewal(nil) }, time.Hour, Health{}},
		"for long":      {func(*health) {}, time.Minute, Health{}},
		"met a trouble": {func(h *health) { h.setTrouble(errors.New("x")) }, time.Second, Health{Trouble: "the API server cannot be reached"}},
	}
	for name, tc := range cases {
		fake := clocktesting.NewFakePassiveClock(start)
		h := &health{clock: fake, started: start, changed: func() {}}
		tc.act(h)
		fake.SetTime(start.Add(tc.age))
		if got := h.get(); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestWasReady(t *testing.T) {
	with := func(controlPlane, node metav1.ConditionStatus) *tenancyv1alpha1.VirtualCluster {
		return &tenancyv1alpha1.VirtualCluster{Status: tenancyv1alpha1.VirtualClusterStatus{Conditions: []metav1.Condition{
			{Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: controlPlane},
			{Type: tenancyv1alpha1.ConditionNodeReady, Status: node},
		}}}
	}
	for name, tc := range map[string]struct {
		virtualCluster *tenancyv1alpha1.VirtualCluster
		want           bool
	}{
		"both":              {with(metav1.ConditionTrue, metav1.ConditionTrue), true},
		"control plane off": {with(metav1.ConditionFalse, metav1.ConditionTrue), false},
		"node not ready":    {with(metav1.ConditionTrue, metav1.ConditionFalse), false},
		"neither known":     {&tenancyv1alpha1.VirtualCluster{}, false},
	} {
		if got := wasReady(tc.virtualCluster); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestNextWait(t *testing.T) {
	wait := firstRetry
	for range 20 {
		wait = nextWait(wait, time.Minute)
	}
	if wait != eagerRetry {
		t.Errorf("a tenant that was well a minute ago is tried every %s, want %s", wait, eagerRetry)
	}
	for range 20 {
		wait = nextWait(wait, time.Hour)
	}
	if wait != patientRetry {
		t.Errorf("a tenant that has been dead for an hour is tried every %s, want %s", wait, patientRetry)
	}
}

func TestTenantConfigRefuses(t *testing.T) {
	const good = `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"CLUSTER}}]
users: [{name: u, user: {USER}}]
`
	cases := map[string]struct {
		cluster, user string
		ok            bool
	}{
		"inline":       {"", "token: x", true},
		"command":      {"", "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never}", false},
		"plug-in":      {"", "auth-provider: {name: oidc}", false},
		"token file":   {"", "tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token", false},
		"key file":     {"", "client-key: /etc/key, client-certificate: /etc/cert", false},
		"CA file":      {", certificate-authority: /etc/ca", "token: x", false},
		"proxy":        {`, proxy-url: "http://10.0.0.2"`, "token: x", false},
		"not verified": {", insecure-skip-tls-verify: true", "token: x", false},
	}
	for name, tc := range cases {
		kubeconfig := strings.NewReplacer("CLUSTER", tc.cluster, "USER", tc.user).Replace(good)
		config, err := tenantConfig([]byte(kubeconfig))
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v, want it accepted: %v", name, err, tc.ok)
		}
		if tc.ok && config.Proxy == nil {
			t.Errorf("%s: the transport would stay in the global cache", name)
		}
	}
	if _, err := tenantConfig([]byte("secret: {")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a broken kubeconfig: %v, want an error that does not quote it", err)
	}
}

func TestFromHealth(t *testing.T) {
	up := &tenancyv1alpha1.VirtualCluster{Status: tenancyv1alpha1.VirtualClusterStatus{Conditions: []metav1.Condition{
		{Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: metav1.ConditionTrue},
	}}}
	cases := map[string]struct {
		health         Health
		virtualCluster *tenancyv1alpha1.VirtualCluster
		wantStatus     metav1.ConditionStatus
		wantReason     string
	}{
		"ready":       {Health{Ready: true}, up, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady},
		"starting":    {Health{}, up, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning},
		"unreachable": {Health{Trouble: "x"}, up, metav1.ConditionFalse, tenancyv1alpha1.ReasonTenantUnreachable},
		"waiting":     {Health{Trouble: "x"}, &tenancyv1alpha1.VirtualCluster{}, metav1.ConditionFalse, tenancyv1alpha1.ReasonWaiting},
	}
	for name, tc := range cases {
		if got := fromHealth(tc.health, tc.virtualCluster); got.Status != tc.wantStatus || got.Reason != tc.wantReason {
			t.Errorf("%s: %s %s, want %s %s", name, got.Status, got.Reason, tc.wantStatus, tc.wantReason)
		}
	}
}

// TestNodeOfAClass: the class adds to the node, and takes nothing of the platform's.
func TestNodeOfAClass(t *testing.T) {
	look := tenancyv1alpha1.ClassNode{
		Labels: map[string]string{"example.com/pool": "a", corev1.LabelInstanceTypeStable: "metal"},
		Taints: []corev1.Taint{{Key: "example.com/virtual", Effect: corev1.TaintEffectNoSchedule}},
	}
	got := virtualNode(&Capacity{Architecture: "amd64"}, nil, "10.96.0.20", look, time.Unix(100, 0))
	if got.Labels["example.com/pool"] != "a" || got.Labels[corev1.LabelInstanceTypeStable] != instanceType {
		t.Errorf("labels = %v", got.Labels)
	}
	if diff := cmp.Diff(look.Taints, got.Spec.Taints); diff != "" {
		t.Errorf("taints (-want +got):\n%s", diff)
	}
}
