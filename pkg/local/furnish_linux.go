// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// furnish prepares the cluster's mount namespace, from inside and once: /run
// and /var are empty but for what the cluster keeps in its folder, so whatever
// a program leaves in a fixed place there is left in the cluster.
func furnish(l layout, options Options) error {
	dirs := []string{l.dir}
	if masked(options.BinDir) {
		dirs = append(dirs, options.BinDir)
	}
	kept := map[string]*os.File{}
	for _, dir := range dirs {
		// Held open, a folder can be mounted after what is above it was hidden.
		file, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", dir, err)
		}
		defer file.Close()
		kept[dir] = file
	}
	for _, hidden := range []string{"/run", "/var"} {
		if err := unix.Mount("tmpfs", hidden, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("hiding %s: %w", hidden, err)
		}
	}
	if err := bindFile(kept[l.dir], inside); err != nil {
		return err
	}
	if masked(options.BinDir) {
		if err := bindFile(kept[options.BinDir], options.BinDir); err != nil {
			return err
		}
	}
	return errors.Join(furnishVar(), shadowSysctls())
}

// masked reports whether furnish hides a path.
func masked(path string) bool {
	return strings.HasPrefix(path, "/run/") || strings.HasPrefix(path, "/var/")
}

func bindFile(file *os.File, target string) error {
	return bind(fmt.Sprintf("/proc/thread-self/fd/%d", file.Fd()), target)
}

func bind(source, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("making %s inside: %w", target, err)
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s inside: %w", target, err)
	}
	return nil
}

func furnishVar() error {
	for _, dir := range []string{"/var/lib", "/var/log", "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making %s inside: %w", dir, err)
		}
	}
	if err := os.MkdirAll("/var/tmp", 0o777|os.ModeSticky); err != nil {
		return fmt.Errorf("making /var/tmp inside: %w", err)
	}
	if err := os.Symlink("/run", "/var/run"); err != nil {
		return fmt.Errorf("making /var/run inside: %w", err)
	}
	if err := bind(filepath.Join(inside, "kubelet"), "/var/lib/kubelet"); err != nil {
		return err
	}
	return bind(filepath.Join(inside, logsDir, "pods"), "/var/log/pods")
}

// kubeletSysctls are settings of the whole machine that the kubelet makes
// unless it finds them made.
func kubeletSysctls() map[string]string {
	return map[string]string{
		"kernel/keys/root_maxbytes": "25000000",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
	}
}

// shadowSysctls shows the kubelet the settings it wants, so that it leaves the
// machine's alone.
func shadowSysctls() error {
	for name, value := range kubeletSysctls() {
		source := filepath.Join("/run/vc-sysctl", name)
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			return fmt.Errorf("making a setting inside: %w", err)
		}
		if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("making a setting inside: %w", err)
		}
		err := unix.Mount(source, filepath.Join("/proc/sys", name), "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("shadowing the setting %s: %w", name, err)
		}
	}
	return nil
}
