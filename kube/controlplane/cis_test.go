// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// testFiles are what a hardened tenant has: keys, and the audit log on.
var testFiles = apiserverFiles{authentication: "authentication.yaml", encryption: "/proc/self/fd/3", auditPolicy: "audit-policy.json"}

// emitted is what the process starts its parts with.
type emitted struct {
	options           *Options
	apiserver         flagValues
	controllerManager flagValues
	etcd              *embed.Config
}

// flagValues are flags by name. Flags are given once each.
type flagValues map[string]string

func (f flagValues) unset(name string) bool { _, ok := f[name]; return !ok }

// list splits a value; nothing is an empty list.
func (f flagValues) list(name string) []string {
	return strings.FieldsFunc(f[name], func(r rune) bool { return r == ',' })
}

// atLeast reports whether the value is a number not below minimum.
func (f flagValues) atLeast(name string, minimum int) bool {
	value, err := strconv.Atoi(f[name])
	return err == nil && value >= minimum
}

func (e emitted) inPKI(flags flagValues, name, file string) bool {
	return flags[name] == pki(e.options.PKIDir).path(file)
}

// etcdOnSocketOnly reports whether the API server and every other client reach
// the database by a unix socket in the data directory, and by nothing else
// unless it asks for a certificate of the etcd CA.
func (e emitted) etcdOnSocketOnly() bool {
	if e.apiserver["etcd-servers"] != "unix://"+filepath.Join(e.options.DataDir, etcdSocketName) {
		return false
	}
	for _, url := range e.etcd.ListenClientUrls {
		guarded := url.Scheme == "https" && e.etcd.ClientTLSInfo.ClientCertAuth &&
			e.etcd.ClientTLSInfo.TrustedCAFile == pki(e.options.PKIDir).path(fileEtcdCA)
		if !guarded && (url.Scheme != "unix" || url.Path != e.options.etcdSocket()) {
			return false
		}
	}
	return true
}

// cisCheck is a check of the CIS Kubernetes Benchmark 1.12. How it is met
// stands beside its id in docs/security.md.
type cisCheck struct {
	id    string
	about string // in our words
	met   func(emitted) bool
}

// cisChecks are the benchmark's sections 1.2 (API server), 1.3 (controller
// manager) and 2 (etcd).
var cisChecks = []cisCheck{
	{"1.2.1", "anonymous requests: to the health endpoints alone", anonymousForHealthOnly},
	{"1.2.2", "no file of static tokens", func(e emitted) bool { return e.apiserver.unset("token-auth-file") }},
	{"1.2.3", "no external addresses in Services", admits("DenyServiceExternalIPs")},
	{"1.2.4", "a client pair for kubelets", func(e emitted) bool {
		return e.inPKI(e.apiserver, "kubelet-client-certificate", fileKubeletClientCert) && e.inPKI(e.apiserver, "kubelet-client-key", fileKubeletClientKey)
	}},
	{"1.2.5", "an authority by which kubelets are verified", func(e emitted) bool {
		return e.inPKI(e.apiserver, "kubelet-certificate-authority", fileKubeletServingCA)
	}},
	{"1.2.6", "not everything is authorized", func(e emitted) bool {
		modes := e.apiserver.list("authorization-mode")
		return len(modes) > 0 && !slices.Contains(modes, "AlwaysAllow")
	}},
	{"1.2.7", "nodes are authorized by what runs on them", authorizes("Node")},
	{"1.2.8", "everybody else by roles", authorizes("RBAC")},
	{"1.2.9", "a flood of events: held back by priority and fairness, and hits nobody else's database", func(e emitted) bool {
		// On by default, with events in none of the exempt levels.
		return e.apiserver.unset("enable-priority-and-fairness") && e.etcd.QuotaBackendBytes > 0
	}},
	{"1.2.10", "admission does not wave through", func(e emitted) bool {
		return !slices.Contains(e.apiserver.list("enable-admission-plugins"), "AlwaysAdmit")
	}},
	{"1.2.11", "who may start an image on a machine: the super cluster's kubelets decide, so nothing is rewritten here", func(e emitted) bool {
		return !slices.Contains(e.apiserver.list("enable-admission-plugins"), "AlwaysPullImages")
	}},
	{"1.2.12", "service accounts are admitted", notDisabled("ServiceAccount")},
	{"1.2.13", "nothing is made in a namespace that ends", notDisabled("NamespaceLifecycle")},
	{"1.2.14", "a node changes what is its own alone", admits("NodeRestriction")},
	{"1.2.15", "no profiles through the API", func(e emitted) bool { return e.apiserver["profiling"] == "false" }},
	{"1.2.16", "an audit log", func(e emitted) bool {
		return e.apiserver["audit-log-path"] == "-" && !e.apiserver.unset("audit-policy-file")
	}},
	{"1.2.17", "kept for 30 days", func(e emitted) bool { return e.apiserver.atLeast("audit-log-maxage", 30) }},
	{"1.2.18", "in 10 files", func(e emitted) bool { return e.apiserver.atLeast("audit-log-maxbackup", 10) }},
	{"1.2.19", "of 100 MB", func(e emitted) bool { return e.apiserver.atLeast("audit-log-maxsize", 100) }},
	{"1.2.20", "requests end in time", func(e emitted) bool {
		timeout, err := time.ParseDuration(e.apiserver["request-timeout"])
		return err == nil && timeout > 0 && timeout <= 5*time.Minute
	}},
	{"1.2.21", "a token ends with its service account", func(e emitted) bool { return e.apiserver["service-account-lookup"] == "true" }},
	{"1.2.22", "a key of their own for tokens", func(e emitted) bool {
		return e.inPKI(e.apiserver, "service-account-key-file", fileServiceAccountKeys)
	}},
	{"1.2.23", "the API server's way to etcd: a socket, so there is no certificate", func(e emitted) bool {
		return e.etcdOnSocketOnly() && e.apiserver.unset("etcd-certfile") && e.apiserver.unset("etcd-keyfile")
	}},
	{"1.2.24", "TLS towards clients", func(e emitted) bool {
		return e.inPKI(e.apiserver, "tls-cert-file", fileServingCert) && e.inPKI(e.apiserver, "tls-private-key-file", fileServingKey) &&
			e.apiserver["tls-min-version"] == "VersionTLS12"
	}},
	{"1.2.25", "clients by certificate", func(e emitted) bool { return e.inPKI(e.apiserver, "client-ca-file", fileClientCA) }},
	{"1.2.26", "etcd is verified: a socket in a directory of this user alone", func(e emitted) bool {
		return e.etcdOnSocketOnly() && e.apiserver.unset("etcd-cafile")
	}},
	{"1.2.27", "encryption of Secrets", func(e emitted) bool { return e.apiserver["encryption-provider-config"] == testFiles.encryption }},
	{"1.2.28", "with a strong cipher, first of all", encryptsWithSecretbox},
	{"1.2.29", "strong cipher suites alone", func(e emitted) bool {
		suites := e.apiserver.list("tls-cipher-suites")
		return len(suites) > 0 && !slices.ContainsFunc(suites, weak)
	}},
	{"1.2.30", "tokens live as long as was asked for", func(e emitted) bool {
		return e.apiserver["service-account-extend-token-expiration"] == "false"
	}},
	{"1.3.1", "pods that have ended do not pile up", func(e emitted) bool {
		return e.controllerManager.atLeast("terminated-pod-gc-threshold", 1) && !e.controllerManager.atLeast("terminated-pod-gc-threshold", 12500)
	}},
	{"1.3.2", "no profiles", func(e emitted) bool { return e.controllerManager["profiling"] == "false" }},
	{"1.3.3", "a service account for each controller", func(e emitted) bool { return e.controllerManager["use-service-account-credentials"] == "true" }},
	{"1.3.4", "a key for tokens", func(e emitted) bool {
		return e.inPKI(e.controllerManager, "service-account-private-key-file", fileServiceAccountKey)
	}},
	{"1.3.5", "pods learn the API server's authority", func(e emitted) bool { return e.inPKI(e.controllerManager, "root-ca-file", fileServerCA) }},
	{"1.3.6", "kubelets' serving certificates may be renewed", func(e emitted) bool {
		return !strings.Contains(e.controllerManager["feature-gates"], "RotateKubeletServerCertificate=false")
	}},
	{"1.3.7", "not on the network", func(e emitted) bool {
		return e.controllerManager["bind-address"] == "127.0.0.1" && e.controllerManager["secure-port"] == "0"
	}},
	{"2.1", "etcd's clients: by a socket, or by TLS", func(e emitted) bool { return e.etcdOnSocketOnly() }},
	{"2.2", "and then by certificate", func(e emitted) bool { return e.etcdOnSocketOnly() }},
	{"2.3", "never one that etcd made itself", func(e emitted) bool { return !e.etcd.ClientAutoTLS }},
	{"2.4", "TLS between members", func(e emitted) bool {
		certificates := pki(e.options.PKIDir)
		return e.etcd.PeerTLSInfo.CertFile == certificates.path(fileEtcdPeerCert) && e.etcd.PeerTLSInfo.KeyFile == certificates.path(fileEtcdPeerKey) &&
			!slices.ContainsFunc(e.etcd.ListenPeerUrls, notHTTPS)
	}},
	{"2.5", "members by certificate", func(e emitted) bool { return e.etcd.PeerTLSInfo.ClientCertAuth }},
	{"2.6", "never one that etcd made itself", func(e emitted) bool { return !e.etcd.PeerAutoTLS }},
	{"2.7", "an authority for etcd alone", func(e emitted) bool {
		ca := e.etcd.PeerTLSInfo.TrustedCAFile
		return ca == pki(e.options.PKIDir).path(fileEtcdCA) && !slices.Contains([]string{
			e.apiserver["client-ca-file"], e.apiserver["requestheader-client-ca-file"], e.controllerManager["cluster-signing-cert-file"],
		}, ca)
	}},
}
