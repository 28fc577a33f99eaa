// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

// IngressFields returns the disposition of every field that can be reached from
// an IngressSpec.
func IngressFields() Fields {
	rules := Fields{}
	rules.copies("IngressSpec", "IngressClassName", "DefaultBackend", "TLS", "Rules")
	rules.copies("IngressBackend", "Service")
	rules.refuses("IngressBackend", "only Services can be backends; name one", "Resource")
	rules.copies("IngressServiceBackend", "Name", "Port")
	rules.copies("ServiceBackendPort", "Name", "Number")
	rules.copies("IngressTLS", "Hosts", "SecretName")
	rules.copies("IngressRule", "Host", "IngressRuleValue")
	rules.copies("IngressRuleValue", "HTTP")
	rules.copies("HTTPIngressRuleValue", "Paths")
	rules.copies("HTTPIngressPath", "Path", "PathType", "Backend")
	return rules
}

// NetworkPolicyFields returns the disposition of every field that can be reached
// from a NetworkPolicySpec. What selects namespaces is rewritten: labels of the
// tenant's namespaces do not cross, and others' must not be met.
func NetworkPolicyFields() Fields {
	rules := Fields{}
	rules.copies("NetworkPolicySpec", "PodSelector", "Ingress", "Egress", "PolicyTypes")
	rules.copies("NetworkPolicyIngressRule", "Ports", "From")
	rules.copies("NetworkPolicyEgressRule", "Ports", "To")
	rules.copies("NetworkPolicyPeer", "PodSelector", "IPBlock")
	rules.rewrites("NetworkPolicyPeer", "NamespaceSelector")
	rules.copies("NetworkPolicyPort", "Protocol", "Port", "EndPort")
	rules.copies("IPBlock", "CIDR", "Except")
	return rules
}
