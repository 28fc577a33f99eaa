// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// TestPortsOfTheDatabase: a single member's database is reached from nowhere;
// the members of several are reached by each other and by vc-manager alone.
func TestPortsOfTheDatabase(t *testing.T) {
	s := testSpec()
	s.PlatformNamespace = "vc-system"
	for name, replicated := range map[string]bool{"single": false, "replicated": true} {
		t.Run(name, func(t *testing.T) {
			s.Replicated = replicated
			ports := map[string]bool{}
			for _, port := range s.StatefulSet("").Spec.Template.Spec.Containers[0].Ports {
				ports[port.Name] = true
			}
			if ports["etcd-client"] != replicated || ports["etcd-peer"] != replicated || !ports["https"] {
				t.Errorf("ports of the container: %v", ports)
			}
			if got := len(s.PeersService().Spec.Ports) > 0; got != replicated {
				t.Errorf("the headless Service has ports: %v", got)
			}
			allowed := map[int32]int{}
			for _, rule := range s.NetworkPolicy().Spec.Ingress {
				for _, port := range rule.Ports {
					allowed[port.Port.IntVal] += max(len(rule.From), 1)
					if port.Port.IntVal != tenancyv1alpha1.ControlPlanePort && len(rule.From) == 0 {
						t.Errorf("port %d is open to everyone", port.Port.IntVal)
					}
				}
			}
			want := map[int32]int{6443: 1}
			if replicated {
				want = map[int32]int{6443: 1, EtcdClientPort: 2, EtcdPeerPort: 1}
			}
			if diff := cmp.Diff(want, allowed); diff != "" {
				t.Errorf("who is allowed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplicatedStatefulSet(t *testing.T) {
	s := testSpec()
	s.Members, s.Replicated = 2, true
	s.ControlPlane.Audit.Level = tenancyv1alpha1.AuditMetadata
	statefulSet := s.StatefulSet("")
	if *statefulSet.Spec.Replicas != 2 || statefulSet.Spec.ServiceName != s.PeersService().Name {
		t.Errorf("%d replicas below %q", *statefulSet.Spec.Replicas, statefulSet.Spec.ServiceName)
	}
	// A member that was taken away must not find its old data when it is added again.
	retention := statefulSet.Spec.PersistentVolumeClaimRetentionPolicy
	if retention.WhenScaled != appsv1.DeletePersistentVolumeClaimRetentionPolicyType ||
		retention.WhenDeleted != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		t.Errorf("retention = %+v", retention)
	}
	pod := statefulSet.Spec.Template.Spec
	for _, want := range []string{
		"--replicas=3", "--audit-level=Metadata", "--peer-domain=control-plane-peers." + s.NamespaceName() + ".svc.cluster.local",
	} {
		if !slices.Contains(pod.Containers[0].Args, want) {
			t.Errorf("args %v lack %s", pod.Containers[0].Args, want)
		}
	}
	if pod.Affinity == nil || len(pod.TopologySpreadConstraints) != 1 {
		t.Errorf("nothing keeps the members apart")
	}
	if !s.PeersService().Spec.PublishNotReadyAddresses || s.PeersService().Spec.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("members that are not ready cannot be found")
	}
	for _, name := range s.PeerDNSNames() {
		if !strings.HasSuffix(name, "."+s.PeerDomain()) {
			t.Errorf("DNS name %q is not below %q", name, s.PeerDomain())
		}
	}
	if len(s.PeerDNSNames()) != 3 || !strings.HasPrefix(s.PeerDNSNames()[2], "control-plane-2.") {
		t.Errorf("DNS names = %v", s.PeerDNSNames())
	}
}

func TestMemoryOfTheProcess(t *testing.T) {
	limit := func(quantity string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(quantity)}}
	}
	cases := map[string]struct {
		process   tenancyv1alpha1.ClassProcess
		resources corev1.ResourceRequirements
		want      map[string]string
	}{
		"no limit":      {tenancyv1alpha1.ClassProcess{}, corev1.ResourceRequirements{}, map[string]string{"GOGC": "30"}},
		"of a class":    {tenancyv1alpha1.ClassProcess{GCPercent: 100, MemoryLimitPercent: 50}, limit("1000"), map[string]string{"GOGC": "100", "GOMEMLIMIT": "500"}},
		"undefaulted":   {tenancyv1alpha1.ClassProcess{}, limit("1Ki"), map[string]string{"GOGC": "30", "GOMEMLIMIT": "800"}},
		"a large limit": {tenancyv1alpha1.ClassProcess{MemoryLimitPercent: 95}, limit("8Ei"), map[string]string{"GOGC": "30", "GOMEMLIMIT": "8762203435012037010"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := testSpec()
			s.ControlPlane.Process, s.ControlPlane.Resources = tc.process, tc.resources
			got := map[string]string{}
			for _, variable := range s.StatefulSet("").Spec.Template.Spec.Containers[0].Env {
				if strings.HasPrefix(variable.Name, "GO") {
					got[variable.Name] = variable.Value
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMembershipRoundTrip(t *testing.T) {
	s := testSpec()
	for name, want := range map[string]Membership{
		"new":         {Bootstrap: true, Revision: 7, Members: 1},
		"established": {Established: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Revision: 8, Members: 3},
	} {
		s.Membership = want
		if diff := cmp.Diff(want, ParseMembership(s.MembershipConfigMap())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// What somebody has spoilt must never allow a new database.
	object := s.MembershipConfigMap()
	object.Data = map[string]string{KeyBootstrap: "yes", KeyRevision: "", KeyMembers: "x"}
	if diff := cmp.Diff(Membership{Established: s.Membership.Established}, ParseMembership(object)); diff != "" {
		t.Errorf("spoilt (-want +got):\n%s", diff)
	}
}
