# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The container runtime and the sandbox of the local super cluster, built from pinned Go modules.

LOCAL_BIN ?= $(CURDIR)/bin

# Without cgo the programs are static, so that no C library of the build machine matters.
LOCAL_GO_BUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false

CONTAINERD_MODULE = hack/tools/containerd/go.mod hack/tools/containerd/go.sum
CONTAINERD_PATH = github.com/containerd/containerd/v2
CONTAINERD_LDFLAGS = -s -w -X $(CONTAINERD_PATH)/version.Version=v$(shell sed -n 's|.*$(CONTAINERD_PATH) v\([^ ]*\).*|\1|p' hack/tools/containerd/go.mod)
CONTAINERD_PROGRAMS = $(addprefix $(LOCAL_BIN)/,containerd ctr containerd-shim-runc-v2)

GVISOR_MODULE = hack/tools/gvisor/go.mod hack/tools/gvisor/go.sum
GVISOR_PATH = gvisor.dev/gvisor
GVISOR_LDFLAGS = -s -w -X $(GVISOR_PATH)/runsc/version.version=$(shell sed -n 's|.*$(GVISOR_PATH) \(v[^ ]*\).*|\1|p' hack/tools/gvisor/go.mod)
GVISOR_PROGRAMS = $(LOCAL_BIN)/runsc $(LOCAL_BIN)/containerd-shim-runsc-v1

.PHONY: runtime
runtime: $(CONTAINERD_PROGRAMS) $(GVISOR_PROGRAMS) ## Build the container runtime and the sandbox of the local super cluster.

.PHONY: machine
machine: ## Say what this machine lacks to build and run a local super cluster.
	@hack/check-machine.sh

.PHONY: deps
deps: ## Install the Debian packages that the local super cluster needs and that are missing.
	@hack/install-deps.sh

$(CONTAINERD_PROGRAMS): $(CONTAINERD_MODULE)
	cd hack/tools/containerd && $(LOCAL_GO_BUILD) -ldflags '$(CONTAINERD_LDFLAGS)' -o $@ $(CONTAINERD_PATH)/cmd/$(@F)

$(LOCAL_BIN)/runsc: $(GVISOR_MODULE)
	cd hack/tools/gvisor && $(LOCAL_GO_BUILD) -ldflags '$(GVISOR_LDFLAGS)' -o $@ $(GVISOR_PATH)/runsc

$(LOCAL_BIN)/containerd-shim-runsc-v1: $(GVISOR_MODULE)
	cd hack/tools/gvisor && $(LOCAL_GO_BUILD) -ldflags '$(GVISOR_LDFLAGS)' -o $@ $(GVISOR_PATH)/shim
