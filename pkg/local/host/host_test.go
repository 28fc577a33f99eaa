// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePidFile(t *testing.T) {
	tests := map[string]struct {
		content string
		want    Process
		wantErr bool
	}{
		"as written":    {content: Process{PID: 12, Started: 3456}.String(), want: Process{PID: 12, Started: 3456}},
		"empty":         {wantErr: true},
		"pid alone":     {content: "12\n", wantErr: true},
		"no number":     {content: "x 1", wantErr: true},
		"not a process": {content: "-1 5", wantErr: true},
		"no start time": {content: "12 soon", wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePidFile(tc.content)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("got %+v, %v; want %+v, error %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

// statLine is a /proc/<pid>/stat with the fields that matter.
func statLine(name, state, flags, threads, started string) string {
	return "42 (" + name + ") " + state + " 1 42 42 0 -1 " + flags + " 0 0 0 0 0 0 0 0 20 0 " + threads + " 0 " + started + " 0 0\n"
}

func TestParseStat(t *testing.T) {
	tests := map[string]struct {
		stat    string
		want    processStat
		wantErr bool
	}{
		"plain":                   {stat: statLine("kube", "S", "4194304", "9", "777"), want: processStat{state: 'S', flags: 4194304, threads: 9, started: 777}},
		"a name like the fields":  {stat: statLine("a) R 1 (b", "Z", "4", "1", "5"), want: processStat{state: 'Z', flags: 4, threads: 1, started: 5}},
		"nothing after the name":  {stat: "42 (kube)", wantErr: true},
		"no name":                 {stat: "42 kube S", wantErr: true},
		"a start time like never": {stat: statLine("kube", "S", "0", "1", "never"), wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat(tc.stat)
			if (err != nil) != tc.wantErr || err == nil && got != tc.want {
				t.Errorf("got %+v, %v; want %+v, error %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestProcessIsKnownByItsStartTime(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs /proc")
	}
	self, err := processOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() || self.Ending() {
		t.Errorf("this process %+v is not alive", self)
	}
	if (Process{PID: self.PID, Started: self.Started + 1}).Alive() {
		t.Error("another process that had this id is alive")
	}
	if (Process{}).Alive() {
		t.Error("no process is alive")
	}
}

func TestReadPidFileMissing(t *testing.T) {
	got, err := ReadPidFile(filepath.Join(t.TempDir(), "none"))
	if err != nil || got != (Process{}) {
		t.Errorf("got %+v, %v; want no process and no error", got, err)
	}
}

// fakeHierarchies makes folders that look like mounted cgroup hierarchies.
func fakeHierarchies(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		writeProcs(t, filepath.Join(root, name))
	}
	return root
}

func writeProcs(t *testing.T, dir string, pids ...int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, pid := range pids {
		lines.WriteString(strconv.Itoa(pid) + "\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCgroupHierarchies(t *testing.T) {
	tests := map[string]struct {
		make []string
		want []string
	}{
		"version 2":      {make: []string{"."}, want: []string{"."}},
		"version 1":      {make: []string{"memory", "pids", "systemd"}, want: []string{"memory", "pids", "systemd"}},
		"version 1 + 2":  {make: []string{"memory", "unified"}, want: []string{"memory", "unified"}},
		"nothing at all": {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			root := fakeHierarchies(t, tc.make...)
			if err := os.Mkdir(filepath.Join(root, "no-cgroup"), 0o755); err != nil {
				t.Fatal(err)
			}
			got, err := Cgroups{Root: root, Name: "vc-1"}.hierarchies()
			if (err == nil) != (len(tc.want) > 0) {
				t.Fatalf("got %v, %v", got, err)
			}
			for i := range got {
				if got[i], err = filepath.Rel(root, got[i]); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("hierarchies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCgroupProcessesAreOnlyOurs(t *testing.T) {
	root := fakeHierarchies(t, "memory", "pids")
	writeProcs(t, filepath.Join(root, "memory"), 1, 2)
	writeProcs(t, filepath.Join(root, "memory", "vc-2"), 3)
	writeProcs(t, filepath.Join(root, "memory", "vc-1"), 20)
	writeProcs(t, filepath.Join(root, "memory", "vc-1", "kubepods", "pod1"), 30, 10)
	writeProcs(t, filepath.Join(root, "pids", "vc-1", "system"), 20, 40)
	got, err := Cgroups{Root: root, Name: "vc-1"}.Processes()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{10, 20, 30, 40}, got); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}
}

func TestPruneKeepsUnitsWhole(t *testing.T) {
	root := fakeHierarchies(t, "memory")
	top := filepath.Join(root, "memory", "vc-1")
	writeProcs(t, filepath.Join(top, "kubepods", "a-pod-live"))
	writeProcs(t, filepath.Join(top, "kubepods", "a-pod-live", "sandbox"), 7)
	writeProcs(t, filepath.Join(top, "kubepods", "a-pod-live", "empty"))
	writeProcs(t, filepath.Join(top, "kubepods", "pod-dead"))
	writeProcs(t, filepath.Join(top, "kubepods", "pod-dead", "sandbox"))
	var asked []string
	// Only the kernel can remove a cgroup with its files in it: here that fails,
	// and the error names what was to be removed.
	err := Cgroups{Root: root, Name: "vc-1"}.Prune(func(name string) bool {
		asked = append(asked, name)
		return strings.Contains(name, "pod-")
	})
	if err == nil || !strings.Contains(err.Error(), "pod-dead/sandbox") {
		t.Errorf("got %v, want an attempt to remove pod-dead from below", err)
	}
	if err != nil && strings.Contains(err.Error(), "a-pod-live") {
		t.Errorf("a unit with a process was touched: %v", err)
	}
	if diff := cmp.Diff([]string{"vc-1", "kubepods", "a-pod-live", "pod-dead"}, asked); diff != "" {
		t.Errorf("asked about (-want +got):\n%s", diff)
	}
}

func TestIsMember(t *testing.T) {
	tests := map[string]struct {
		content, name string
		want          bool
	}{
		"version 2":              {content: "0::/vc-1/system\n", name: "vc-1", want: true},
		"one of version 1":       {content: "3:pids:/\n2:memory:/vc-1\n", name: "vc-1", want: true},
		"a colon in the path":    {content: "0::/vc-1/kubepods/a:b\n", name: "vc-1", want: true},
		"another's":              {content: "0::/vc-10/system\n", name: "vc-1"},
		"in a container":         {content: "0::/container/vc-1/system\n", name: "vc-1", want: true},
		"the root":               {content: "0::/\n", name: "vc-1"},
		"no name has no members": {content: "0::/\n", name: ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := isMember(tc.content, tc.name); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestKillLeavesOthersAlone lists a process that the kernel says is elsewhere,
// as an error in finding processes would. This process stands for it: an
// attempt to kill it is refused with an error.
func TestKillLeavesOthersAlone(t *testing.T) {
	if _, err := os.Stat("/proc/self/cgroup"); err != nil {
		t.Skip("needs /proc")
	}
	cgroups := Cgroups{Root: t.TempDir(), Name: "vc-none"}
	if err := cgroups.killMember(os.Getpid()); err != nil {
		t.Errorf("a process of others was to be killed: %v", err)
	}
}

func TestCgroupsNeedAName(t *testing.T) {
	root := fakeHierarchies(t, "memory")
	for _, name := range []string{"", "a/b"} {
		if got, err := (Cgroups{Root: root, Name: name}).Processes(); err == nil {
			t.Errorf("%q: got %v, want an error", name, got)
		}
	}
}

func TestInheritCpuset(t *testing.T) {
	parent, child := t.TempDir(), t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(parent, "cpuset.cpus"): "0-1\n", filepath.Join(child, "cpuset.cpus"): "\n",
		filepath.Join(parent, "cpuset.mems"): "0\n", filepath.Join(child, "cpuset.mems"): "1\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := inheritCpuset(parent, child); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		content, err := os.ReadFile(filepath.Join(child, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(content)
	}
	if diff := cmp.Diff(map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "1\n"}, got); diff != "" {
		t.Errorf("cpuset (-want +got):\n%s", diff)
	}
}
