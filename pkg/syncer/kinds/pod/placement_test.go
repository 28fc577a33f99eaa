// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

func TestPlacement(t *testing.T) {
	affinityTo := func(requirement corev1.NodeSelectorRequirement) func(*corev1.PodSpec) {
		term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{requirement}}
		if requirement.Key == "metadata.name" {
			term = corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{requirement}}
		}
		return func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}},
			}}
		}
	}
	selector := func(key, value string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{key: value} }
	}
	tolerating := func(toleration corev1.Toleration) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) { s.Tolerations = []corev1.Toleration{toleration} }
	}
	taints := func(taints ...corev1.Taint) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Spec.Taints = taints }
	}
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	mine := corev1.Taint{Key: "team", Value: "blue", Effect: corev1.TaintEffectNoSchedule}
	in, gt := corev1.NodeSelectorOpIn, corev1.NodeSelectorOpGt
	const mismatch, taint, cordon = "didn't match Pod's node affinity/selector", "had untolerated taint(s)", "were unschedulable"
	cases := map[string]struct {
		change func(*corev1.PodSpec)
		node   func(*corev1.Node)
		want   string // in the reason why it has no place
	}{
		"none":                        {},
		"selector that matches":       {change: selector("kubernetes.io/os", "linux")},
		"selector of a super node":    {change: selector("node-role.kubernetes.io/control-plane", ""), want: mismatch},
		"daemon set":                  {change: affinityTo(corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: in, Values: []string{"virtual-node-0"}})},
		"another node":                {change: affinityTo(corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: in, Values: []string{"super-node"}}), want: mismatch},
		"a label that matches":        {change: affinityTo(corev1.NodeSelectorRequirement{Key: "kubernetes.io/os", Operator: in, Values: []string{"linux"}})},
		"a number that matches":       {change: affinityTo(corev1.NodeSelectorRequirement{Key: "size", Operator: gt, Values: []string{"6"}})},
		"a number that does not":      {change: affinityTo(corev1.NodeSelectorRequirement{Key: "size", Operator: gt, Values: []string{"7"}}), want: mismatch},
		"a taint":                     {node: taints(mine), want: taint},
		"a taint that ends pods":      {node: taints(corev1.Taint{Key: "a", Effect: corev1.TaintEffectNoExecute}), want: taint},
		"a soft taint":                {node: taints(corev1.Taint{Key: "a", Effect: corev1.TaintEffectPreferNoSchedule})},
		"a tolerated taint":           {change: tolerating(corev1.Toleration{Key: "team", Value: "blue"}), node: taints(mine)},
		"another value":               {change: tolerating(corev1.Toleration{Key: "team", Value: "red"}), node: taints(mine), want: taint},
		"everything tolerated":        {change: tolerating(corev1.Toleration{Operator: corev1.TolerationOpExists}), node: taints(mine)},
		"the agent's own health":      {node: taints(corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})},
		"cordoned":                    {node: cordoned, want: cordon},
		"cordoned and a daemon's pod": {change: tolerating(corev1.Toleration{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists}), node: cordoned},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			node := virtualNodeObject()
			if tc.node != nil {
				tc.node(node)
			}
			spec, warned, err := created(t, makePod(tc.change), node)
			if len(warned) > 0 || (err != nil) != (tc.want != "") || (err != nil && !kind.IsUnplaced(err)) {
				t.Fatalf("warned %v, error %v", warned, err)
			}
			if err != nil && err.Error() != "0/1 nodes are available: 1 node(s) "+tc.want+"." {
				t.Errorf("it says %q", err)
			}
			if spec.NodeSelector != nil || spec.Affinity != nil || spec.NodeName != "" || spec.Tolerations != nil {
				t.Errorf("something about nodes crossed: %+v", spec)
			}
		})
	}
	t.Run("waits for the node", func(t *testing.T) {
		_, _, err := created(t, makePod(selector("a", "b")))
		if !kind.IsWait(err) || kind.IsUnplaced(err) {
			t.Errorf("error %v, want a wait", err)
		}
	})
}

// TestHold: a pod that has no place says so as after a scheduler.
func TestHold(t *testing.T) {
	born := metav1.Unix(1_000_000, 0)
	cases := map[string]struct {
		err      error
		nodeName string
		want     []corev1.PodCondition
	}{
		"no place": {kind.Unplaced("0/1 nodes"), "", []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes", LastTransitionTime: born, ObservedGeneration: 3,
		}}},
		"refused": {kind.Reject("spec.x", "remove it"), "", []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "SyncRejected", Message: "spec.x: remove it", LastTransitionTime: born, ObservedGeneration: 3,
		}}},
		"bound by the tenant": {kind.Reject("spec.nodeName", "remove it"), "virtual-node-0", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenant := makePod(func(s *corev1.PodSpec) { s.NodeName = tc.nodeName })
			tenant.CreationTimestamp, tenant.Generation = born, 3
			for range 2 {
				hold(tenant, tc.err)
			}
			diffOf(t, tc.want, tenant.Status.Conditions)
		})
	}
}

func antiAffinity(term corev1.PodAffinityTerm) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term},
		}}
	}
}

// TestAffinityStaysAtHome: whatever namespaces a term names, it looks at this
// tenant's and at no others.
func TestAffinityStaysAtHome(t *testing.T) {
	app := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}
	selecting := func(key string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: "yes"}}
	}
	const host = corev1.LabelHostname
	cases := map[string]struct {
		term       corev1.PodAffinityTerm
		namespaces []string // of the tenant; nil means the pod's own
		dropped    bool
	}{
		"its own namespace":           {term: corev1.PodAffinityTerm{TopologyKey: host}},
		"by name":                     {term: corev1.PodAffinityTerm{TopologyKey: host, Namespaces: []string{"kube-system", "other"}}, namespaces: []string{"kube-system", "other"}},
		"all":                         {term: corev1.PodAffinityTerm{TopologyKey: corev1.LabelTopologyZone, NamespaceSelector: &metav1.LabelSelector{}}, namespaces: []string{"backend", "shop"}},
		"by label":                    {term: corev1.PodAffinityTerm{TopologyKey: host, NamespaceSelector: selecting("tier")}, namespaces: []string{"backend"}},
		"by label and name":           {term: corev1.PodAffinityTerm{TopologyKey: host, NamespaceSelector: selecting("tier"), Namespaces: []string{"x"}}, namespaces: []string{"backend", "x"}},
		"a selector of nothing":       {term: corev1.PodAffinityTerm{TopologyKey: host, NamespaceSelector: selecting("none")}, namespaces: []string{""}},
		"a super namespace's name":    {term: corev1.PodAffinityTerm{TopologyKey: host, Namespaces: []string{"vc-rival-default-6u5cnjqwx5vhuh3ijgpmxvj5fu"}}, namespaces: []string{"vc-rival-default-6u5cnjqwx5vhuh3ijgpmxvj5fu"}},
		"merged label keys":           {term: corev1.PodAffinityTerm{TopologyKey: host, MatchLabelKeys: []string{"a"}, MismatchLabelKeys: []string{"b"}}},
		"a label of the super nodes":  {term: corev1.PodAffinityTerm{TopologyKey: "example.com/rack"}, dropped: true},
		"the name of a topology only": {term: corev1.PodAffinityTerm{TopologyKey: "kubernetes.io/hostname2"}, dropped: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.term.LabelSelector = app
			spec, warned, err := created(t, makePod(antiAffinity(tc.term)), virtualNodeObject(),
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "backend", Labels: map[string]string{"tier": "yes"}}})
			if err != nil {
				t.Fatal(err)
			}
			if tc.dropped {
				if spec.Affinity != nil || len(warned) != 1 || !strings.HasSuffix(warned[0], "[0].topologyKey") {
					t.Errorf("affinity %+v, warned %v", spec.Affinity, warned)
				}
				return
			}
			want := &corev1.PodSpec{}
			antiAffinity(corev1.PodAffinityTerm{LabelSelector: app, TopologyKey: tc.term.TopologyKey, Namespaces: superNames(tc.namespaces)})(want)
			diffOf(t, want.Affinity, spec.Affinity)
		})
	}
}

func TestAffinityKeepsItsShape(t *testing.T) {
	term := corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{}}
	weighted := []corev1.WeightedPodAffinityTerm{{Weight: 7, PodAffinityTerm: term}}
	given := &corev1.Affinity{
		PodAffinity:     &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}, PreferredDuringSchedulingIgnoredDuringExecution: weighted},
		PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: weighted},
	}
	spec, _, err := created(t, makePod(func(s *corev1.PodSpec) { s.Affinity = given }), virtualNodeObject())
	if err != nil {
		t.Fatal(err)
	}
	diffOf(t, given, spec.Affinity)
}

func TestSpread(t *testing.T) {
	spread := func(key string, labelKeys ...string) corev1.TopologySpreadConstraint {
		return corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule, MatchLabelKeys: labelKeys}
	}
	spec, warned, err := created(t, makePod(func(s *corev1.PodSpec) {
		s.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
			spread("example.com/rack"), spread(corev1.LabelTopologyZone, "pod-template-hash"),
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	diffOf(t, []string{"spec.topologySpreadConstraints[0].topologyKey"}, warned)
	diffOf(t, []corev1.TopologySpreadConstraint{spread(corev1.LabelTopologyZone)}, spec.TopologySpreadConstraints)
}
