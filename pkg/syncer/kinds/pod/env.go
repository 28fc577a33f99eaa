// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// rewriteEnv gives variables that read fields of the pod their tenant's value,
// and maps the names of ConfigMaps.
func rewriteEnv(ctx context.Context, b *build) error {
	return b.eachContainer(func(container *corev1.Container, path string) error {
		for i := range container.EnvFrom {
			if err := rewriteEnvFrom(&container.EnvFrom[i], fmt.Sprintf("%s.envFrom[%d]", path, i)); err != nil {
				return err
			}
		}
		for i := range container.Env {
			if err := b.rewriteVariable(ctx, &container.Env[i], fmt.Sprintf("%s.env[%d].valueFrom", path, i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *build) eachContainer(do func(container *corev1.Container, path string) error) error {
	if b.at != "" {
		return do(&b.spec.Containers[0], b.at)
	}
	for i := range b.spec.InitContainers {
		if err := do(&b.spec.InitContainers[i], fmt.Sprintf("spec.initContainers[%d]", i)); err != nil {
			return err
		}
	}
	for i := range b.spec.Containers {
		if err := do(&b.spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func rewriteEnvFrom(source *corev1.EnvFromSource, path string) error {
	if source.ConfigMapRef != nil {
		return mapConfigMap(&source.ConfigMapRef.Name, path+".configMapRef.name")
	}
	if source.SecretRef != nil {
		return checkReserved(source.SecretRef.Name, path+".secretRef.name")
	}
	return nil
}

func (b *build) rewriteVariable(ctx context.Context, variable *corev1.EnvVar, path string) error {
	from := variable.ValueFrom
	switch {
	case from == nil:
		return nil
	case from.ConfigMapKeyRef != nil:
		return mapConfigMap(&from.ConfigMapKeyRef.Name, path+".configMapKeyRef.name")
	case from.SecretKeyRef != nil:
		return checkReserved(from.SecretKeyRef.Name, path+".secretKeyRef.name")
	case from.FieldRef != nil:
		value, ok, err := fieldValue(ctx, b.env, b.tenant, from.FieldRef.FieldPath)
		if errors.Is(err, errUnknownField) {
			return kind.Reject(path+".fieldRef.fieldPath", "%s is not supported; remove it", from.FieldRef.FieldPath)
		}
		if err != nil || !ok {
			return err
		}
		variable.ValueFrom, variable.Value = nil, literal(value)
	}
	return nil
}

// literal protects a value from the expansion of $(NAME), which does not
// happen to what a variable reads from a field.
func literal(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// mapConfigMap gives a reference the ConfigMap's super name.
func mapConfigMap(name *string, path string) error {
	if names.IsReserved(*name) {
		return reservedName(path)
	}
	*name = names.ConfigMap(*name)
	return nil
}

// checkReserved keeps a pod from referring to what the platform keeps for others.
func checkReserved(name, path string) error {
	if names.IsReserved(name) {
		return reservedName(path)
	}
	return nil
}

func reservedName(path string) error {
	return kind.Reject(path, "the name is kept for the platform; use another one")
}
