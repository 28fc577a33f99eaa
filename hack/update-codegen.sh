#!/bin/sh
# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Writes the deep copies, the CRDs and the ClusterRoles from the markers in the
# code, and the chart's copies of the last two. CONTROLLER_GEN is the generator;
# `make generate` builds and names it.

set -eu
cd "$(dirname "$0")/.."
: "${CONTROLLER_GEN:?run this through make generate}"

chart=charts/virtualcluster

"$CONTROLLER_GEN" object:headerFile=hack/boilerplate.go.txt paths=./apis/...
"$CONTROLLER_GEN" crd paths=./apis/tenancy/... output:crd:dir=config/crd
rm -f "$chart"/crds/*.yaml
cp config/crd/*.yaml "$chart/crds/"

# rbac COMPONENT PACKAGES: the ClusterRole of one component, from the markers in its packages.
rbac() {
  "$CONTROLLER_GEN" "rbac:roleName=$1" "paths=$2" "output:rbac:dir=config/rbac/$1"
  if [ ! -s "config/rbac/$1/role.yaml" ]; then
    echo "error: no kubebuilder:rbac markers in $2" >&2
    exit 1
  fi
  mkdir -p "$chart/files/rbac"
  cp "config/rbac/$1/role.yaml" "$chart/files/rbac/$1.yaml"
}

rbac vc-manager ./pkg/controlplane/...
rbac syncer ./pkg/syncer/...
rbac vn-agent ./pkg/vnagent/...
rbac vc-gateway ./pkg/gateway/...
