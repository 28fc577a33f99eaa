// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controlleroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
)

// Both programs are in one test because feature gates are process-wide, as
// they are in the control plane itself.
func TestArgsAreKnownToThePrograms(t *testing.T) {
	for _, role := range []Role{RoleTenant, RoleSuper} {
		o := validOptions()
		o.Role = role

		apiserver := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
		for _, set := range apiserveroptions.NewServerRunOptions().Flags().FlagSets {
			apiserver.AddFlagSet(set)
		}
		if err := parse(apiserver, apiserverArgs(o, "authentication.yaml")); err != nil {
			t.Errorf("%s: %v", role, err)
		}

		options, err := controlleroptions.NewKubeControllerManagerOptions()
		if err != nil {
			t.Fatal(err)
		}
		known, disabled, aliases := app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()
		controllers := pflag.NewFlagSet("kube-controller-manager", pflag.ContinueOnError)
		for _, set := range options.Flags(known, disabled, aliases).FlagSets {
			controllers.AddFlagSet(set)
		}
		if err := parse(controllers, controllerManagerArgs(o, "kubeconfig")); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		if err := options.Validate(known, disabled, aliases); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

func TestATenantNeverEvicts(t *testing.T) {
	off := strings.Split(controllers(RoleTenant), ",")
	for _, name := range []string{"node-lifecycle-controller", "taint-eviction-controller", "device-taint-eviction-controller"} {
		if !slices.Contains(off, "-"+name) {
			t.Errorf("%s runs in a tenant", name)
		}
	}
	if got := controllers(RoleSuper); got != "*" {
		t.Errorf("the super cluster runs %q, want every controller", got)
	}
}

func TestEtcdHasNoClientPort(t *testing.T) {
	config, err := etcdConfig(validOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range append(config.ListenClientUrls, config.AdvertiseClientUrls...) {
		if url.Scheme != "unix" {
			t.Errorf("etcd takes clients at %s", url.String())
		}
	}
	for _, url := range config.ListenPeerUrls {
		if url.Scheme != "https" || url.Hostname() != "127.0.0.1" {
			t.Errorf("etcd takes peers at %s", url.String())
		}
	}
	if !config.PeerTLSInfo.ClientCertAuth {
		t.Error("etcd takes peers without a certificate")
	}
}
