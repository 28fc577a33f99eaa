// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch

// ensureService makes the Service, whose addresses go into the certificate,
// and finds out how the user's kubeconfig should lead to it.
func (r *Reconciler) ensureService(ctx context.Context, s *scope) error {
	s.service = &corev1.Service{}
	if err := r.apply(ctx, s.spec.Service(), s.service); err != nil {
		return err
	}
	s.status.ControlPlane.InternalEndpoint = net.JoinHostPort(s.service.Spec.ClusterIP, strconv.Itoa(tenancyv1alpha1.ControlPlanePort))
	var err error
	if s.exposed, err = r.exposeControlPlane(ctx, s); err != nil {
		return err
	}
	s.hosts = s.exposed.hosts
	// What is in the users' hands goes on working until they have been given the other.
	if present := s.presentName(); present != "" && !slices.Contains(s.hosts, present) {
		s.hosts = append(slices.Clone(s.hosts), present)
	}
	return nil
}

// serverURL returns the URL of an API server.
func serverURL(host string, port int32) string {
	return "https://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// nodePortHost returns the host of a NodePort's endpoint: the class's address,
// else the one that the present endpoint names as long as it is a ready
// node's, so that kubeconfigs stay as they are, else that of the first node by name.
func nodePortHost(nodes []corev1.Node, address, endpoint string) (string, bool) {
	if address != "" {
		return address, true
	}
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	var ready []string
	for i := range nodes {
		if ip := internalIP(&nodes[i]); ip != "" && nodeReady(&nodes[i]) {
			ready = append(ready, ip)
		}
	}
	if present, err := url.Parse(endpoint); err == nil && slices.Contains(ready, present.Hostname()) {
		return present.Hostname(), true
	}
	if len(ready) == 0 {
		return "", false
	}
	return ready[0], true
}

// nodeHosts returns every address by which a NodePort may be called, sorted.
func nodeHosts(nodes []corev1.Node, address string) []string {
	var hosts []string
	if address != "" {
		hosts = append(hosts, address)
	}
	for i := range nodes {
		if ip := internalIP(&nodes[i]); ip != "" {
			hosts = append(hosts, ip)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func internalIP(node *corev1.Node) string {
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			return address.Address
		}
	}
	return ""
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
