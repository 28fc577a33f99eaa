// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// isSuperOwnedKey reports keys that the super cluster gives a meaning to, and
// that a tenant therefore never sets there.
func isSuperOwnedKey(key string) bool {
	switch key {
	case "kubectl.kubernetes.io/last-applied-configuration", // a copy of the object, useless and large
		"kubernetes.io/metadata.name",        // set by the API server on Namespaces
		"kubernetes.io/config.mirror",        // marks a static pod's mirror
		"kubernetes.io/config.hash",          // "
		"kubernetes.io/config.source",        // "
		"kubernetes.io/config.seen",          // "
		"kubernetes.io/psp",                  // admission's note
		"kubernetes.io/limit-ranger",         // "
		"kubernetes.io/service-account.name", // makes controllers fill a Secret
		"kubernetes.io/service-account.uid",  // "
		"control-plane.alpha.kubernetes.io/leader":
		return true
	}
	prefix, _, found := strings.Cut(key, "/")
	if !found {
		return false
	}
	return inSuperOwnedDomain(prefix)
}

// inSuperOwnedDomain reports key prefixes, and everything below them, that
// runtimes, CNI plug-ins, device plug-ins, admission, node managers and
// controllers of the super cluster act on. A tenant that could set them could
// change its sandbox, its network or the nodes it shares with others, or borrow
// the identity that such a controller works with.
func inSuperOwnedDomain(prefix string) bool {
	for _, domain := range [...]string{
		// The sandbox and the container runtime.
		"katacontainers.io", "gvisor.dev", "containerd.io", "cri-o.io", "kubernetes.cri.io",
		"container.apparmor.security.beta.kubernetes.io", "container.seccomp.security.alpha.kubernetes.io",
		"seccomp.security.alpha.kubernetes.io", "cdi.k8s.io", "nri.io", "noderesource.dev",
		// The pod's network.
		"cni.cncf.io", "projectcalico.org", "cilium.io", "io.cilium", "ovn.org", "ovn.kubernetes.io", "antrea.io",
		"vpc.amazonaws.com", "networking.gke.io",
		// Admission and side-car injection.
		"pod-security.kubernetes.io", "istio.io", "dapr.io", "linkerd.io", "kuma.io", "hashicorp.com",
		"opentelemetry.io", "datadoghq.com", "dynatrace.com", "openshift.io", "kyverno.io", "gatekeeper.sh",
		// Identities of the cloud that node agents and webhooks hand out.
		"iam.amazonaws.com", "eks.amazonaws.com", "azure.workload.identity", "iam.gke.io",
		// Addresses and names outside of the cluster.
		"external-dns.alpha.kubernetes.io", "metallb.io", "metallb.universe.tf", "kube-vip.io",
		"service.beta.kubernetes.io", "service.alpha.kubernetes.io", "load-balancer.hetzner.cloud",
		// Nodes and their autoscaling.
		"node.kubernetes.io", "node-role.kubernetes.io", "cluster-autoscaler.kubernetes.io",
		"karpenter.sh", "descheduler.alpha.kubernetes.io", "scheduler.alpha.kubernetes.io",
		// Who looks after an EndpointSlice or a Service.
		"endpointslice.kubernetes.io",
	} {
		if prefix == domain || strings.HasSuffix(prefix, "."+domain) {
			return true
		}
	}
	return false
}

// MayCross reports whether a tenant's label or annotation key reaches the
// super cluster. It is false for the platform's own keys and for keys that the
// super cluster acts on; app.kubernetes.io, statefulset.kubernetes.io,
// batch.kubernetes.io and whatever the tenant invents pass.
func MayCross(key string) bool {
	return !identity.IsReservedKey(key) && !isRuntimeKey(key) && !isSuperOwnedKey(key)
}

// isRuntimeKey reports keys without a domain separator that container runtimes
// read as settings (io.katacontainers.config..., io.kubernetes.cri...).
func isRuntimeKey(key string) bool {
	for _, prefix := range [...]string{
		"io.katacontainers.", "dev.gvisor.", "io.kubernetes.", "io.containerd.", "io.cri-containerd", "run.oci.", "org.systemd.", "org.criu.",
	} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// Metadata returns the labels or annotations that a super object should carry:
// those of tenant that may cross, and those of super that a tenant has no say
// in. A key that the tenant dropped is dropped. Neither argument is modified;
// the result is nil if there are none.
func Metadata(tenant, super map[string]string) map[string]string {
	out := make(map[string]string, len(tenant)+len(super))
	for key, value := range super {
		if !MayCross(key) {
			out[key] = value
		}
	}
	for key, value := range tenant {
		if MayCross(key) {
			out[key] = value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
