// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplanetest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"k8s.io/client-go/rest"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	processtest "virtualcluster.io/virtualcluster/test/framework/process"
)

const (
	// replicas of a control plane that keeps serving when one is lost.
	replicas = 3
	// peerDomain is where the members' names are, in a hosts file that only they see.
	peerDomain = "control-plane-peers.test"
)

// Replicas are the three replicas of one control plane, each a process with an
// address of its own on the loopback interface and a hosts file in a mount
// namespace of its own. None runs until Replica.Start.
type Replicas struct {
	// Each has an Instance's methods; Start takes the place of Start and Restart.
	Each [replicas]*Replica

	dir         string
	authorities *pki.Authorities
}

// Replica is one of Replicas.
type Replica struct {
	*Instance

	all     *Replicas
	ordinal int
	address string
	binary  string
}

// NewReplicas prepares three replicas. They are stopped when the test ends.
func NewReplicas(t testing.TB) *Replicas {
	t.Helper()
	binary, err := kubeBinary(MinorNewest)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "vc-") //nolint:usetesting // t.TempDir's path holds the test's name, and a path of a unix socket is short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the control plane's directory: %v", err)
		}
	})
	r := &Replicas{dir: dir}
	if err := r.prepare(binary); err != nil {
		t.Fatalf("preparing the control plane: %v", err)
	}
	r.Intend(t, true, "r0", 0)
	for _, one := range r.Each {
		t.Cleanup(func() { one.Stop(t) })
	}
	return r
}

func (r *Replicas) prepare(binary string) error {
	// Several tests may run at the same time: a /24 of the loopback network for each.
	random := make([]byte, 2)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	hosts := "127.0.0.1 localhost\n"
	for ordinal := range r.Each {
		one := &Replica{
			Instance: &Instance{Dir: filepath.Join(r.dir, strconv.Itoa(ordinal))},
			all:      r, ordinal: ordinal, binary: binary,
			address: fmt.Sprintf("127.%d.%d.%d", 1+random[0]%254, random[1], ordinal+1),
		}
		hosts += one.address + " " + one.host() + "\n"
		r.Each[ordinal] = one
		if err := os.Mkdir(one.Dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, "hosts"), []byte(hosts), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(r.intentDir(), 0o700); err != nil {
		return err
	}
	return r.makeFiles()
}

// makeFiles makes one PKI for all, with the names of all members.
func (r *Replicas) makeFiles() error {
	now := time.Now()
	authorities, err := pki.NewAuthorities(filepath.Base(r.dir), now)
	if err != nil {
		return err
	}
	r.authorities = authorities
	kubelets, err := pki.NewAuthority("kubelets", now)
	if err != nil {
		return err
	}
	input := pki.FilesInput{
		Signing: authorities, Serving: authorities, Trusted: []*pki.Authorities{authorities},
		ServingDNSNames: []string{"localhost"}, KubeletServingCA: kubelets.CertPEM(),
	}
	var names []string
	for _, one := range r.Each {
		input.ServingIPs = append(input.ServingIPs, net.ParseIP(one.address))
		names = append(names, one.host())
	}
	files, err := pki.ControlPlaneFiles(input, now)
	if err != nil {
		return err
	}
	files[pki.FileEtcdPeerCert], files[pki.FileEtcdPeerKey], err = authorities.Etcd.Issue(pki.Leaf{
		CommonName: "etcd-peer", DNSNames: names, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, now)
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := authorities.PlatformClient.Issue(pki.Leaf{
		CommonName: "test-admin", Organizations: []string{"system:masters"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, now)
	if err != nil {
		return err
	}
	for _, one := range r.Each {
		one.Authorities = authorities
		one.Config = &rest.Config{
			Host: "https://" + net.JoinHostPort(one.address, "6443"), QPS: -1,
			TLSClientConfig: rest.TLSClientConfig{CAData: authorities.Server.CertPEM(), CertData: certPEM, KeyData: keyPEM},
		}
		if err := one.replaceFiles(files); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replicas) intentDir() string { return filepath.Join(r.dir, "membership") }

// Intend says what the manager would: whether a new database may be made, the
// revision of the membership, and how many members are wanted (0: all).
func (r *Replicas) Intend(t testing.TB, bootstrap bool, revision string, members int) {
	t.Helper()
	files := map[string]string{"revision": revision, "bootstrap": strconv.FormatBool(bootstrap), "members": ""}
	if members > 0 {
		files["members"] = strconv.Itoa(members)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(r.intentDir(), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *Replica) name() string { return fmt.Sprintf("control-plane-%d", r.ordinal) }
func (r *Replica) host() string { return r.name() + "." + peerDomain }

// Start starts the replica as one of so many (1 or 3), with what its volume
// holds, and does not wait for it.
func (r *Replica) Start(t testing.TB, of int) {
	t.Helper()
	kube := []string{
		r.binary, "control-plane",
		"--data-dir=" + r.DataDir(), "--pki-dir=" + r.pkiDir(),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--advertise-address=192.0.2." + strconv.Itoa(r.ordinal+1),
		"--bind-address=" + r.address,
		"--member=" + r.name(), "--membership-dir=" + r.all.intentDir(),
		"--replicas=" + strconv.Itoa(of), "--peer-domain=" + peerDomain,
	}
	r.arguments = append([]string{"/bin/sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, filepath.Join(r.all.dir, "hosts")}, kube...)
	if err := r.runApart(); err != nil {
		t.Fatalf("starting %s: %v", r.name(), err)
	}
}

// runApart is run in a mount namespace of its own, which needs a user
// namespace too where the test is not root.
func (r *Replica) runApart() error {
	output, err := os.OpenFile(r.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	command := exec.Command(r.arguments[0], r.arguments[1:]...) //nolint:noctx,gosec // stopped by Stop, which gives it time; the repository's own binary.
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		command.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	r.process, err = processtest.Start(command)
	return err
}

// WaitReady returns when the replica's API server is ready.
func (r *Replica) WaitReady(t testing.TB) {
	t.Helper()
	if err := r.waitReady(t.Context()); err != nil {
		t.Fatalf("waiting for %s: %v\nthe end of its log:\n%s", r.name(), err, r.log())
	}
}

// WaitExit returns when the replica has ended by itself.
func (r *Replica) WaitExit(t testing.TB, timeout time.Duration) {
	t.Helper()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-r.process.Exited():
	case <-timer.C:
		t.Fatalf("%s did not end in %s; the end of its log:\n%s", r.name(), timeout, r.log())
	}
}

// ExitState says how the replica ended, which it must have.
func (r *Replica) ExitState() *os.ProcessState {
	<-r.process.Exited()
	return r.process.Exit()
}

// Log is what the replica has said so far, in all of its lives.
func (r *Replica) Log(t testing.TB) string {
	t.Helper()
	content, err := os.ReadFile(r.logFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Etcd returns a client of the replica's own member, with the manager's certificate.
func (r *Replica) Etcd(t testing.TB) *clientv3.Client {
	t.Helper()
	certPEM, keyPEM, err := r.Authorities.Etcd.Issue(pki.Leaf{
		CommonName: "vc-manager", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return r.EtcdWith(t, pair)
}

// EtcdWith returns a client of the replica's own member with any certificates.
func (r *Replica) EtcdWith(t testing.TB, certificates ...tls.Certificate) *clientv3.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(r.Authorities.Etcd.Certificate())
	client, err := clientv3.New(clientv3.Config{
		// By name, because that is what the certificate says; the name is known to the replicas only.
		Endpoints: []string{"https://" + r.host() + ":2379"}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(r.address, "2379"))
		})},
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: certificates},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil && !strings.Contains(err.Error(), "canceled") {
			t.Error(err)
		}
	})
	return client
}
