#!/bin/sh
# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that the local super cluster needs and that are not there yet.
# Says nothing and takes no time when nothing is missing. Safe to run as often as you like.

set -eu

# One package and one file it must provide a line. A file stands for its package, so that a program
# which came from elsewhere counts too.
needed() {
  cat <<'EOF'
runc runc
containernetworking-plugins /usr/lib/cni/ptp
iptables iptables
conntrack conntrack
ipset ipset
busybox-static busybox
iproute2 ip
kmod modprobe
mount mount
util-linux nsenter
procps ps
ca-certificates /usr/sbin/update-ca-certificates
EOF
}

have() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=$(needed | while read -r package file; do have "$file" || echo "$package"; done)
# busybox-static and busybox share the name of their program; only the static one runs in an image of its own.
if have busybox && command -v ldd >/dev/null 2>&1 && ldd "$(command -v busybox)" >/dev/null 2>&1; then
  missing="$missing busybox-static"
fi
# shellcheck disable=SC2086 # one word a package is what is wanted
set -- $missing
[ $# -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "hack/install-deps.sh: these programs are missing and there is no apt-get here: $*; install them with your package manager" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "hack/install-deps.sh: missing Debian packages: $*; run as root: apt-get install -y --no-install-recommends $*" >&2
  exit 1
fi

echo "installing Debian packages: $*"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Another apt-get, such as the one that upgrades the machine, is waited for.
apt() { apt-get -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; }
install() { apt install -y --no-install-recommends "$@"; }
# The machine's list of packages may be missing or old.
if ! install "$@" && ! { apt update && install "$@"; }; then
  tail -n 20 "$log" >&2
  echo "hack/install-deps.sh: apt-get could not install: $*; the lines above say why" >&2
  exit 1
fi
