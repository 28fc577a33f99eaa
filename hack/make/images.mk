# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The container images of the local super cluster, one archive each in bin/images, made
# without a container engine or a registry. An archive keeps its time stamp unless its
# content changes. docs/designs/20261120-images.md has the reasons.

IMAGES_TOOL := bin/tools/images
KO := bin/tools/ko
KO_CACHE := bin/ko-cache

# Where the platform's own images belong. Clusters find them under this name.
IMAGE_REPOSITORY := ghcr.io/virtualcluster

# A statically linked busybox; on Debian from the package busybox-static.
BUSYBOX ?= /bin/busybox

PLATFORM_IMAGES := vc-manager syncer vn-agent vc-gateway
OTHER_IMAGES := agnhost busybox control-plane control-plane-v1.36 coredns local-path-provisioner pause

PLATFORM_ARCHIVES := $(PLATFORM_IMAGES:%=bin/images/%.tar)
OTHER_ARCHIVES := $(OTHER_IMAGES:%=bin/images/%.tar)

.PHONY: images
images: $(PLATFORM_ARCHIVES) $(OTHER_ARCHIVES) ## Build every image of the local super cluster into bin/images/.

# The platform's commands. ko always writes its archive, so it does so beside the old
# one, which stays when nothing changed. What ko says matters only when it fails.
.PHONY: $(PLATFORM_ARCHIVES)
$(PLATFORM_ARCHIVES): bin/images/%.tar: $(KO) $(IMAGES_TOOL)
	@mkdir -p $(@D)
	@KOCACHE=$(CURDIR)/$(KO_CACHE) KO_DOCKER_REPO=$(IMAGE_REPOSITORY) \
		KO_DEFAULTBASEIMAGE=$$($(IMAGES_TOOL) --ko-cache $(KO_CACHE)) \
		$(KO) build --push=false --sbom=none --base-import-paths --tags $(VERSION) --image-user 65532:65532 \
		--platform linux/$$(go env GOARCH) \
		--tarball $@.new ./cmd/$* >$@.log 2>&1 || { cat $@.log >&2; rm -f $@.new $@.log; exit 1; }
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; echo wrote $@; fi
	@rm $@.log

# All others.
.PHONY: $(OTHER_ARCHIVES)
$(OTHER_ARCHIVES): bin/images/%.tar: $(IMAGES_TOOL)
	@$(IMAGES_TOOL) --busybox $(BUSYBOX) $*

bin/images/agnhost.tar: bin/agnhost
bin/images/control-plane.tar: bin/kube
bin/images/control-plane-v1.36.tar: bin/kube-v1.36
bin/images/coredns.tar: bin/coredns
bin/images/local-path-provisioner.tar: bin/local-path-provisioner
bin/images/pause.tar: bin/pause

.PHONY: $(IMAGES_TOOL)
$(IMAGES_TOOL):
	@mkdir -p $(@D)
	@go build -ldflags '-s -w' -o $@ ./hack/images

$(KO): hack/tools/ko/go.mod hack/tools/ko/go.sum
	@mkdir -p $(@D)
	cd hack/tools/ko && go build -ldflags '-s -w' -o $(CURDIR)/$@ github.com/google/ko

# The programs in the images. Those of pinned modules change only when the pin does.

.PHONY: bin/pause
bin/pause:
	@mkdir -p $(@D)
	@go build -ldflags '-s -w' -o $@ ./images/pause

# Without gRPC's tracing pages the linker can drop what no plugin calls.
bin/coredns: hack/tools/coredns/go.mod hack/tools/coredns/go.sum hack/tools/coredns/main.go
	@mkdir -p $(@D)
	cd hack/tools/coredns && go build -tags grpcnotrace -ldflags '-s -w' -o $(CURDIR)/$@ .

PROVISIONER_MODULE := hack/tools/local-path-provisioner
PROVISIONER_PATH := github.com/rancher/local-path-provisioner
PROVISIONER_VERSION = $(shell sed -n 's|.*$(PROVISIONER_PATH) \(v[^ ]*\).*|\1|p' $(PROVISIONER_MODULE)/go.mod)

bin/local-path-provisioner: $(PROVISIONER_MODULE)/go.mod $(PROVISIONER_MODULE)/go.sum
	@mkdir -p $(@D)
	cd $(PROVISIONER_MODULE) && go build -ldflags '-s -w -X main.VERSION=$(PROVISIONER_VERSION)' -o $(CURDIR)/$@ $(PROVISIONER_PATH)

# agnhost serves TLS with the certificate that lies beside its source.
AGNHOST_PATH := test/images/agnhost
AGNHOST_VERSION := 2.66.1

bin/agnhost: $(KUBE_MODULE)/go.mod $(KUBE_MODULE)/go.sum
	@mkdir -p $@-certificate
	cd $(KUBE_MODULE) && install -m 644 -t $(CURDIR)/$@-certificate \
		"$$(go list -f '{{.Dir}}' k8s.io/kubernetes/$(AGNHOST_PATH))"/porter/localhost.{crt,key}
	cd $(KUBE_MODULE) && go build -ldflags '-s -w -X main.Version=$(AGNHOST_VERSION)' \
		-o $(CURDIR)/$@ k8s.io/kubernetes/$(AGNHOST_PATH)

# kwok simulates the nodes of the benchmarks.
bin/kwok: hack/tools/kwok/go.mod hack/tools/kwok/go.sum
	@mkdir -p $(@D)
	cd hack/tools/kwok && go build -ldflags '-s -w' -o $(CURDIR)/$@ sigs.k8s.io/kwok/cmd/kwok
