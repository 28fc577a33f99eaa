// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// AuditLevel is how much of each request the audit log holds.
type AuditLevel string

// The levels, each with what the one before it has.
const (
	// AuditNone: there is no log.
	AuditNone AuditLevel = "None"
	// AuditMetadata: who asked for what, when, and what came of it.
	AuditMetadata AuditLevel = "Metadata"
	// AuditRequest: what was sent.
	AuditRequest AuditLevel = "Request"
	// AuditRequestResponse: what was answered.
	AuditRequestResponse AuditLevel = "RequestResponse"
)

func (l AuditLevel) check() error {
	if !slices.Contains([]AuditLevel{AuditNone, AuditMetadata, AuditRequest, AuditRequestResponse}, l) {
		return fmt.Errorf("--audit-level: %q is none of None, Metadata, Request, RequestResponse", l)
	}
	return nil
}

// auditPolicy is the policy for a level that is not AuditNone. What holds
// credentials is never written out: of Secrets, ConfigMaps (people do put
// passwords there), tokens and their reviews the log says only who touched
// them. Probes are left out.
func auditPolicy(level AuditLevel) ([]byte, error) {
	metadata := auditv1.LevelMetadata
	policy, err := json.Marshal(auditv1.Policy{
		TypeMeta:          metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Policy"},
		OmitStages:        []auditv1.Stage{auditv1.StageRequestReceived},
		OmitManagedFields: true,
		Rules: []auditv1.PolicyRule{
			{Level: auditv1.LevelNone, NonResourceURLs: []string{"/livez*", "/readyz*", "/healthz*"}},
			{Level: metadata, Resources: []auditv1.GroupResources{
				{Resources: []string{"secrets", "configmaps", "serviceaccounts/token"}},
				{Group: "authentication.k8s.io", Resources: []string{"tokenreviews"}},
			}},
			{Level: auditv1.Level(level)},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the audit policy: %w", err)
	}
	return policy, nil
}
