# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The programs. Go decides what is out of date, so these targets always ask it.

# One module for each Kubernetes minor that is shipped.
KUBE_MODULE := kube/v1.37
# What all of them share. It has no versions of its own: it is built and tested from a minor's module.
KUBE_LAUNCHER := virtualcluster.io/virtualcluster/kube/controlplane
KUBE_VERSION := v1.37.1

# Kubernetes keeps its version in two packages; without the stamps clients see
# v0.0.0. The values are fixed: the same source makes the same binary.
KUBE_STAMPS := gitVersion=$(KUBE_VERSION) gitMajor=1 gitMinor=37 gitTreeState=clean \
	gitCommit=unknown buildDate=1970-01-01T00:00:00Z
KUBE_LDFLAGS := -s -w \
	$(foreach package,k8s.io/component-base/version k8s.io/client-go/pkg/version,$(KUBE_STAMPS:%=-X $(package).%))

.PHONY: build
build: bin/kube bin/kubectl bin/kubectl-vc runtime ## Build every program into bin/.

.PHONY: bin/kube
bin/kube: ## Build the Kubernetes we ship, as one multi-call binary.
	@mkdir -p $(@D)
	cd $(KUBE_MODULE) && go build -ldflags '$(KUBE_LDFLAGS)' -o $(CURDIR)/$@ .

.PHONY: bin/kubectl
bin/kubectl: bin/kube
	ln -sfn kube $@

.PHONY: bin/kubectl-vc
bin/kubectl-vc: ## Build the kubectl plugin.
	@mkdir -p $(@D)
	go build -ldflags '-s -w' -o $@ ./cmd/kubectl-vc
	@ln -sfn kubectl-vc $(@D)/kubectl_complete-vc

# Tools that generate and check. Each has a module of its own below hack/tools,
# so that its dependencies never decide a version of ours.
CONTROLLER_GEN := bin/tools/controller-gen
GOLANGCI_LINT := bin/tools/golangci-lint

$(CONTROLLER_GEN): hack/tools/controller-gen/go.mod hack/tools/controller-gen/go.sum
	@mkdir -p $(@D)
	cd hack/tools/controller-gen && go build -o $(CURDIR)/$@ sigs.k8s.io/controller-tools/cmd/controller-gen

$(GOLANGCI_LINT): hack/tools/golangci-lint/go.mod hack/tools/golangci-lint/go.sum
	@mkdir -p $(@D)
	cd hack/tools/golangci-lint && go build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
