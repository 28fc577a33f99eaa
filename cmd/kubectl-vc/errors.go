// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// explain adds the remedy to an error of the meta cluster. doing is a gerund phrase.
func (m *metaCluster) explain(doing string, key client.ObjectKey, err error) error {
	var unreachable net.Error
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%s: the cluster %s has no VirtualClusters: name the meta cluster with --meta-kubeconfig or $%s, or install the platform there", doing, m.server, metaKubeconfigEnv)
	case apierrors.IsNotFound(err) && key.Name != "":
		return fmt.Errorf("%s: there is no virtual cluster %s: see `kubectl vc list -A`", doing, key)
	case apierrors.IsInvalid(err):
		return fmt.Errorf("%s: %s", doing, invalidFields(err))
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w: ask the platform team for access, or name another kubeconfig with --meta-kubeconfig", doing, err)
	case errors.As(err, &unreachable):
		return fmt.Errorf("%s: cannot reach the meta cluster %s: %w: is it running? (`kubectl vc local status`)", doing, m.server, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// invalidFields says what is wrong with an object. A rule about the whole of it
// has no field, which the API server's own text calls <nil>.
func invalidFields(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return err.Error()
	}
	var causes []string
	for _, cause := range status.Status().Details.Causes {
		message := strings.TrimPrefix(cause.Message, "Invalid value: ")
		if cause.Field != "" && cause.Field != "<nil>" {
			message = cause.Field + ": " + message
		}
		causes = append(causes, message)
	}
	return strings.Join(causes, "; ")
}

// oneName is for commands that work on one virtual cluster.
func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("got %d names, want one: kubectl vc %s", len(args), cmd.Use)
	}
	return nil
}
