// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/policy"
)

// addServiceLinks writes the variables by which a pod finds Services, those of
// the tenant: a kubelet of the super cluster would write its own. They stand
// before the container's variables, which may refer to them and win over them.
func addServiceLinks(ctx context.Context, b *build) error {
	links, err := b.serviceLinks(ctx)
	if err != nil {
		return err
	}
	off := false
	b.spec.EnableServiceLinks = &off
	return b.eachContainer(func(container *corev1.Container, _ string) error {
		taken, err := b.ownVariables(ctx, container)
		if err != nil {
			return err
		}
		env := make([]corev1.EnvVar, 0, len(links)+len(container.Env))
		for _, link := range links {
			if !taken.Has(link.Name) {
				env = append(env, link)
			}
		}
		container.Env = append(env, container.Env...)
		return nil
	})
}

// serviceLinks returns the variables in a fixed order.
func (b *build) serviceLinks(ctx context.Context) ([]corev1.EnvVar, error) {
	links := linksOf("kubernetes", policy.NthAddress(b.env.Facts.ServiceCIDR, 1).String(),
		[]corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}})
	if enabled := b.tenant.Spec.EnableServiceLinks; enabled != nil && !*enabled {
		return links, nil
	}
	var services corev1.ServiceList
	if err := b.env.Tenant.List(ctx, &services, client.InNamespace(b.tenant.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the services of the namespace: %w", err)
	}
	slices.SortFunc(services.Items, func(a, b corev1.Service) int { return cmp.Compare(a.Name, b.Name) })
	for _, service := range services.Items {
		isAPI := service.Name == "kubernetes" && service.Namespace == corev1.NamespaceDefault
		if isAPI || service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone || len(service.Spec.Ports) == 0 {
			continue
		}
		links = append(links, linksOf(service.Name, service.Spec.ClusterIP, service.Spec.Ports)...)
	}
	return links, nil
}

// linksOf returns the variables of one Service, as kubelets name them.
func linksOf(name, ip string, ports []corev1.ServicePort) []corev1.EnvVar {
	prefix := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	variable := func(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: prefix + name, Value: value} }
	url := func(port corev1.ServicePort) string {
		return strings.ToLower(string(port.Protocol)) + "://" + hostPort(ip, port.Port)
	}
	links := []corev1.EnvVar{
		variable("_SERVICE_HOST", ip),
		variable("_SERVICE_PORT", strconv.Itoa(int(ports[0].Port))),
	}
	for _, port := range ports {
		if port.Name != "" {
			named := strings.ToUpper(strings.ReplaceAll(port.Name, "-", "_"))
			links = append(links, variable("_SERVICE_PORT_"+named, strconv.Itoa(int(port.Port))))
		}
	}
	links = append(links, variable("_PORT", url(ports[0])))
	for _, port := range ports {
		each := fmt.Sprintf("_PORT_%d_%s", port.Port, port.Protocol)
		links = append(links,
			variable(each, url(port)), variable(each+"_PROTO", strings.ToLower(string(port.Protocol))),
			variable(each+"_PORT", strconv.Itoa(int(port.Port))), variable(each+"_ADDR", ip))
	}
	return links
}

func hostPort(ip string, port int32) string { return net.JoinHostPort(ip, strconv.Itoa(int(port))) }

// ownVariables returns the names that a container sets itself, directly or
// from ConfigMaps and Secrets: a link must not win over any of them.
func (b *build) ownVariables(ctx context.Context, container *corev1.Container) (sets.Set[string], error) {
	taken := sets.New[string]()
	for _, variable := range container.Env {
		taken.Insert(variable.Name)
	}
	for _, source := range container.EnvFrom {
		keys, err := b.sourceKeys(ctx, source)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			taken.Insert(source.Prefix + key)
		}
	}
	return taken, nil
}

// sourceKeys returns the keys of a source, none if it does not exist (yet).
func (b *build) sourceKeys(ctx context.Context, source corev1.EnvFromSource) ([]string, error) {
	switch {
	case source.ConfigMapRef != nil:
		var configMap corev1.ConfigMap
		err := b.tenantGet(ctx, source.ConfigMapRef.Name, &configMap)
		return slices.Collect(maps.Keys(configMap.Data)), err
	case source.SecretRef != nil:
		var secret corev1.Secret
		err := b.tenantGet(ctx, source.SecretRef.Name, &secret)
		return slices.Collect(maps.Keys(secret.Data)), err
	default:
		return nil, nil
	}
}

func (b *build) tenantGet(ctx context.Context, name string, into client.Object) error {
	err := b.env.Tenant.Get(ctx, types.NamespacedName{Namespace: b.tenant.Namespace, Name: name}, into)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading what the environment refers to: %w", err)
	}
	return nil
}
