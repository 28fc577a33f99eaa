// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package leader

import (
	"testing"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

func TestElect(t *testing.T) {
	tests := map[string]struct {
		elect        bool
		pod          string
		wantIdentity string // empty: one that is new in every process, if there is an election
	}{
		"in a pod":        {true, "syncer-abc", "syncer-abc"},
		"outside of pods": {true, "", ""},
		"no election":     {false, "syncer-abc", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvPodName, tc.pod)
			options := ctrl.Options{}
			config := configv1alpha1.LeaderElection{LeaderElect: &tc.elect, ResourceNamespace: "vc-system"}
			term, err := Elect(&options, &rest.Config{Host: "https://192.0.2.1"}, config, "syncer")
			if err != nil {
				t.Fatal(err)
			}
			if (term != nil) != tc.elect || term.Sure() {
				t.Errorf("a term %v, want one without proof where there is an election", term)
			}
			if options.LeaderElection != tc.elect {
				t.Errorf("LeaderElection is %v, want %v", options.LeaderElection, tc.elect)
			}
			identity := ""
			if options.LeaderElectionResourceLockInterface != nil {
				identity = options.LeaderElectionResourceLockInterface.Identity()
			}
			if (identity == "") == tc.elect || tc.wantIdentity != "" && identity != tc.wantIdentity {
				t.Errorf("the candidate is %q, want %q", identity, tc.wantIdentity)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	t.Setenv(EnvPodName, "syncer-abc")
	if got, err := Identity(); err != nil || got != "syncer-abc" {
		t.Errorf("in a pod: %q, %v", got, err)
	}
	t.Setenv(EnvPodName, "")
	one, err := Identity()
	if err != nil {
		t.Fatal(err)
	}
	if other, err := Identity(); err != nil || one == other {
		t.Errorf("two processes are both %q (%v)", one, err)
	}
}
