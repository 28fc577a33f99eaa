// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controlleroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// superOnly are the controllers that a tenant does not run, because the super
// cluster stands in for them: it has the machines, the volumes and the load
// balancers. Above all nobody may evict a tenant's pods because the agent that
// renews the virtual node's lease is slow. Cloud controllers are not in
// the list because this binary has none.
var superOnly = []string{
	names.NodeLifecycleController,
	names.TaintEvictionController,
	names.DeviceTaintEvictionController,
	names.NodeIpamController,
	names.PersistentVolumeAttachDetachController,
	names.PersistentVolumeBinderController,
	names.PersistentVolumeExpanderController,
	names.TTLController,
}

// terminatedPods is how many pods that have ended a cluster keeps until the
// oldest are deleted. Kubernetes keeps 12500; each is an object in the super
// cluster's database as well.
const terminatedPods = 1000

func controllers(role Role) string {
	if role == RoleSuper {
		return "*"
	}
	return "*,-" + strings.Join(superOnly, ",-")
}

// controllerManagerArgs are kube-controller-manager's flags. The comment on a
// flag is the reason for a value that is not the default.
func controllerManagerArgs(o *Options, kubeconfig string) []string {
	certificates := pki(o.PKIDir)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--controllers=" + controllers(o.Role),
		// One controller, one service account with its own RBAC, as in every hardened cluster.
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + certificates.path(fileServiceAccountKey),
		"--root-ca-file=" + certificates.path(fileServerCA),
		"--cluster-signing-cert-file=" + certificates.path(fileUserCA),
		"--cluster-signing-key-file=" + certificates.path(fileUserCAKey),
		// Several replicas may run; one that is alone has nobody to wait for.
		"--leader-elect=" + strconv.FormatBool(o.replicated()),
		// No port of its own: its metrics and health are the process's, on the API server's port.
		"--secure-port=0",
		"--bind-address=127.0.0.1",
		"--profiling=false",
		"--terminated-pod-gc-threshold=" + strconv.Itoa(terminatedPods),
		// The API server is in the same process: do not wait on a client-side limit.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		o.verbosityFlag(),
	}
}

// runControllerManager runs kube-controller-manager until ctx ends. The API
// server must be ready.
func runControllerManager(ctx context.Context, o *Options) error {
	kubeconfig, err := writeControllersKubeconfig(o)
	if err != nil {
		return err
	}
	options, err := controlleroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return fmt.Errorf("kube-controller-manager's options: %w", err)
	}
	known, disabled, aliases := app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()
	named := options.Flags(known, disabled, aliases)
	options.ParsedFlags = &named
	flags := pflag.NewFlagSet("kube-controller-manager", pflag.ContinueOnError)
	for _, set := range named.FlagSets {
		flags.AddFlagSet(set)
	}
	if err := parse(flags, controllerManagerArgs(o, kubeconfig)); err != nil {
		return err
	}
	config, err := options.Config(ctx, known, disabled, aliases)
	if err != nil {
		return fmt.Errorf("kube-controller-manager's configuration: %w", err)
	}
	if err := app.Run(ctx, config.Complete()); err != nil {
		return fmt.Errorf("kube-controller-manager: %w", err)
	}
	return nil
}

// writeControllersKubeconfig names the key's file rather than holding the key.
func writeControllersKubeconfig(o *Options) (string, error) {
	certificates := pki(o.PKIDir)
	const name = "controller-manager"
	path := filepath.Join(o.runDir(), name+".kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server:               o.loopbackURL(),
			CertificateAuthority: certificates.path(fileServerCA),
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificate: certificates.path(fileControllersCert),
			ClientKey:         certificates.path(fileControllersKey),
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
	if err != nil {
		return "", fmt.Errorf("writing kube-controller-manager's kubeconfig: %w", err)
	}
	return path, nil
}
