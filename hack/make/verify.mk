# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# What must hold before a change is merged. verify regenerates, checks, and then
# asserts that git sees no difference in the generated paths.
#
# To add a generated file: write it in a hack/update-*.sh and name its path in
# hack/verify-generated.sh. To add a check: write a hack/verify-*.sh.

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Write everything that is generated: deep copies, CRDs, RBAC, the chart's copies and its list of values.
	CONTROLLER_GEN=$(CURDIR)/$(CONTROLLER_GEN) hack/update-codegen.sh
	hack/update-chart-docs.sh

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters.
	$(GOLANGCI_LINT) run --timeout 15m
	for module in $(KUBE_MODULES); do (cd $$module && $(CURDIR)/$(GOLANGCI_LINT) run --timeout 15m --config $(CURDIR)/.golangci.yml . $$(go list -f '{{.Dir}}' $(KUBE_SHARED)/...)); done

.PHONY: lint-fix
lint-fix: $(GOLANGCI_LINT) ## Run the linters and repair what they can.
	$(GOLANGCI_LINT) run --timeout 15m --fix

.PHONY: vet
vet:
	go vet ./...
	for module in $(KUBE_MODULES); do (cd $$module && go vet ./... $(KUBE_SHARED)/...); done

.PHONY: verify
verify: generate ## Regenerate, lint, and assert that nothing generated has changed.
	hack/verify-generated.sh
	hack/verify-format.sh
	hack/verify-boilerplate.sh
	$(MAKE) --no-print-directory vet lint
