#!/bin/sh
# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Fails when git sees a change in a generated path: edited, deleted or untracked.
# Run after `make generate`.

set -eu
cd "$(dirname "$0")/.."

set -- 'apis/**/zz_generated.*' config/crd config/rbac \
  charts/virtualcluster/crds charts/virtualcluster/files charts/virtualcluster/README.md

changes=$(git status --porcelain --untracked-files=all -- "$@")
if [ -n "$changes" ]; then
  git --no-pager diff -- "$@"
  echo "error: generated files differ from what is committed: run \`make generate\` and commit:" >&2
  echo "$changes" >&2
  exit 1
fi

# The chart carries its version twice; both follow VERSION.
for field in version appVersion; do
  if ! grep -qx "$field: $(cat VERSION)" charts/virtualcluster/Chart.yaml; then
    echo "error: $field in charts/virtualcluster/Chart.yaml is not $(cat VERSION), the content of VERSION" >&2
    exit 1
  fi
done
