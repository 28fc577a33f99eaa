#!/bin/sh
# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Writes the chart's README from values.yaml: the comment above a key is its description.

set -eu
cd "$(dirname "$0")/../charts/virtualcluster"

{
  cat <<'EOF'
# Chart virtualcluster

Installs the platform: the CRDs, vc-manager, syncer and vn-agent, vc-gateway on
request, and one VirtualClusterClass. See docs/operators.md for what the cluster must offer.

    helm install virtualcluster charts/virtualcluster --namespace vc-system --create-namespace

Helm makes CRDs but never upgrades them. Before `helm upgrade`:

    kubectl apply --server-side --force-conflicts -f charts/virtualcluster/crds

The pods need no privilege. Label the namespace so that it stays so:

    kubectl label namespace vc-system pod-security.kubernetes.io/enforce=restricted

## Values

This list is written by `make generate` from values.yaml.

| key | default | meaning |
|---|---|---|
EOF
  awk '
    # Keys are lines "indent key: value". The items of a list, and keys without
    # a comment of their own, belong to the default of the key above them.
    /^ *#/ { line = $0; sub(/^ *# ?/, "", line); comment = comment == "" ? line : comment " " line; next }
    /^ *$/ { comment = ""; next }
    /^ *[a-zA-Z]+:/ {
      match($0, /^ */); depth = RLENGTH / 2
      key = $0; sub(/^ */, "", key); sub(/:.*/, "", key)
      value = $0; sub(/^ *[a-zA-Z]+: */, "", value)
      path[depth] = key
      if (comment == "") next
      name = path[0]; for (i = 1; i <= depth; i++) name = name "." path[i]
      gsub(/\|/, "\\|", comment)
      printf "| `%s` | %s | %s |\n", name, value == "" ? "see values.yaml" : "`" value "`", comment
      comment = ""
    }
  ' values.yaml
} >README.md
