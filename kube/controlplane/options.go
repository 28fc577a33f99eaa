// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"virtualcluster.io/virtualcluster/kube/controlplane/member"
)

// Role says which cluster the control plane serves.
type Role string

const (
	// RoleTenant runs no controller that the super cluster stands in for.
	RoleTenant Role = "tenant"
	// RoleSuper runs every controller: it is the local super cluster.
	RoleSuper Role = "super"
)

// Options are what differs between control planes.
type Options struct {
	// Role decides the controllers. Default RoleTenant.
	Role Role
	// DataDir holds the database, its socket and generated configuration. Made with mode 0700.
	DataDir string
	// PKIDir holds the files that pki.go names.
	PKIDir string
	// ServiceClusterIPRange is the CIDR of the cluster's Services; the first
	// address is the Service default/kubernetes.
	ServiceClusterIPRange string
	// ServiceNodePortRange is where node ports are allocated from. Default 30000-32767.
	ServiceNodePortRange string
	// ServiceAccountIssuer is the issuer of tokens. Default https://kubernetes.default.svc.cluster.local.
	ServiceAccountIssuer string
	// AdvertiseAddress is the address at which pods reach this replica.
	AdvertiseAddress string
	// BindAddress is what the API server listens on. Default 0.0.0.0.
	BindAddress string
	// SecurePort is the API server's port. Default 6443.
	SecurePort int
	// Replicas is of how many members the database is: 1 (the default), or 3,
	// which keep serving when one is lost.
	Replicas int
	// Member is the name of this replica's member: of its pod. Default control-plane-0.
	Member string
	// PeerDomain is the domain below which the members' names resolve. Required if there are three.
	PeerDomain string
	// MembershipDir holds what the manager says about the members (see
	// member.ReadIntent). Default empty: nobody says anything.
	MembershipDir string
	// AuditLevel is how much of each request goes to the audit log on standard
	// output. Default AuditNone: no log.
	AuditLevel AuditLevel
	// Verbosity is klog's. Default 1.
	Verbosity int
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	return &Options{
		Role:                 RoleTenant,
		ServiceNodePortRange: "30000-32767",
		ServiceAccountIssuer: "https://kubernetes.default.svc.cluster.local",
		BindAddress:          "0.0.0.0",
		SecurePort:           6443,
		Replicas:             1,
		Member:               "control-plane-0",
		AuditLevel:           AuditNone,
		Verbosity:            1,
	}
}

// AddFlags binds the options to flags.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar((*string)(&o.Role), "role", string(o.Role), "tenant or super: super runs every controller")
	flags.StringVar(&o.DataDir, "data-dir", o.DataDir, "directory of the database (required)")
	flags.StringVar(&o.PKIDir, "pki-dir", o.PKIDir, "directory of the certificates and keys (required)")
	flags.StringVar(&o.ServiceClusterIPRange, "service-cluster-ip-range", o.ServiceClusterIPRange, "CIDR of the Services (required)")
	flags.StringVar(&o.ServiceNodePortRange, "service-node-port-range", o.ServiceNodePortRange, "where node ports are allocated from")
	flags.StringVar(&o.ServiceAccountIssuer, "service-account-issuer", o.ServiceAccountIssuer, "issuer of service account tokens")
	flags.StringVar(&o.AdvertiseAddress, "advertise-address", o.AdvertiseAddress, "address at which pods reach this replica (required)")
	flags.StringVar(&o.BindAddress, "bind-address", o.BindAddress, "address that the API server listens on")
	flags.IntVar(&o.SecurePort, "secure-port", o.SecurePort, "port of the API server")
	flags.IntVar(&o.Replicas, "replicas", o.Replicas, "members of the database: 1, or 3 that keep serving when one is lost")
	flags.StringVar(&o.Member, "member", o.Member, "name of this replica's member, which ends in its ordinal")
	flags.StringVar(&o.PeerDomain, "peer-domain", o.PeerDomain, "domain below which the members' names resolve (required with --replicas=3)")
	flags.StringVar(&o.MembershipDir, "membership-dir", o.MembershipDir, "directory of the files bootstrap, revision and members: what the manager says about the members")
	flags.StringVar((*string)(&o.AuditLevel), "audit-level", string(o.AuditLevel), "what the audit log on standard output holds: None, Metadata, Request or RequestResponse")
	flags.IntVarP(&o.Verbosity, "v", "v", o.Verbosity, "log verbosity")
}

// maxSocketPath is the longest path of a unix socket on Linux (sun_path, unix(7)).
const maxSocketPath = 107

// Validate returns every mistake, each naming its flag.
func (o *Options) Validate() error {
	var errs []error
	if o.Role != RoleTenant && o.Role != RoleSuper {
		errs = append(errs, fmt.Errorf("--role: %q is neither tenant nor super", o.Role))
	}
	errs = append(errs, o.checkDataDir(), o.AuditLevel.check())
	if o.PKIDir == "" {
		errs = append(errs, errors.New("--pki-dir is required"))
	}
	errs = append(errs, o.checkServiceRange(),
		checkAddress("--bind-address", o.BindAddress),
		checkAddress("--advertise-address", o.AdvertiseAddress), o.checkAdvertised())
	if o.SecurePort < 1 || o.SecurePort > 65535 {
		errs = append(errs, fmt.Errorf("--secure-port: %d is not a port", o.SecurePort))
	}
	if !strings.HasPrefix(o.ServiceAccountIssuer, "https://") {
		errs = append(errs, fmt.Errorf("--service-account-issuer: %q is not an https URL", o.ServiceAccountIssuer))
	}
	errs = append(errs, o.checkMembers())
	return errors.Join(errs...)
}

func (o *Options) checkDataDir() error {
	switch {
	case o.DataDir == "":
		return errors.New("--data-dir is required")
	case !filepath.IsAbs(o.DataDir):
		return fmt.Errorf("--data-dir: %q is not an absolute path", o.DataDir)
	case len(o.etcdSocket()) > maxSocketPath:
		return fmt.Errorf("--data-dir: %q is too long for the socket in it: use a path of at most %d characters", o.DataDir, maxSocketPath-len("/"+etcdSocketName))
	}
	return nil
}

func (o *Options) checkServiceRange() error {
	prefix, err := netip.ParsePrefix(o.ServiceClusterIPRange)
	if err != nil {
		return fmt.Errorf("--service-cluster-ip-range: %q is not a CIDR", o.ServiceClusterIPRange)
	}
	if prefix != prefix.Masked() {
		return fmt.Errorf("--service-cluster-ip-range: %q has host bits: did you mean %s?", o.ServiceClusterIPRange, prefix.Masked())
	}
	return nil
}

// checkAdvertised refuses what is an address, but not one that pods can reach.
func (o *Options) checkAdvertised() error {
	if address, err := netip.ParseAddr(o.AdvertiseAddress); err == nil && (address.IsLoopback() || address.IsUnspecified()) {
		return fmt.Errorf("--advertise-address: pods cannot reach %s: use an address of this machine or pod", address)
	}
	return nil
}

func (o *Options) checkMembers() error {
	var errs []error
	name, err := member.ParseName(o.Member)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("--member: %w", err))
	case o.Replicas == 1 && name.Ordinal() != 0:
		errs = append(errs, fmt.Errorf("--member: %s is not the first, and with --replicas=1 there is no other", name))
	}
	if o.Replicas != 1 && o.Replicas != member.Most {
		errs = append(errs, fmt.Errorf("--replicas: %d is neither 1 nor %d: two members stop when either is lost", o.Replicas, member.Most))
	}
	if o.replicated() && o.PeerDomain == "" {
		errs = append(errs, fmt.Errorf("--peer-domain is required with --replicas=%d", o.Replicas))
	}
	if o.PeerDomain != "" {
		for _, problem := range validation.IsDNS1123Subdomain(o.PeerDomain) {
			errs = append(errs, fmt.Errorf("--peer-domain: %q: %s", o.PeerDomain, problem))
		}
	}
	if o.MembershipDir != "" && !filepath.IsAbs(o.MembershipDir) {
		errs = append(errs, fmt.Errorf("--membership-dir: %q is not an absolute path", o.MembershipDir))
	}
	return errors.Join(errs...)
}

// replicated reports whether the database has several members.
func (o *Options) replicated() bool { return o.Replicas > 1 }

// peers are the members of the database. The options must be valid.
func (o *Options) peers() (member.Peers, error) {
	name, err := member.ParseName(o.Member)
	return member.Peers{Self: name, Domain: o.PeerDomain}, err
}

func (o *Options) volume() member.Volume { return member.Volume(o.DataDir) }

func checkAddress(flag, value string) error {
	if _, err := netip.ParseAddr(value); err != nil {
		return fmt.Errorf("%s: %q is not an IP address", flag, value)
	}
	return nil
}

// etcdSocketName is the database's socket in DataDir.
const etcdSocketName = "etcd.sock"

func (o *Options) etcdSocket() string { return filepath.Join(o.DataDir, etcdSocketName) }

// runDir holds configuration files that this process writes for its own parts.
func (o *Options) runDir() string { return filepath.Join(o.DataDir, "run") }

// loopbackURL is the API server's address for the other parts of this process.
func (o *Options) loopbackURL() string {
	host := "127.0.0.1"
	if bind, err := netip.ParseAddr(o.BindAddress); err == nil && !bind.IsUnspecified() {
		host = o.BindAddress
	}
	return "https://" + netip.AddrPortFrom(netip.MustParseAddr(host), uint16(o.SecurePort)).String()
}

func (o *Options) verbosityFlag() string { return "--v=" + strconv.Itoa(o.Verbosity) }
