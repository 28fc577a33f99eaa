// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// TestEveryPodFieldHasADisposition: a new Kubernetes version that adds a field
// fails here until somebody decides about it.
func TestEveryPodFieldHasADisposition(t *testing.T) {
	// A debug container is built apart, by the same rules.
	checkDispositions(t, PodFields(), reflect.TypeFor[corev1.PodSpec](), reflect.TypeFor[corev1.EphemeralContainer]())
}

// TestEveryPodStatusFieldHasADisposition does the same for what goes up.
func TestEveryPodStatusFieldHasADisposition(t *testing.T) {
	checkDispositions(t, PodStatusFields(), reflect.TypeFor[corev1.PodStatus]())
}

// checkDispositions walks every field that can be reached from the roots
// through fields that are copied.
func checkDispositions(t *testing.T, rules Fields, roots ...reflect.Type) {
	t.Helper()
	used := map[string]map[string]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		// Types of other packages are values: quantities, selectors, times.
		if typ.Kind() != reflect.Struct || used[typ.Name()] != nil || typ.PkgPath() != "k8s.io/api/core/v1" {
			return
		}
		used[typ.Name()] = map[string]bool{}
		for i := range typ.NumField() {
			field := typ.Field(i)
			used[typ.Name()][field.Name] = true
			rule := rules[typ.Name()][field.Name]
			switch rule.Disposition {
			case Undecided:
				t.Errorf("%s.%s has no disposition", typ.Name(), field.Name)
			case Strip, Refuse:
				if rule.Remedy == "" {
					t.Errorf("%s.%s has no remedy to tell the tenant", typ.Name(), field.Name)
				}
			case Copy:
				walk(field.Type)
			case Rewrite, Drop:
			}
		}
	}
	for _, root := range roots {
		walk(root)
	}
	for typeName, fields := range rules {
		for field := range fields {
			if !used[typeName][field] {
				t.Errorf("the rule for %s.%s decides about nothing that can be reached", typeName, field)
			}
		}
	}
}

func TestFilter(t *testing.T) {
	yes, no := true, false
	cases := map[string]struct {
		spec     corev1.PodSpec
		want     corev1.PodSpec
		findings []string
	}{
		"nested fields are copied": {
			spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Env: []corev1.EnvVar{{Name: "X", Value: "1"}}}}},
			want: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Env: []corev1.EnvVar{{Name: "X", Value: "1"}}}}},
		},
		"dropped and rewritten fields stay behind silently": {
			spec: corev1.PodSpec{NodeSelector: map[string]string{"a": "b"}, PriorityClassName: "p", AutomountServiceAccountToken: &yes},
		},
		"a pointer to false is copied": {
			spec: corev1.PodSpec{HostUsers: &no}, want: corev1.PodSpec{HostUsers: &no},
		},
		"a refused field names its path": {
			spec: corev1.PodSpec{Volumes: []corev1.Volume{
				{Name: "a"}, {Name: "b", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}},
			}},
			want:     corev1.PodSpec{Volumes: []corev1.Volume{{Name: "a"}, {Name: "b"}}},
			findings: []string{"spec.volumes[1].hostPath"},
		},
		"every refused field is found": {
			spec:     corev1.PodSpec{HostNetwork: true, HostPID: true, HostIPC: true},
			findings: []string{"spec.hostNetwork", "spec.hostPID", "spec.hostIPC"},
		},
		"ports of the node": {
			spec:     corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i", Ports: []corev1.ContainerPort{{ContainerPort: 1, HostPort: 2, HostIP: "::"}}}}},
			want:     corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i", Ports: []corev1.ContainerPort{{ContainerPort: 1}}}}},
			findings: []string{"spec.initContainers[0].ports[0].hostPort", "spec.initContainers[0].ports[0].hostIP"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := tc.spec.DeepCopy()
			got, findings := Filter(PodFields(), &tc.spec, "spec")
			var fields []string
			for _, finding := range findings {
				fields = append(fields, finding.Field)
			}
			if diff := cmp.Diff(tc.findings, fields); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("copy (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(*before, tc.spec); diff != "" {
				t.Errorf("the input was changed:\n%s", diff)
			}
		})
	}
}

// TestUndecidedFieldIsRefused: a field of a newer Kubernetes never crosses.
func TestUndecidedFieldIsRefused(t *testing.T) {
	type future struct {
		Known   string `json:"known"`
		Unknown string `json:"unknown"`
	}
	rules := Fields{"future": {"Known": Rule{Disposition: Copy}}}
	got, findings := Filter(rules, &future{Known: "a", Unknown: "b"}, "spec")
	if got.Known != "a" || got.Unknown != "" || len(findings) != 1 || !findings[0].Fatal || findings[0].Field != "spec.unknown" {
		t.Errorf("got %+v, findings %+v", got, findings)
	}
}
