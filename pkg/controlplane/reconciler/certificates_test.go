// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"

	"k8s.io/apimachinery/pkg/api/resource"
)

// TestHashFiles: what is read only at the start restarts the process, the
// leaves, which are read again, do not.
func TestHashFiles(t *testing.T) {
	files := map[string][]byte{
		pki.FileUserCACert: {}, pki.FileUserCAKey: {}, pki.FileServerCA: {}, pki.FileClientCA: {}, pki.FileRequestHeaderCA: {},
		pki.FileKubeletServingCA: {}, pki.FileEtcdCA: {}, pki.FileServiceAccountKey: {}, pki.FileServiceAccountPub: {},
		pki.FileEncryptionKeys: {},
	}
	restarts := slices.Collect(maps.Keys(files))
	for _, leaf := range pki.Leaves() {
		files[leaf+".crt"], files[leaf+".key"] = nil, nil
	}
	before := hashFiles(files)
	for name := range files {
		changed := maps.Clone(files)
		changed[name] = []byte("x")
		wantSame := !slices.Contains(restarts, name)
		if same := hashFiles(changed) == before; same != wantSame {
			t.Errorf("after a change of %s: same = %v, want %v", name, same, wantSame)
		}
	}
	renamed := map[string][]byte{"ab": []byte("c")}
	if hashFiles(renamed) == hashFiles(map[string][]byte{"a": []byte("bc")}) {
		t.Errorf("where a name ends does not count")
	}
}

func TestDNSNames(t *testing.T) {
	if diff := cmp.Diff([]string{"api.example.test"}, dnsNames([]string{"192.0.2.1", "api.example.test", "fd00::1"})); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestKeepVolume(t *testing.T) {
	old, changed := component.Spec{}, component.Spec{}
	old.ControlPlane.Storage.Size = resource.MustParse("1Gi")
	changed.ControlPlane.Storage.Size = resource.MustParse("5Gi")
	changed.ControlPlane.Storage.StorageClassName = "fast"
	desired := changed.StatefulSet("hash")
	keepVolume(desired, old.StatefulSet("hash"))
	want := old.StatefulSet("hash").Spec.VolumeClaimTemplates
	if diff := cmp.Diff(want, desired.Spec.VolumeClaimTemplates); diff != "" {
		t.Errorf("volume claims (-want +got):\n%s", diff)
	}
}

func TestKeepUser(t *testing.T) {
	old, changed := component.Spec{TenantID: "old"}, component.Spec{TenantID: "new"}
	desired := changed.StatefulSet("hash")
	keepUser(desired, old.StatefulSet("hash"))
	want := old.StatefulSet("hash").Spec.Template.Spec.SecurityContext
	if diff := cmp.Diff(want, desired.Spec.Template.Spec.SecurityContext); diff != "" {
		t.Errorf("security context (-want +got):\n%s", diff)
	}
}
