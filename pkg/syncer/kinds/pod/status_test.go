// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func condition(conditionType corev1.PodConditionType, status corev1.ConditionStatus) corev1.PodCondition {
	return corev1.PodCondition{Type: conditionType, Status: status}
}

func superPod(phase corev1.PodPhase, change func(*corev1.PodStatus)) *corev1.Pod {
	started := metav1.NewTime(time.Unix(1_000_000, 0))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "vc-x-shop-y", Name: "web-0"}, Spec: corev1.PodSpec{NodeName: "super-node"}}
	pod.Status = corev1.PodStatus{Phase: phase, StartTime: &started, HostIP: "198.51.100.7", PodIP: "10.244.0.5", PodIPs: []corev1.PodIP{{IP: "10.244.0.5"}}}
	if change != nil {
		change(&pod.Status)
	}
	return pod
}

func reported(t *testing.T, super, tenant *corev1.Pod) *corev1.Pod {
	t.Helper()
	reader := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(virtualNodeObject()).Build()
	if err := testTranslator().up(t.Context(), kindtest.Env(reader, nil), super, tenant); err != nil {
		t.Fatal(err)
	}
	return tenant
}

func waiting(reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "in vc-x-shop-y on super-node"}}}
}

func TestStatusShowsTheTenantsNames(t *testing.T) {
	super := superPod(corev1.PodRunning, func(s *corev1.PodStatus) {
		s.Message = "on super-node"
		s.ContainerStatuses = []corev1.ContainerStatus{waiting("CrashLoopBackOff")}
	})
	got := reported(t, super, makePod(nil)).Status
	if got.HostIP != "192.0.2.10" || len(got.HostIPs) != 1 || got.HostIPs[0].IP != "192.0.2.10" || got.PodIP != "10.244.0.5" {
		t.Errorf("addresses %+v", got)
	}
	if got.Message != "on virtual-node-0" || got.ContainerStatuses[0].State.Waiting.Message != "in shop on virtual-node-0" {
		t.Errorf("messages %q, %q", got.Message, got.ContainerStatuses[0].State.Waiting.Message)
	}
	if super.Status.ContainerStatuses[0].State.Waiting.Message != "in vc-x-shop-y on super-node" {
		t.Error("the super pod was changed")
	}
}

func TestWhatIsWorthAWrite(t *testing.T) {
	started := metav1.NewTime(time.Unix(1_000_000, 0))
	told := func(p *corev1.Pod) {
		p.Status.StartTime, p.Status.Phase = &started, corev1.PodPending
		p.Status.ContainerStatuses = []corev1.ContainerStatus{waiting("ContainerCreating")}
	}
	cases := map[string]struct {
		super  *corev1.Pod
		tenant func(*corev1.Pod)
		want   bool
	}{
		"not scheduled yet": {superPod(corev1.PodPending, func(s *corev1.PodStatus) { s.StartTime = nil }), nil, false},
		"cannot be scheduled": {superPod(corev1.PodPending, func(s *corev1.PodStatus) {
			s.StartTime, s.Conditions = nil, []corev1.PodCondition{condition(corev1.PodScheduled, corev1.ConditionFalse)}
		}), nil, true},
		"the kubelet's first word": {superPod(corev1.PodPending, func(s *corev1.PodStatus) {
			s.ContainerStatuses = []corev1.ContainerStatus{waiting("ContainerCreating")}
		}), nil, true},
		"still creating": {superPod(corev1.PodPending, func(s *corev1.PodStatus) {
			s.ContainerStatuses = []corev1.ContainerStatus{waiting("ContainerCreating")}
			s.Conditions = []corev1.PodCondition{condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue)}
		}), told, false},
		"an image that cannot be pulled":   {superPod(corev1.PodPending, func(s *corev1.PodStatus) { s.ContainerStatuses = []corev1.ContainerStatus{waiting("ImagePullBackOff")} }), told, true},
		"running":                          {superPod(corev1.PodRunning, nil), told, true},
		"finished and then something else": {superPod(corev1.PodRunning, nil), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenant := makePod(nil)
			if tc.tenant != nil {
				tc.tenant(tenant)
			}
			before := tenant.DeepCopy()
			if got := !cmp.Equal(before, reported(t, tc.super, tenant)); got != tc.want {
				t.Errorf("written: %v\n%s", got, cmp.Diff(before, tenant))
			}
		})
	}
}

func TestConditions(t *testing.T) {
	const gate = "example.com/gate"
	ready := func(s *corev1.PodStatus) {
		s.Conditions = []corev1.PodCondition{condition(corev1.PodReady, corev1.ConditionTrue)}
	}
	cases := map[string]struct {
		tenant []corev1.PodCondition
		gates  []corev1.PodReadinessGate
		want   map[corev1.PodConditionType]corev1.ConditionStatus
	}{
		"ready": {want: map[corev1.PodConditionType]corev1.ConditionStatus{corev1.PodReady: "True"}},
		"the tenant's own condition stays": {
			tenant: []corev1.PodCondition{condition(gate, corev1.ConditionFalse)},
			want:   map[corev1.PodConditionType]corev1.ConditionStatus{gate: "False", corev1.PodReady: "True"},
		},
		"a closed gate holds Ready back": {
			tenant: []corev1.PodCondition{condition(gate, corev1.ConditionFalse)}, gates: []corev1.PodReadinessGate{{ConditionType: gate}},
			want: map[corev1.PodConditionType]corev1.ConditionStatus{gate: "False", corev1.PodReady: "False"},
		},
		"a gate nobody set holds Ready back": {
			gates: []corev1.PodReadinessGate{{ConditionType: gate}},
			want:  map[corev1.PodConditionType]corev1.ConditionStatus{corev1.PodReady: "False"},
		},
		"an open gate": {
			tenant: []corev1.PodCondition{condition(gate, corev1.ConditionTrue)}, gates: []corev1.PodReadinessGate{{ConditionType: gate}},
			want: map[corev1.PodConditionType]corev1.ConditionStatus{gate: "True", corev1.PodReady: "True"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenant := makePod(func(s *corev1.PodSpec) { s.ReadinessGates = tc.gates })
			tenant.Status.Conditions = tc.tenant
			got := map[corev1.PodConditionType]corev1.ConditionStatus{}
			for _, c := range reported(t, superPod(corev1.PodRunning, ready), tenant).Status.Conditions {
				got[c.Type] = c.Status
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestStatusInFull: what a kubelet reports arrives, but for what is the super
// cluster's own.
func TestStatusInFull(t *testing.T) {
	cpu := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	started := true
	main := corev1.ContainerStatus{
		Name: "main", Image: "web:1", ImageID: "sha256:1", ContainerID: "containerd://1", Ready: true, RestartCount: 2, Started: &started,
		State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "vc-x-shop-y is my own word"}},
		AllocatedResources:   cpu, Resources: &corev1.ResourceRequirements{Requests: cpu},
		User:         &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: 7}},
		VolumeMounts: []corev1.VolumeMountStatus{{Name: "v", MountPath: "/v"}},
	}
	withDevice := main
	withDevice.AllocatedResourcesStatus = []corev1.ResourceStatus{{Name: "example.com/gpu"}}
	super := superPod(corev1.PodRunning, func(s *corev1.PodStatus) {
		s.QOSClass, s.Resize, s.AllocatedResources, s.NominatedNodeName = corev1.PodQOSBurstable, corev1.PodResizeStatusInProgress, cpu, "super-node-2"
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: "injected-proxy"}, withDevice}
		s.InitContainerStatuses = []corev1.ContainerStatus{{Name: "injected-init"}}
		s.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debugger"}, {Name: "of-the-operator"}}
		s.Conditions = []corev1.PodCondition{
			{Type: corev1.ContainersReady, Status: "False", Message: "containers with unready status: [injected-proxy main]"},
			{Type: corev1.PodResizePending, Status: "True", Reason: "Deferred", Message: "Node didn't have enough resource: cpu, requested: 4, used: 3, capacity: 4"},
			{Type: "cloud.example.com/of-a-super-controller", Status: "True"},
		}
		s.VolumeHealth = []corev1.PodVolumeHealth{{Name: "v"}}
	})
	super.Spec.Containers = []corev1.Container{{Name: "injected-proxy"}, {Name: "main"}}
	tenant := makePod(func(s *corev1.PodSpec) { s.EphemeralContainers = []corev1.EphemeralContainer{debugger(nil)} })
	tenant.Status.Conditions = []corev1.PodCondition{condition("example.com/mine", "True"), condition(corev1.PodResizeInProgress, "True")}
	want := corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: super.Status.StartTime, PodIP: "10.244.0.5", PodIPs: []corev1.PodIP{{IP: "10.244.0.5"}},
		HostIP: "192.0.2.10", HostIPs: []corev1.HostIP{{IP: "192.0.2.10"}},
		QOSClass: corev1.PodQOSBurstable, Resize: corev1.PodResizeStatusInProgress, AllocatedResources: cpu,
		ContainerStatuses: []corev1.ContainerStatus{main}, InitContainerStatuses: []corev1.ContainerStatus{},
		EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "debugger"}},
		Conditions: []corev1.PodCondition{
			condition("example.com/mine", "True"),
			{Type: corev1.ContainersReady, Status: "False", Message: "containers with unready status: [main]"},
			{Type: corev1.PodResizePending, Status: "True", Reason: "Deferred", Message: "Node didn't have enough resource: cpu"},
		},
	}
	diffOf(t, want, reported(t, super, tenant).Status)
}

// TestObservedGeneration: a tenant's change counts as seen when the super pod
// asks for all of it that is allowed, and its kubelet has seen that.
func TestObservedGeneration(t *testing.T) {
	yes := true
	refused := debugger(func(c *corev1.EphemeralContainerCommon) {
		c.SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	})
	cases := map[string]struct {
		image              string
		debug              []corev1.EphemeralContainer
		generation, seenBy int64
		want               int64
	}{
		"seen":                       {"web:1", nil, 4, 4, 9},
		"on its way down":            {"web:0", nil, 4, 4, 0},
		"not at the kubelet":         {"web:1", nil, 4, 3, 0},
		"a debug container to come":  {"web:1", []corev1.EphemeralContainer{debugger(nil)}, 4, 4, 0},
		"a debug container, refused": {"web:1", []corev1.EphemeralContainer{refused}, 4, 4, 9},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			super := superPod(corev1.PodRunning, nil)
			tenant := makePod(func(s *corev1.PodSpec) { s.EphemeralContainers = tc.debug })
			super.Spec.Containers = []corev1.Container{{Name: "main", Image: tc.image}}
			super.Generation, super.Status.ObservedGeneration, tenant.Generation = tc.generation, tc.seenBy, 9
			super.Status.Conditions = []corev1.PodCondition{condition(corev1.PodReady, "True")}
			got := reported(t, super, tenant).Status
			if got.ObservedGeneration != tc.want || got.Conditions[0].ObservedGeneration != tc.want {
				t.Errorf("generation %d, of the condition %d, want %d", got.ObservedGeneration, got.Conditions[0].ObservedGeneration, tc.want)
			}
		})
	}
}

// TestUnschedulable: the super cluster's nodes are not counted for the tenant.
func TestUnschedulable(t *testing.T) {
	unscheduled := func(message string) *corev1.Pod {
		return superPod(corev1.PodPending, func(s *corev1.PodStatus) {
			s.StartTime, s.HostIP = nil, ""
			s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: "False", Reason: "Unschedulable", Message: message}}
		})
	}
	tenant := reported(t, unscheduled("0/12 nodes are available: 12 Insufficient cpu. preemption: 0/12 nodes are available: 12 x."), makePod(nil))
	diffOf(t, "0/1 nodes are available: 1 Insufficient cpu.", tenant.Status.Conditions[0].Message)
	tenant = reported(t, unscheduled("0/12 nodes are available: 12 Insufficient memory."), tenant)
	diffOf(t, "0/1 nodes are available: 1 Insufficient memory.", tenant.Status.Conditions[0].Message)
}

func TestUpSettles(t *testing.T) {
	super := superPod(corev1.PodRunning, func(s *corev1.PodStatus) {
		s.Conditions = []corev1.PodCondition{condition(corev1.PodScheduled, corev1.ConditionTrue), condition(corev1.PodReady, corev1.ConditionTrue)}
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Ready: true}}
	})
	first := reported(t, super, makePod(nil))
	if diff := cmp.Diff(first, reported(t, super, first.DeepCopy())); diff != "" {
		t.Errorf("a second Up changes:\n%s", diff)
	}
}

func TestUpdate(t *testing.T) {
	deadline := int64(30)
	tenant := makePod(func(s *corev1.PodSpec) { s.Containers[0].Image, s.ActiveDeadlineSeconds = "web:2", &deadline })
	super := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "super"}, Spec: corev1.PodSpec{
		NodeName: "super-node", Containers: []corev1.Container{{Name: "injected", Image: "x"}, {Name: "main", Image: "web:1"}},
	}}
	want := super.DeepCopy()
	want.Spec.Containers[1].Image, want.Spec.ActiveDeadlineSeconds = "web:2", &deadline
	if err := testTranslator().down(t.Context(), kindtest.Env(nil, nil), tenant, super); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, super); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBoundAndFinished(t *testing.T) {
	scheduled := []corev1.PodCondition{condition(corev1.PodScheduled, corev1.ConditionTrue)}
	started := metav1.NewTime(time.Unix(1_000_000, 0))
	placed := func(bound string, status corev1.PodStatus) *corev1.Pod {
		pod := makePod(func(s *corev1.PodSpec) { s.NodeName = "virtual-node-0" })
		pod.Annotations["tenancy.virtualcluster.io/bound"], pod.Status = bound, status
		return pod
	}
	cases := map[string]struct {
		pod             *corev1.Pod
		bound, finished bool
	}{
		"new":                 {makePod(nil), false, false},
		"named by its author": {makePod(func(s *corev1.PodSpec) { s.NodeName = "virtual-node-0" }), false, false},
		"bound":               {placed("pod-uid", corev1.PodStatus{Conditions: scheduled}), true, false},
		"bound by another":    {placed("", corev1.PodStatus{Conditions: scheduled}), false, false},
		"copied":              {placed("another-uid", corev1.PodStatus{Conditions: scheduled}), false, false},
		"has run":             {placed("", corev1.PodStatus{Conditions: scheduled, StartTime: &started}), true, false},
		"succeeded":           {&corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}, false, true},
		"failed":              {&corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}, false, true},
	}
	for name, tc := range cases {
		if bound(tc.pod) != tc.bound || finished(tc.pod) != tc.finished {
			t.Errorf("%s: bound %v, finished %v", name, bound(tc.pod), finished(tc.pod))
		}
	}
}
