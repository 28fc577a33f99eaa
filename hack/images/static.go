// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"fmt"
)

// requireStatic fails when the program at path needs a dynamic loader.
func requireStatic(path string) error {
	program, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("reading program %s: %w", path, err)
	}
	defer func() { _ = program.Close() }() // it was only read
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("program %s is dynamically linked and would not start in an image without libraries", path)
		}
	}
	return nil
}
