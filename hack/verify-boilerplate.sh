#!/bin/sh
# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Fails when a source file does not say whose it is and under which license.

set -eu
cd "$(dirname "$0")/.."

missing=$(git ls-files --cached --others --exclude-standard -- '*.go' '*.sh' '*.mk' '*Dockerfile' Makefile .ci/run | while read -r file; do
  # Deleted but not yet committed, or a program's input that must stay as it is.
  [ -f "$file" ] || continue
  head -n 8 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
done)
if [ -n "$missing" ]; then
  echo "error: these files do not start with the lines of hack/boilerplate.go.txt:" >&2
  echo "$missing" >&2
  exit 1
fi
