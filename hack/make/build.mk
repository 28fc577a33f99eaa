# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The programs. Go decides what is out of date, so these targets always ask it.

# One module below kube for each Kubernetes minor that is shipped. The newest is bin/kube, with
# every program; an older one is bin/kube-MINOR, a control plane to upgrade from.
KUBE_MODULE := kube/v1.37
KUBE_OLDER := v1.36
KUBE_MODULES := $(KUBE_MODULE) $(KUBE_OLDER:%=kube/%)
KUBE_BINARIES := bin/kube $(KUBE_OLDER:%=bin/kube-%)

# What all of them share. It has no versions of its own: it is built and tested from a minor's module.
KUBE_SHARED := virtualcluster.io/virtualcluster/kube/controlplane

# The module of a binary, and the version of Kubernetes (v1.37.1) that a module asks for.
kube_module = $(if $(filter bin/kube,$(1)),$(KUBE_MODULE),$(1:bin/kube-%=kube/%))
kube_version = $(shell sed -n 's|.*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' $(1)/go.mod)

# Kubernetes keeps its version in two packages; without the stamps clients see
# v0.0.0. The values are fixed: the same source makes the same binary.
kube_stamps = gitVersion=$(1) gitMajor=1 gitMinor=$(word 2,$(subst ., ,$(1))) gitTreeState=clean \
	gitCommit=unknown buildDate=1970-01-01T00:00:00Z
kube_ldflags = -s -w \
	$(foreach package,k8s.io/component-base/version k8s.io/client-go/pkg/version,$(patsubst %,-X $(package).%,$(call kube_stamps,$(1))))

.PHONY: build
build: $(KUBE_BINARIES) bin/kubectl bin/kubectl-vc runtime ## Build every program into bin/.

.PHONY: $(KUBE_BINARIES)
bin/kube: ## Build the Kubernetes we ship, as one multi-call binary.
$(KUBE_BINARIES):
	@mkdir -p $(@D)
	cd $(call kube_module,$@) && go build -ldflags '$(call kube_ldflags,$(call kube_version,$(call kube_module,$@)))' -o $(CURDIR)/$@ .

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
