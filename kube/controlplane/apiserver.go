// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// apiserverArgs are kube-apiserver's flags. The comment on a flag is the reason
// for a value that is not kube-apiserver's default.
func apiserverArgs(o *Options, files apiserverFiles) []string {
	certificates := pki(o.PKIDir)
	args := []string{
		"--advertise-address=" + o.AdvertiseAddress,
		"--bind-address=" + o.BindAddress,
		"--secure-port=" + strconv.Itoa(o.SecurePort),
		"--service-cluster-ip-range=" + o.ServiceClusterIPRange,
		"--service-node-port-range=" + o.ServiceNodePortRange,
		"--etcd-servers=unix://" + o.etcdSocket(),

		"--tls-cert-file=" + certificates.path(fileServingCert),
		"--tls-private-key-file=" + certificates.path(fileServingKey),
		"--client-ca-file=" + certificates.path(fileClientCA),

		// Who a request is from. The file allows anonymous requests to the health endpoints only.
		"--authentication-config=" + files.authentication,
		// Node: vn-agent's identity may do what a kubelet may, and NodeRestriction (hardening.go) keeps it to its own Node.
		"--authorization-mode=Node,RBAC",
		// Whether a pod may be privileged is decided by admission and the
		// syncer, which say why; this switch would only hide their reasons.
		"--allow-privileged=true",

		"--service-account-issuer=" + o.ServiceAccountIssuer,
		"--service-account-signing-key-file=" + certificates.path(fileServiceAccountKey),
		"--service-account-key-file=" + certificates.path(fileServiceAccountKeys),

		"--kubelet-client-certificate=" + certificates.path(fileKubeletClientCert),
		"--kubelet-client-key=" + certificates.path(fileKubeletClientKey),
		"--kubelet-certificate-authority=" + certificates.path(fileKubeletServingCA),
		// Node names of a tenant resolve nowhere.
		"--kubelet-preferred-address-types=InternalIP",

		"--proxy-client-cert-file=" + certificates.path(fileFrontProxyCert),
		"--proxy-client-key-file=" + certificates.path(fileFrontProxyKey),
		"--requestheader-client-ca-file=" + certificates.path(fileRequestHeaderCA),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",

		o.verbosityFlag(),
	}
	args = append(args, hardeningArgs(files)...)
	args = append(args, shutdownArgs(o)...)
	if o.Role == RoleTenant {
		// It taints every new Node not-ready, and the controller that takes the
		// taint away, node-lifecycle, does not run in a tenant.
		args = append(args, "--disable-admission-plugins=TaintNodesByCondition")
	}
	return args
}

// authenticationConfig lets nobody in anonymously but to the health endpoints,
// which kubelet probes ask without a certificate.
const authenticationConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
  - path: /livez
  - path: /readyz
  - path: /healthz
`

// runAPIServer runs kube-apiserver until ctx ends. keys encrypt Secrets, if there are any.
func runAPIServer(ctx context.Context, o *Options, keys [][]byte) error {
	files, release, err := writeAPIServerFiles(o, keys)
	if err != nil {
		return err
	}
	defer release()
	options := apiserveroptions.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range options.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := parse(flags, apiserverArgs(o, files)); err != nil {
		return err
	}
	if err := options.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("setting kube-apiserver's feature gates: %w", err)
	}
	options.KubeletConfig.Lookup = newKubeletDialer(pki(o.PKIDir).path(fileKubeletClientCert)).lookup
	completed, err := options.Complete(ctx)
	if err != nil {
		return fmt.Errorf("completing kube-apiserver's options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("kube-apiserver's options: %w", utilerrors.NewAggregate(errs))
	}
	if err := app.Run(ctx, completed); err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	return nil
}
