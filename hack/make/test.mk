# Copyright The VirtualCluster Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The tests, from the fastest to the slowest.

.PHONY: test
test: machine verify test-unit test-integration test-e2e ## Run everything that CI runs.

.PHONY: test-unit
test-unit: ## Run the unit tests and the import rules.
	go test . ./apis/... ./charts/... ./cmd/... ./hack/... ./pkg/... ./test/performance/...
	for module in $(KUBE_MODULES); do (cd $$module && go test ./... $(KUBE_SHARED)/...); done

.PHONY: test-integration
test-integration: $(KUBE_BINARIES) bin/kubectl bin/coredns ## Run the tests that need a real API server, but no pods.
	go test -count=1 -timeout 20m ./test/framework/... ./test/integration/...

.PHONY: test-journal
test-journal: bin/kube ## Kill the syncer 50 times during 20,000 writes, and show that nothing is lost. Takes 6 minutes.
	SYNCER_TEST=full go test -count=1 -timeout 20m -v -run '^TestJournal' ./test/integration/syncer/

.PHONY: test-faults
test-faults: bin/kube ## Break what the syncer depends on, with many objects and for longer than test-integration does.
	SYNCER_TEST=full go test -count=1 -timeout 40m -v -skip '^TestJournal' ./test/integration/syncer/

BENCH ?= .
BENCH_PROFILES ?=

.PHONY: bench
bench: bin/kube bin/kwok ## Measure the syncer beside the super cluster itself, 17 minutes. BENCH chooses scenarios, BENCH_PROFILES=DIR keeps profiles and logs.
	BENCH_PROFILES='$(abspath $(BENCH_PROFILES))' go test -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 40m ./test/performance

.PHONY: bench-controlplane
bench-controlplane: machine deps build images ## Measure tenants' control planes on a local super cluster: time to Ready, memory, thirty at once. 6 minutes. Needs root.
	BENCH_CONTROLPLANE=1 go test -run '^$$' -bench . -benchtime 1x -timeout 40m ./test/performance/controlplane

.PHONY: bench-check
bench-check: ## Fail when a figure of the last `make bench` passes its limit in git.
	go run ./test/performance/check test/performance/limits.yaml bin/bench.json

# The last target of `test`: its closing lines are the result of the whole run.
.PHONY: test-e2e
test-e2e: machine deps build images ## Run the end-to-end tests on a local super cluster of their own. Needs root.
	go test -count=1 -timeout 60m -v ./test/e2e/...
