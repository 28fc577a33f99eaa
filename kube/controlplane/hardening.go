// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// apiserverFiles are the files that this process makes for kube-apiserver.
type apiserverFiles struct {
	authentication string
	encryption     string // empty: Secrets are stored as they are
	auditPolicy    string // empty: there is no audit log
}

// cipherSuites are those with forward secrecy and authenticated encryption:
// the three of TLS 1.3, and of TLS 1.2 the ones that HTTP/2 does not forbid
// (RFC 9113, appendix A).
var cipherSuites = []string{
	"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}

// hardeningArgs are those of kube-apiserver's flags that are there for
// security alone. Which check of the CIS benchmark asks for which is a table
// in cis_test.go, and in docs/security.md. Some only say what is the default:
// so they stay when the default changes.
func hardeningArgs(files apiserverFiles) []string {
	args := []string{
		"--tls-min-version=VersionTLS12",
		"--tls-cipher-suites=" + strings.Join(cipherSuites, ","),
		// DenyServiceExternalIPs: CVE-2020-8554. The syncer refuses such Services too, later.
		"--enable-admission-plugins=NodeRestriction,DenyServiceExternalIPs",
		// A token dies with its pod, its Secret or its service account.
		"--service-account-lookup=true",
		// The default makes a token that was asked for an hour valid for a
		// year. The syncer and the kubelet renew it in time.
		"--service-account-extend-token-expiration=false",
		"--request-timeout=1m0s",
		// Profiles are read from the process, not through a tenant's credentials.
		"--profiling=false",
	}
	if files.encryption != "" {
		args = append(args, "--encryption-provider-config="+files.encryption)
	}
	if files.auditPolicy != "" {
		args = append(args,
			"--audit-policy-file="+files.auditPolicy,
			// Standard output, where whoever collects the logs of pods finds
			// it; messages of the process go to standard error.
			"--audit-log-path=-",
			// Without effect on standard output: scanners look for them.
			"--audit-log-maxage=30", "--audit-log-maxbackup=10", "--audit-log-maxsize=100")
	}
	return args
}

// writeAPIServerFiles makes the files. They are there until release is called.
func writeAPIServerFiles(o *Options, keys [][]byte) (files apiserverFiles, release func(), err error) {
	files.authentication = filepath.Join(o.runDir(), "authentication.yaml")
	if err := os.WriteFile(files.authentication, []byte(authenticationConfig), 0o600); err != nil {
		return files, nil, fmt.Errorf("writing the authentication configuration: %w", err)
	}
	if o.AuditLevel != AuditNone {
		policy, err := auditPolicy(o.AuditLevel)
		if err != nil {
			return files, nil, err
		}
		files.auditPolicy = filepath.Join(o.runDir(), "audit-policy.json")
		if err := os.WriteFile(files.auditPolicy, policy, 0o600); err != nil {
			return files, nil, fmt.Errorf("writing the audit policy: %w", err)
		}
	}
	files.encryption, release, err = openEncryption(o, keys)
	return files, release, err
}
