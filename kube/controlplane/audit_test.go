// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"testing"

	auditapi "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestAuditPolicy asks kube-apiserver's own evaluation of the policy.
func TestAuditPolicy(t *testing.T) {
	resource := func(group, name, subresource string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{
			User: &user.DefaultInfo{}, Verb: "create", ResourceRequest: true,
			APIGroup: group, Resource: name, Subresource: subresource,
		}
	}
	path := func(path string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: &user.DefaultInfo{}, Verb: "get", Path: path}
	}
	const inFull, careful, never = "in full", "careful", "never"
	requests := map[string]struct {
		attributes authorizer.AttributesRecord
		kind       string
	}{
		"a pod":             {resource("", "pods", ""), inFull},
		"a custom resource": {resource("example.com", "secrets", ""), inFull},
		"a service account": {resource("", "serviceaccounts", ""), inFull},
		"a path":            {path("/version"), inFull},
		"a Secret":          {resource("", "secrets", ""), careful},
		"a ConfigMap":       {resource("", "configmaps", ""), careful},
		"a token":           {resource("", "serviceaccounts", "token"), careful},
		"a token's review":  {resource("authentication.k8s.io", "tokenreviews", ""), careful},
		"a probe":           {path("/livez"), never},
		"a probe of a part": {path("/readyz/etcd"), never},
	}
	for level, want := range map[AuditLevel]auditapi.Level{
		AuditMetadata: auditapi.LevelMetadata, AuditRequest: auditapi.LevelRequest, AuditRequestResponse: auditapi.LevelRequestResponse,
	} {
		content, err := auditPolicy(level)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := policy.LoadPolicyFromBytes(content)
		if err != nil {
			t.Fatal(err)
		}
		evaluator := policy.NewPolicyRuleEvaluator(loaded)
		for name, request := range requests {
			want := map[string]auditapi.Level{inFull: want, careful: auditapi.LevelMetadata, never: auditapi.LevelNone}[request.kind]
			if got := evaluator.EvaluatePolicyRule(&request.attributes).Level; got != want {
				t.Errorf("level %s: %s is logged as %s, want %s", level, name, got, want)
			}
		}
	}
}
