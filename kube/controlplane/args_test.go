// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"net/url"
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
		replicate(o, "control-plane-1")

		apiserver := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
		for _, set := range apiserveroptions.NewServerRunOptions().Flags().FlagSets {
			apiserver.AddFlagSet(set)
		}
		if err := parse(apiserver, apiserverArgs(o, testFiles)); err != nil {
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
	config, err := etcdConfig(validOptions(), "")
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

func TestEtcdOfSeveralTakesItsAuthorityOnly(t *testing.T) {
	o := validOptions()
	replicate(o, "control-plane-1")
	o.BindAddress = "192.0.2.7"
	const joined = "control-plane-0=https://control-plane-0.peers.vc.svc.cluster.local:2380," +
		"control-plane-1=https://control-plane-1.peers.vc.svc.cluster.local:2380"
	config, err := etcdConfig(o, joined)
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]string{
		"clients listen":    urls(config.ListenClientUrls),
		"peers listen":      urls(config.ListenPeerUrls),
		"clients advertise": urls(config.AdvertiseClientUrls),
		"peers advertise":   urls(config.AdvertisePeerUrls),
		"peers' names":      strings.Join(config.PeerTLSInfo.AllowedCNs, " "),
		"clients' names":    strings.Join(config.ClientTLSInfo.AllowedCNs, " "),
		"joins":             config.ClusterState + " " + config.InitialCluster,
	} {
		want := map[string]string{
			"clients listen":    "unix:///data/etcd.sock https://192.0.2.7:2379",
			"peers listen":      "https://192.0.2.7:2380",
			"clients advertise": "https://control-plane-1.peers.vc.svc.cluster.local:2379",
			"peers advertise":   "https://control-plane-1.peers.vc.svc.cluster.local:2380",
			"peers' names":      "etcd-peer",
			"clients' names":    "etcd-peer vc-manager",
			"joins":             "existing " + joined,
		}[what]
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	if !config.PeerTLSInfo.ClientCertAuth || !config.ClientTLSInfo.ClientCertAuth {
		t.Error("etcd takes somebody without a certificate")
	}
	if !config.PeerTLSInfo.SkipClientSANVerify {
		t.Error("etcd compares a peer's address with its certificate, and a pod's address changes")
	}
	if config.EnableGRPCGateway || config.TickMs != 100 || config.ElectionMs != 1000 || !config.StrictReconfigCheck || !config.PreVote {
		t.Errorf("gateway %v, ticks %d/%d ms, strict %v, pre-vote %v",
			config.EnableGRPCGateway, config.TickMs, config.ElectionMs, config.StrictReconfigCheck, config.PreVote)
	}
}

// Two databases that start at the same address must not be taken for one.
func TestEachDatabaseHasItsOwnToken(t *testing.T) {
	tokens := map[string]bool{}
	for range 3 {
		config, err := etcdConfig(validOptions(), "")
		if err != nil {
			t.Fatal(err)
		}
		tokens[config.InitialClusterToken] = true
	}
	if len(tokens) != 3 {
		t.Errorf("tokens %v", tokens)
	}
}

func TestControllersElectALeaderOnlyAmongSeveral(t *testing.T) {
	alone, several := validOptions(), validOptions()
	replicate(several, "control-plane-1")
	if args := controllerManagerArgs(alone, ""); !slices.Contains(args, "--leader-elect=false") {
		t.Errorf("alone: %v", args)
	}
	if args := controllerManagerArgs(several, ""); !slices.Contains(args, "--leader-elect=true") {
		t.Errorf("several: %v", args)
	}
}

func urls(list []url.URL) string {
	var all []string
	for _, one := range list {
		all = append(all, one.String())
	}
	return strings.Join(all, " ")
}
