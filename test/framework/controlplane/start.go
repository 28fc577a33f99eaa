// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplanetest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	processtest "virtualcluster.io/virtualcluster/test/framework/process"
)

// Roles of a control plane: RoleSuper runs every controller, RoleTenant those
// that a tenant's control plane runs.
const (
	RoleTenant = "tenant"
	RoleSuper  = "super"
)

// Minors of Kubernetes that a control plane can be, as the Makefile names them.
const (
	MinorNewest = ""
	Minor136    = "v1.36"
)

const (
	// startTimeout is how long a control plane may take until it is ready: it
	// takes 4 s on an idle machine.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long it may take to stop before it is killed.
	stopTimeout = 20 * time.Second
	// logTail is how much of the log a failing test shows, in bytes.
	logTail = 8 << 10
	// advertised is the address that the control plane publishes as its own,
	// unless it has one. It must not be loopback; nothing goes there (RFC 5737).
	advertised = "192.0.2.1"
	// loopback is where it listens, unless it has an address of its own.
	loopback = "127.0.0.1"
)

// Options says what to start. The zero value is a tenant's control plane.
type Options struct {
	// Role is RoleTenant (the default) or RoleSuper.
	Role string
	// Minor is MinorNewest (the default) or an older one.
	Minor string
	// ServiceCIDR is the range of ClusterIPs. Default 10.96.0.0/16.
	ServiceCIDR string
	// KubeletServingCA (PEM) verifies the kubelets that the API server calls.
	// Default: an authority that signed nothing.
	KubeletServingCA []byte
	// Files are the PKI files to run with, as a manager made them; their
	// serving certificate must be good for 127.0.0.1. Config is then for an
	// anonymous client, and Kubeconfig and Authorities are nil. Default: new ones.
	Files map[string][]byte
	// Arguments are further flags of the process.
	Arguments []string
	// Address is where the control plane listens, and what it publishes as its
	// own. Default: loopback, and an address that leads nowhere.
	Address string
	// Within is a program with its arguments that becomes the control plane, such
	// as nsenter with the network namespace that has Address. It must not fork:
	// its process is the one that is signalled.
	Within []string
}

// Instance is a running control plane.
type Instance struct {
	// Config is for a client in system:masters. Its rate is not limited.
	Config *rest.Config
	// Kubeconfig is the same as a file's content.
	Kubeconfig []byte
	// Authorities are the control plane's, to issue other identities.
	Authorities *pki.Authorities
	// Dir holds the database, the PKI and the log of the process; it is
	// removed when the test ends.
	Dir string

	arguments []string
	binary    int // which of the arguments is the program
	process   *processtest.Process
	files     map[string][]byte // of the PKI directory
}

// Start starts a control plane and returns when it is ready. It is stopped
// when the test ends, and if the test's process dies.
func Start(t testing.TB, options Options) *Instance {
	t.Helper()
	if options.Role == "" {
		options.Role = RoleTenant
	}
	if options.ServiceCIDR == "" {
		options.ServiceCIDR = "10.96.0.0/16"
	}
	listens := loopback
	if options.Address != "" {
		listens = options.Address
	}
	binary, err := kubeBinary(options.Minor)
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
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	instance := &Instance{Dir: dir}
	server := "https://" + net.JoinHostPort(listens, strconv.Itoa(port))
	if options.Files != nil {
		err = instance.useFiles(options.Files, server)
	} else {
		err = instance.makeFiles(options, server, listens)
	}
	if err != nil {
		t.Fatalf("preparing the control plane: %v", err)
	}
	instance.binary = len(options.Within)
	instance.arguments = slices.Concat(options.Within, []string{binary}, instance.flags(options, listens, port))
	t.Cleanup(func() { instance.Stop(t) })
	instance.Restart(t)
	return instance
}

// RestartWith stops the control plane and starts it with other PKI files, as a
// manager does in a rotation. Config is then for an anonymous client, as for
// Options.Files.
func (i *Instance) RestartWith(t testing.TB, files map[string][]byte) {
	t.Helper()
	i.Stop(t)
	if err := i.useFiles(files, i.Config.Host); err != nil {
		t.Fatalf("writing the control plane's files: %v", err)
	}
	i.Restart(t)
}

// useFiles writes the PKI that was given and makes an anonymous client's configuration.
func (i *Instance) useFiles(files map[string][]byte, server string) error {
	i.Config = &rest.Config{Host: server, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: files[pki.FileServerCA]}}
	return i.replaceFiles(files)
}

// makeFiles makes and writes a PKI, and makes an administrator's configuration.
func (i *Instance) makeFiles(options Options, server, address string) error {
	services, err := netip.ParsePrefix(options.ServiceCIDR)
	if err != nil {
		return err
	}
	kubeletServingCA := options.KubeletServingCA
	now := time.Now()
	id := filepath.Base(i.Dir)
	authorities, err := pki.NewAuthorities(id, now)
	if err != nil {
		return err
	}
	i.Authorities = authorities
	if kubeletServingCA == nil {
		kubelets, err := pki.NewAuthority("kubelets:"+id, now)
		if err != nil {
			return err
		}
		kubeletServingCA = kubelets.CertPEM()
	}
	files, err := pki.ControlPlaneFiles(pki.FilesInput{
		Signing:         authorities,
		ServingDNSNames: []string{"localhost", "kubernetes", "kubernetes.default.svc"},
		// Pods call the Service kubernetes, which has the first address of the range.
		ServingIPs:       []net.IP{net.ParseIP(address), services.Masked().Addr().Next().AsSlice()},
		KubeletServingCA: kubeletServingCA,
	}, now)
	if err != nil {
		return err
	}
	if err := i.replaceFiles(files); err != nil {
		return err
	}
	certPEM, keyPEM, err := authorities.PlatformClient.Issue(pki.Leaf{
		CommonName: "test-admin", Organizations: []string{"system:masters"},
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, now)
	if err != nil {
		return err
	}
	i.Kubeconfig, err = pki.Kubeconfig(pki.KubeconfigInput{
		Server: server, CA: authorities.Server.CertPEM(),
		ClientCert: certPEM, ClientKey: keyPEM, ClusterName: id, UserName: "test-admin",
	})
	if err != nil {
		return err
	}
	i.Config, err = clientcmd.RESTConfigFromKubeConfig(i.Kubeconfig)
	if err != nil {
		return err
	}
	i.Config.QPS = -1
	return nil
}

func (i *Instance) flags(options Options, listens string, port int) []string {
	published := advertised
	if options.Address != "" {
		published = options.Address
	}
	return append([]string{
		"control-plane",
		"--role=" + options.Role,
		"--data-dir=" + i.DataDir(),
		"--pki-dir=" + i.pkiDir(),
		"--service-cluster-ip-range=" + options.ServiceCIDR,
		"--advertise-address=" + published,
		"--bind-address=" + listens,
		"--secure-port=" + strconv.Itoa(port),
	}, options.Arguments...)
}

// run starts the process, with its output at the end of a file.
func (i *Instance) run() error {
	output, err := os.OpenFile(i.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	command := exec.Command(i.arguments[0], i.arguments[1:]...) //nolint:noctx,gosec // stopped by Stop, which gives it time; the repository's own binary.
	command.Stdout, command.Stderr = output, output
	i.process, err = processtest.Start(command)
	return err
}

// Restart starts the control plane after Stop or Kill, at the same address and
// with what DataDir holds, and returns when it is ready.
func (i *Instance) Restart(t testing.TB) {
	t.Helper()
	if err := i.run(); err != nil {
		t.Fatalf("starting the control plane: %v", err)
	}
	if err := i.waitReady(t.Context()); err != nil {
		t.Fatalf("waiting for the control plane: %v\nthe end of its log:\n%s", err, i.log())
	}
}

// RestartAs starts the control plane after Stop or Kill like Restart, but with
// another minor.
func (i *Instance) RestartAs(t testing.TB, minor string) {
	t.Helper()
	binary, err := kubeBinary(minor)
	if err != nil {
		t.Fatal(err)
	}
	i.arguments[i.binary] = binary
	i.Restart(t)
}

// Stop stops the control plane in order. It does nothing to one that has ended.
func (i *Instance) Stop(t testing.TB) {
	t.Helper()
	if i.process == nil {
		return
	}
	i.signal(t, syscall.SIGTERM)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-i.process.Exited():
	case <-timer.C:
		i.Kill(t)
		t.Errorf("the control plane did not stop in %s; the end of its log:\n%s", stopTimeout, i.log())
	}
}

// Kill ends the control plane as a crash does.
func (i *Instance) Kill(t testing.TB) {
	t.Helper()
	if err := i.process.Kill(); err != nil {
		t.Error(err)
	}
}

// PID is the number by which the kernel knows the process, as long as it runs.
func (i *Instance) PID() int { return i.process.PID() }

// Freeze stops the process without ending it: its connections stay open and
// nothing is answered, as on a machine that hangs. Thaw lets it go on.
func (i *Instance) Freeze(t testing.TB) {
	t.Helper()
	i.signal(t, syscall.SIGSTOP)
}

// Thaw ends what Freeze has begun.
func (i *Instance) Thaw(t testing.TB) {
	t.Helper()
	i.signal(t, syscall.SIGCONT)
}

// DataDir is where the database lies. It may be copied, or put back, while the
// control plane is stopped.
func (i *Instance) DataDir() string { return filepath.Join(i.Dir, "data") }

// signal tells the process to end; it may have done so already.
func (i *Instance) signal(t testing.TB, signal syscall.Signal) {
	if err := i.process.Signal(signal); err != nil {
		t.Error(err)
	}
}

func (i *Instance) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client, err := rest.HTTPClientFor(i.Config)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	last := errors.New("it was not asked yet")
	for {
		select {
		case <-i.process.Exited():
			return fmt.Errorf("it ended: %s", i.process.Exit())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-ticker.C:
			if last = readyz(ctx, client, i.Config.Host); last == nil {
				return nil
			}
		}
	}
}

func readyz(ctx context.Context, client *http.Client, host string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New("/readyz answers " + response.Status)
	}
	return nil
}

func (i *Instance) pkiDir() string  { return filepath.Join(i.Dir, "pki") }
func (i *Instance) logFile() string { return filepath.Join(i.Dir, "control-plane.log") }

// log returns the end of the process's log.
func (i *Instance) log() []byte {
	content, err := os.ReadFile(i.logFile())
	if err != nil {
		return []byte(err.Error())
	}
	return content[max(0, len(content)-logTail):]
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("listening on %v", listener.Addr())
	}
	return address.Port, nil
}
