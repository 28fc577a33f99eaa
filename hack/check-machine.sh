#!/bin/sh
# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Says in one line what keeps `make up` and `make test` from working on this machine. Runs before
# anything is built: who lacks something should not wait half an hour to be told.

set -eu
cd "$(dirname "$0")/.."

# What a build with empty caches and one local super cluster take together; README.md says so too.
needed_gib=20

fail() {
  echo "error: $*" >&2
  exit 1
}

# free_gib DIR: how much is free on the disk that has, or will have, the folder.
free_gib() {
  dir=$1
  while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
  df -Pk "$dir" | awk 'NR == 2 { print int($4 / 1048576) }'
}

system=$(uname -s)
[ "$system" = Linux ] || fail "a local super cluster needs Linux, this is $system; run this in a Linux virtual machine"
[ "$(id -u)" = 0 ] || fail "a local super cluster needs root for namespaces and mounts; run this again as root (sudo)"

for program in go git; do
  command -v "$program" >/dev/null 2>&1 || fail "$program is not in PATH; install it (README.md says which version)"
done
# From 1.21 on, Go itself says what to do about the version that go.mod asks for.
case $(go env GOVERSION) in
  '' | go1.[0-9] | go1.[0-9].* | go1.1[0-9] | go1.1[0-9].* | go1.20 | go1.20.*)
    fail "$(go version) is too old; install the version that go.mod names" ;;
esac

# Once everything is built, `local up` looks at what is left for the cluster.
[ ! -e bin/kube ] || exit 0
for dir in "$PWD" "$(go env GOCACHE)" "$(go env GOMODCACHE)"; do
  free=$(free_gib "$dir")
  [ "$free" -ge "$needed_gib" ] || fail "only $free GiB are free for $dir, building and running need $needed_gib GiB; free some, or clone to another disk (Go's caches: GOCACHE, GOMODCACHE)"
done
