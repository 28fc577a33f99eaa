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

// UnmountBelow unmounts everything mounted below dir, the latest mount first. A
// mount that is busy is detached: it goes when its last user does. What is
// mounted at dir itself stays: it may be a disk of the machine's.
func UnmountBelow(dir string) error {
	return unmount(func(target string) bool { return isBelow(target, dir) })
}

// UnmountAt unmounts what is mounted at dir itself, too.
func UnmountAt(dir string) error {
	return unmount(func(target string) bool { return target == dir || isBelow(target, dir) })
}

func isBelow(target, dir string) bool { return strings.HasPrefix(target, dir+"/") }

func unmount(ours func(target string) bool) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	defer file.Close()
	targets, err := mountPoints(file, ours)
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

// mountPoints returns the mount points that are ours, in the order they were made.
func mountPoints(mountinfo io.Reader, ours func(target string) bool) ([]string, error) {
	var targets []string
	scanner := bufio.NewScanner(mountinfo)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 5 {
			continue
		}
		target := mountEscapes().Replace(fields[4])
		if ours(target) {
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
