// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// installScript installs what facts.missing names.
const installScript = "hack/install-deps.sh"

// facts are what preflight looks at, gathered by gatherFacts.
type facts struct {
	// os is runtime.GOOS; uid the effective user.
	os  string
	uid int
	// missing are the machine's programs that are not in PATH.
	missing []string
	// cniBinDir holds the CNI plugins; empty if there are none.
	cniBinDir string
	// missingBinaries are our own programs that BinDir lacks.
	missingBinaries []string
	// images is how many image files there are.
	images int
	// free is how many bytes are free below the cluster's folder.
	free uint64
	// foreign says that the folder holds something that is not a cluster.
	foreign bool
	// withheld says that CAP_SYS_RESOURCE is not to be had.
	withheld bool
}

// requiredPrograms are the machine's programs that a cluster runs.
func requiredPrograms() []string {
	return []string{"runc", "iptables", "iptables-restore", "conntrack", "ipset", "mount", "umount", "ip"}
}

// requiredBinaries are the programs that a build leaves in BinDir.
func requiredBinaries() []string {
	return []string{"kube", "containerd", "ctr", "containerd-shim-runc-v2", "runsc", "containerd-shim-runsc-v1"}
}

// cniBinDirs are where distributions put the CNI plugins.
func cniBinDirs() []string {
	return []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni", "/usr/lib64/cni"}
}

// checkMachine says, in one line with the remedy, what keeps a cluster from
// running here at all, or nil.
func checkMachine(f facts) error {
	if f.os != "linux" {
		return fmt.Errorf("a local cluster needs Linux, this is %s; run it in a Linux virtual machine", f.os)
	}
	if f.uid != 0 {
		return errors.New("a local cluster needs root for namespaces and mounts; run this again as root (sudo)")
	}
	return nil
}

// checkUp says, in one line with the remedy, what keeps a new cluster from starting, or nil.
func checkUp(f facts, options Options) error {
	if err := checkMachine(f); err != nil {
		return err
	}
	if len(f.missing) > 0 || f.cniBinDir == "" {
		missing := slices.Clone(f.missing)
		if f.cniBinDir == "" {
			missing = append(missing, "the CNI plugins")
		}
		return fmt.Errorf("missing on this machine: %s; run %s", strings.Join(missing, ", "), installScript)
	}
	if len(f.missingBinaries) > 0 {
		return fmt.Errorf("missing in %s: %s; run make build", options.BinDir, strings.Join(f.missingBinaries, ", "))
	}
	if f.images == 0 {
		return fmt.Errorf("no images (*.tar) in %s; run make images", options.ImagesDir)
	}
	if f.foreign {
		return fmt.Errorf("%s is not empty and not a local cluster; choose another folder with --dir", options.Dir)
	}
	if options.APIPort < 1 || options.APIPort > 65535 {
		return fmt.Errorf("the API port %d is not between 1 and 65535; choose another with --api-port", options.APIPort)
	}
	if f.free < options.MinFree {
		return fmt.Errorf("only %s free below %s, a local cluster needs %s; free some, choose another disk with --dir, or lower --min-free",
			gibibytes(f.free), filepath.Dir(options.Dir), gibibytes(options.MinFree))
	}
	return nil
}

func gibibytes(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// capSysResource is the number of CAP_SYS_RESOURCE; see capabilities(7).
const capSysResource = 24

// withholdsSysResource reads /proc/<pid>/status.
func withholdsSysResource(status string) (bool, error) {
	for line := range strings.Lines(status) {
		value, found := strings.CutPrefix(line, "CapBnd:")
		if !found {
			continue
		}
		var mask uint64
		if _, err := fmt.Sscanf(strings.TrimSpace(value), "%x", &mask); err != nil {
			return false, fmt.Errorf("reading the capability mask %q: %w", value, err)
		}
		return mask&(1<<capSysResource) == 0, nil
	}
	return false, errors.New("the kernel does not say which capabilities there are")
}
