#!/bin/sh
# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Fails when a Go file is not formatted or a script does not parse.

set -eu
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -z --cached --others --exclude-standard -- '*.go' | xargs -0 -r gofmt -l)
if [ -n "$unformatted" ]; then
  echo "error: not formatted: run gofmt -w on" >&2
  echo "$unformatted" >&2
  exit 1
fi

# A script is parsed by the shell that its first line names.
git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run | while read -r script; do
  case $(head -n 1 "$script") in
    *bash*) bash -n "$script" ;;
    *) sh -n "$script" ;;
  esac
done
