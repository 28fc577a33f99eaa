// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// UnmountBelow unmounts everything mounted at dir and below, the latest mount
// first. A mount that is busy is detached: it goes when its last user does.
func UnmountBelow(dir string) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	defer file.Close()
	targets, err := mountsBelow(file, dir)
	if err != nil {
		return err
	}
	for _, target := range slices.Backward(targets) {
		err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) {
			err = unix.Unmount(target, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		// EINVAL and ENOENT: it went together with another one.
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmounting %s: %w", target, err)
		}
	}
	return nil
}

// mountsBelow returns the mount points at dir and below, in the order they were made.
func mountsBelow(mountinfo io.Reader, dir string) ([]string, error) {
	var targets []string
	scanner := bufio.NewScanner(mountinfo)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 5 {
			continue
		}
		target := mountEscapes().Replace(fields[4])
		if target == dir || strings.HasPrefix(target, dir+"/") {
			targets = append(targets, target)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	return targets, nil
}

// mountEscapes undoes how the kernel writes paths with white space; see proc(5).
func mountEscapes() *strings.Replacer {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
}
