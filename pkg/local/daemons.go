// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"path/filepath"
	"strconv"
	"time"

	"virtualcluster.io/virtualcluster/pkg/local/host"
)

const (
	// daemonPath is where daemons look for programs of the machine.
	daemonPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// logsDir is the only folder that a failed Up leaves.
	logsDir = "logs"
	// logsMark is a file in logsDir by which a cluster's logs are known from others.
	logsMark = ".local-cluster"
	// containerdSocket is where containerd listens, inside.
	containerdSocket = "/run/containerd/containerd.sock"
)

// Names of the daemons, of their logs and of their pid files.
const (
	daemonContainerd   = "containerd"
	daemonControlPlane = "control-plane"
	daemonScheduler    = "scheduler"
	daemonKubelet      = "kubelet"
	daemonProxy        = "proxy"
)

// daemonNames lists the daemons in the order they are started.
func daemonNames() []string {
	return []string{daemonContainerd, daemonControlPlane, daemonScheduler, daemonKubelet, daemonProxy}
}

// stopGrace is how long a daemon may take to end by itself. The control plane
// has etcd to close.
func stopGrace(name string) time.Duration {
	if name == daemonControlPlane {
		return 15 * time.Second
	}
	return 5 * time.Second
}

// newDaemon says how a daemon is run. It is pure.
func newDaemon(l layout, options Options, s *state, name string) host.Daemon {
	return host.Daemon{
		Argv: daemonArgv(options, s, name),
		// The wrapper of gVisor's shim, where there is one, comes before the shim.
		Env:     []string{"PATH=" + inside + "/bin:" + options.BinDir + ":" + daemonPath, "HOME=/root"},
		PidFile: l.pidFile(name),
		LogFile: l.logFile(name),
	}
}

func daemonArgv(options Options, s *state, name string) []string {
	kube := filepath.Join(options.BinDir, "kube")
	etc := func(file string) string { return filepath.Join(inside, "etc", file) }
	switch name {
	case daemonContainerd:
		return []string{filepath.Join(options.BinDir, "containerd"), "--config=" + etc("containerd.toml")}
	case daemonControlPlane:
		return []string{
			kube, "control-plane", "--role=super",
			"--data-dir=" + filepath.Join(inside, "control-plane"),
			"--pki-dir=" + filepath.Join(inside, "pki"),
			"--service-cluster-ip-range=" + serviceCIDR,
			"--service-node-port-range=30000-32767",
			"--advertise-address=" + s.NodeIP.String(),
			"--secure-port=" + strconv.Itoa(s.APIPort),
		}
	case daemonScheduler:
		return []string{
			kube, "scheduler", "--config=" + etc("scheduler.yaml"), "--bind-address=127.0.0.1",
			"--authentication-kubeconfig=" + etc("scheduler.kubeconfig"),
			"--authorization-kubeconfig=" + etc("scheduler.kubeconfig"),
		}
	case daemonKubelet:
		return []string{
			kube, "kubelet", "--config=" + etc("kubelet.yaml"), "--kubeconfig=" + etc("kubelet.kubeconfig"),
			"--hostname-override=" + NodeName, "--node-ip=" + s.NodeIP.String(), "--v=2",
		}
	default:
		return []string{kube, "proxy", "--config=" + etc("proxy.yaml")}
	}
}
