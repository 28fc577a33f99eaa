# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. Each topic has a file below hack/make.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Go uses all cores by itself, and the tests of one machine share its ports.
.NOTPARALLEL:

# Static binaries; the same flags everywhere, so that all targets share one build cache.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false -p=2

VERSION := $(shell cat VERSION)

include $(sort $(wildcard hack/make/*.mk))

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-zA-Z0-9_-]*:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST) | sort

.PHONY: up
up: machine deps build images ## Build all, start a local super cluster, install the platform, create the virtual cluster `demo`.
	bin/kubectl-vc local up
	bin/kubectl-vc create demo --wait --meta-kubeconfig _local/kubeconfig
	@printf '\nThe virtual cluster demo is ready. Go on with:\n\n'
	@printf '  export PATH=$$PWD/bin:$$PATH KUBECONFIG=$$(bin/kubectl-vc kubeconfig demo)\n'
	@printf '  kubectl get nodes\n\n'
	@printf 'README.md has more; `make down` removes everything.\n'

.PHONY: down
down: ## Stop the local super cluster and remove all it has made.
	@test -x bin/kubectl-vc || $(MAKE) --no-print-directory bin/kubectl-vc
	bin/kubectl-vc local down

.PHONY: clean
clean: ## Remove what was built. Does not stop the local super cluster.
	rm -rf bin
