// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// update rewrites the golden files: go test ./pkg/local -update.
var update = flag.Bool("update", false, "rewrite the golden files")

func goldenSettings(withheld bool) settings {
	return settings{
		BinDir: "/src/bin", CNIBinDir: "/usr/lib/cni", Cgroup: "vc-0123456789", ClusterDomain: clusterDomain,
		DNSIP: dnsIP, NodeName: NodeName, PauseImage: pauseImage, PodCIDR: podCIDR, RestrictOOMScore: withheld,
	}
}

func TestConfigFilesMatchGolden(t *testing.T) {
	for name, withheld := range map[string]bool{"withheld": true, "granted": false} {
		t.Run(name, func(t *testing.T) {
			files, err := configFiles(goldenSettings(withheld))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, file := range files {
				got[file.path] = string(file.content)
			}
			_, hasWrapper := got["bin/containerd-shim-runsc-v1"]
			if hasWrapper != withheld {
				t.Errorf("wrapper of gVisor's shim: got %v, want %v", hasWrapper, withheld)
			}
			for path, content := range got {
				compareGolden(t, filepath.Join("testdata", name, path), content)
			}
		})
	}
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), rewrite with -update:\n%s", path, diff)
	}
}

func TestLinkAddresses(t *testing.T) {
	home := layout{dir: "/src/_local"}
	host, node, err := home.linkAddresses(nil)
	if err != nil {
		t.Fatal(err)
	}
	free := netip.PrefixFrom(host, linkBits).Masked()
	tests := map[string]struct {
		layout layout
		used   []netip.Prefix
		same   bool
	}{
		"the same folder has the same addresses": {layout: home, same: true},
		"another folder has others":              {layout: layout{dir: "/src/other/_local"}},
		"a network in use is left alone":         {layout: home, used: []netip.Prefix{free}},
		"also as part of a larger one":           {layout: home, used: []netip.Prefix{netip.PrefixFrom(host, 24).Masked()}},
		"networks elsewhere do not matter":       {layout: home, used: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, same: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			gotHost, gotNode, err := tc.layout.linkAddresses(tc.used)
			if err != nil {
				t.Fatal(err)
			}
			if gotSame := gotHost == host && gotNode == node; gotSame != tc.same {
				t.Errorf("got %s and %s, home is %s and %s", gotHost, gotNode, host, node)
			}
			network := netip.PrefixFrom(gotHost, linkBits).Masked()
			if !linkRange().Contains(gotHost) || !network.Contains(gotNode) || gotHost.Next() != gotNode || gotHost == network.Addr() {
				t.Errorf("%s and %s are not the two addresses of a network in %s", gotHost, gotNode, linkRange())
			}
			if overlapsAny(network, tc.used) {
				t.Errorf("%s is in use", network)
			}
		})
	}
}

func TestLinkAddressesExhausted(t *testing.T) {
	_, _, err := layout{dir: "/x"}.linkAddresses([]netip.Prefix{linkRange()})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v, want an error that says so", err)
	}
}

func TestNamesFitTheKernel(t *testing.T) {
	l := layout{dir: "/" + strings.Repeat("very-long/", 100)}
	if got := len(l.linkName()); got > 15 {
		t.Errorf("interface name %q has %d characters, at most 15 are allowed", l.linkName(), got)
	}
}

func goodFacts() facts {
	return facts{os: "linux", cniBinDir: "/usr/lib/cni", images: 3, free: 20 << 30}
}

func TestCheckUp(t *testing.T) {
	tests := map[string]struct {
		change func(*facts, *Options)
		want   string
	}{
		"all is well":      {change: func(*facts, *Options) {}},
		"another system":   {change: func(f *facts, _ *Options) { f.os = "darwin" }, want: "needs Linux"},
		"not root":         {change: func(f *facts, _ *Options) { f.uid = 1000 }, want: "needs root"},
		"no runc":          {change: func(f *facts, _ *Options) { f.missing = []string{"runc"} }, want: "runc; run hack/install-deps.sh"},
		"no CNI plugins":   {change: func(f *facts, _ *Options) { f.cniBinDir = "" }, want: "CNI plugins; run hack/install-deps.sh"},
		"nothing built":    {change: func(f *facts, _ *Options) { f.missingBinaries = []string{"kube"} }, want: "kube; run make build"},
		"no images":        {change: func(f *facts, _ *Options) { f.images = 0 }, want: "no images (*.tar) in /bin/images; run make images"},
		"a foreign folder": {change: func(f *facts, _ *Options) { f.foreign = true }, want: "--dir"},
		"too little disk":  {change: func(f *facts, _ *Options) { f.free = 1 << 30 }, want: "only 1.0 GiB free below /data, a local cluster needs 10.0 GiB"},
		"no such port":     {change: func(_ *facts, o *Options) { o.APIPort = 70000 }, want: "--api-port"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := goodFacts()
			options := Options{Dir: "/data/_local", BinDir: "/bin", ImagesDir: "/bin/images", APIPort: 6443, MinFree: 10 << 30}
			tc.change(&f, &options)
			err := checkUp(f, options)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than one line", err)
			}
		})
	}
}

func TestClashingPort(t *testing.T) {
	for port, clashes := range map[int]bool{6443: false, 443: false, 10250: true, 2380: true, 30000: true, 32767: true, 32768: false} {
		if got := clashingPort(port) != nil; got != clashes {
			t.Errorf("port %d: got %v, want %v", port, got, clashes)
		}
	}
}

func TestWithholdsSysResource(t *testing.T) {
	tests := map[string]struct {
		status  string
		want    bool
		wantErr bool
	}{
		"all capabilities": {status: "CapEff:\t0\nCapBnd:\t000001ffffffffff\n"},
		"without bit 24":   {status: "Name:\tx\nCapBnd:\t000001fffeffffff\n", want: true},
		"no such line":     {status: "Name:\tx\n", wantErr: true},
		"no number":        {status: "CapBnd:\tzz\n", wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := withholdsSysResource(tc.status)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("got %v, %v; want %v, error %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestPlatformValues(t *testing.T) {
	got := platformValues(imports{"syncer": {Digest: "d1"}, "coredns": {Digest: "d2"}, "vc-gateway": {Digest: "d3"}}, netip.MustParseAddr("198.18.0.2"), map[string]any{
		"class":  map[string]any{"controlPlane": map[string]any{"storage": "1Gi"}},
		"syncer": map[string]any{"replicas": 2},
	})
	want := map[string]any{
		"class": map[string]any{"controlPlane": map[string]any{
			"exposure": map[string]any{
				"type": "NodePort", "allowed": []any{"NodePort", "ClusterIP", "Gateway"},
				"gateway": map[string]any{"domain": "vc.internal", "address": "198.18.0.2:30443"},
			},
			"storage": "1Gi",
		}},
		"gateway": map[string]any{
			"enabled": true, "replicas": 1,
			"service":        map[string]any{"type": "NodePort", "nodePort": 30443},
			"config":         map[string]any{"timeouts": map[string]any{"shutdownDelay": "1s", "drain": "5s"}},
			"podAnnotations": map[string]any{imageDigestAnnotation: "d3"},
		},
		"syncer": map[string]any{"replicas": 2, "podAnnotations": map[string]any{imageDigestAnnotation: "d1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestReadAddons(t *testing.T) {
	objects, err := readAddons()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, object := range objects {
		found[object.GetKind()+"/"+object.GetName()] = true
	}
	for _, want := range []string{
		"ServiceCIDR/tenants", "RuntimeClass/gvisor", "RuntimeClass/runc", "Service/kube-dns", "Deployment/coredns",
		"StorageClass/local-path", "Deployment/local-path-provisioner",
	} {
		if !found[want] {
			t.Errorf("add-on %s is missing", want)
		}
	}
}

func TestContains(t *testing.T) {
	whole := map[string]any{"a": int64(1), "list": []any{map[string]any{"x": "y", "default": true}}}
	tests := map[string]struct {
		part any
		want bool
	}{
		"nothing":        {part: map[string]any{}, want: true},
		"a part":         {part: map[string]any{"list": []any{map[string]any{"x": "y"}}}, want: true},
		"another value":  {part: map[string]any{"a": int64(2)}},
		"a missing key":  {part: map[string]any{"b": int64(1)}},
		"a longer list":  {part: map[string]any{"list": []any{map[string]any{"x": "y"}, "z"}}},
		"another type":   {part: map[string]any{"a": map[string]any{}}},
		"a shorter list": {part: map[string]any{"list": []any{}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := contains(whole, tc.part); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestProgressCountsChanges(t *testing.T) {
	var out bytes.Buffer
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	p := newProgress(&out, clock)
	changing := func() (bool, error) {
		clock.SetTime(clock.Now().Add(800 * time.Millisecond))
		return true, nil
	}
	if err := p.step("containerd", changing); err != nil {
		t.Fatal(err)
	}
	if err := p.step("images", func() (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("broken")
	if err := p.step("node", func() (bool, error) { return true, failure }); !errors.Is(err, failure) {
		t.Errorf("got %v, want the step's own error", err)
	}
	want := "containerd                           0.8s\nnode                               failed after 0.0s\n"
	if diff := cmp.Diff(want, out.String()); diff != "" || p.changes != 1 {
		t.Errorf("%d changes, want 1; output (-want +got):\n%s", p.changes, diff)
	}
}

func TestReport(t *testing.T) {
	report := Report{{Component: "kubelet", PID: 7, State: "running", Well: true}, {Component: "node", State: "Ready", Well: true}}
	if !report.Well() || (Report{}).Well() || append(report, Row{State: "gone"}).Well() {
		t.Error("only a report with parts that are all well is well")
	}
	var out bytes.Buffer
	if err := report.Write(&out); err != nil {
		t.Fatal(err)
	}
	want := "COMPONENT   PID   STATE\nkubelet     7     running\nnode        -     Ready\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestCertificatesAreMadeOnce(t *testing.T) {
	l := layout{dir: t.TempDir()}
	s := &state{NodeIP: netip.MustParseAddr("198.18.0.2"), APIPort: 6443}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	changed, err := writeCertificates(l, s, now)
	if err != nil || !changed {
		t.Fatalf("got %v, %v; want new certificates", changed, err)
	}
	for _, name := range []string{pki.FileServingCert, pki.FileClientCA, pki.FileKubeletServingCA, pki.FileServiceAccountPub} {
		if info, err := os.Stat(l.path("pki", name)); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	first, err := os.ReadFile(l.kubeconfig())
	if err != nil || !strings.Contains(string(first), "https://198.18.0.2:6443") {
		t.Errorf("kubeconfig: %v\n%s", err, first)
	}
	if changed, err := writeCertificates(l, s, now); err != nil || changed {
		t.Errorf("second call: got %v, %v; want no change", changed, err)
	}
}

func TestStateIsKept(t *testing.T) {
	l := layout{dir: t.TempDir()}
	if got, err := readState(l); got != nil || err != nil {
		t.Fatalf("got %v, %v before there is a cluster", got, err)
	}
	want := &state{HostIP: netip.MustParseAddr("198.18.0.1"), NodeIP: netip.MustParseAddr("198.18.0.2"), APIPort: 7443, Complete: true}
	if err := want.write(l); err != nil {
		t.Fatal(err)
	}
	got, err := readState(l)
	if err != nil || *got != *want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if err := os.WriteFile(l.stateFile(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readState(l); err == nil || !strings.Contains(err.Error(), "remove the cluster with local down") {
		t.Errorf("got %v for a damaged file, want the remedy", err)
	}
}

func TestOneLine(t *testing.T) {
	got := oneLine(errors.Join(errors.New("a"), errors.New("b"))).Error()
	if got != "a; b" {
		t.Errorf("got %q", got)
	}
}

func TestAbsoluteFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	target, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := absolute(filepath.Join(dir, "link", "not", "there"))
	if want := filepath.Join(target, "not", "there"); err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
