// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/addon"
)

const (
	// AgentName names what vn-agent is in the cluster: a ServiceAccount with a role.
	AgentName = "virtualcluster-vn-agent"
	// agentTTL is how long vn-agent's token is asked for.
	agentTTL = 24 * time.Hour
	// minTokenLife is the least that a token must live to be of use: vn-agent
	// looks for another every ten minutes.
	minTokenLife = 15 * time.Minute
	// virtualInstance is the instance type of the nodes that vn-agent makes.
	virtualInstance = "virtual"
	// maxToken is the longest token that is stored, in bytes.
	maxToken = 16 << 10
)

// Token is a token and the time in which it is valid.
type Token struct {
	Value           string
	Issued, Expires time.Time
}

// KeepAgent makes the identity of vn-agent in the cluster. It is a
// ServiceAccount and not a node: a certificate of the group system:nodes needs
// a signer that hosted clusters do not offer or restrict to machines of their
// own, tokens there are everywhere, they end soon, and deleting the account
// ends them at once. What the node authorizer would add protects a cluster
// from one of its kubelets; here the role says the same.
func (c *Cluster) KeepAgent(ctx context.Context) error {
	tenant, err := addon.Over(c.access.Server.String(), c)
	if err != nil {
		return err
	}
	if _, err := tenant.Keep(ctx, agentObjects()); err != nil {
		return &RefusalError{tenancyv1alpha1.ReasonCredentialsRejected, "the identity of vn-agent cannot be made: " + err.Error()}
	}
	return nil
}

// AgentToken returns a new token of vn-agent's.
func (c *Cluster) AgentToken(ctx context.Context, now time.Time) (Token, error) {
	request := &authenticationv1.TokenRequest{
		TypeMeta: metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenRequest"},
		Spec:     authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(agentTTL / time.Second))},
	}
	answer := &authenticationv1.TokenRequest{}
	path := fmt.Sprintf("/api/v1/namespaces/%s/serviceaccounts/%s/token", metav1.NamespaceSystem, AgentName)
	if err := c.post(ctx, path, request, answer); err != nil {
		return Token{}, c.refusal(err)
	}
	token := Token{Value: answer.Status.Token, Issued: now, Expires: answer.Status.ExpirationTimestamp.Time}
	if token.Value == "" || len(token.Value) > maxToken || token.Expires.Sub(now) < minTokenLife {
		return Token{}, c.refusal(errNonsense)
	}
	return token, nil
}

// RemoveAgent takes away what KeepAgent made, and the virtual node.
func (c *Cluster) RemoveAgent(ctx context.Context) error {
	tenant, err := addon.Over(c.access.Server.String(), c)
	if err != nil {
		return err
	}
	if err := tenant.Remove(ctx, agentObjects()); err != nil {
		return err
	}
	return c.removeNode(ctx)
}

// agentObjects are the identity of vn-agent: it keeps nodes and their leases,
// and those of its own name only, where a role can say so.
func agentObjects() []client.Object {
	labels := map[string]string{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager}
	meta := metav1.ObjectMeta{Name: AgentName, Labels: labels}
	account := meta
	account.Namespace = metav1.NamespaceSystem
	own := []string{tenancyv1alpha1.VirtualNodeName}
	return []client.Object{
		&corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: account, AutomountServiceAccountToken: ptr.To(false),
		},
		&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: meta,
			Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"create"}},
				{APIGroups: []string{""}, Resources: []string{"nodes"}, ResourceNames: own, Verbs: []string{"get", "list", "watch", "update", "patch"}},
				{APIGroups: []string{""}, Resources: []string{"nodes/status"}, ResourceNames: own, Verbs: []string{"get", "update", "patch"}},
				{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create"}},
				{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: own, Verbs: []string{"get", "update", "patch"}},
			},
		},
		&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: AgentName},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: AgentName}},
		},
	}
}

// removeNode deletes the virtual node, if it is one that vn-agent made.
func (c *Cluster) removeNode(ctx context.Context) error {
	const path = "/api/v1/nodes/" + tenancyv1alpha1.VirtualNodeName
	node := &corev1.Node{}
	if err := c.get(ctx, path, node); err != nil {
		return ignoreNotFound(err)
	}
	if node.Labels[corev1.LabelInstanceTypeStable] != virtualInstance {
		return nil
	}
	var status metav1.Status
	return ignoreNotFound(c.delete(ctx, path, &status))
}
