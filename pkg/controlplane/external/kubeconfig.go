// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// maxKubeconfig is the longest kubeconfig that is read, in bytes.
const maxKubeconfig = 128 << 10

// RefusalError says why a cluster cannot be a tenant: a reason of a condition, and
// a message for people that names the remedy.
type RefusalError struct{ Reason, Message string }

// Error implements error.
func (r *RefusalError) Error() string { return r.Reason + ": " + r.Message }

func invalid(format string, arguments ...any) error {
	return &RefusalError{tenancyv1alpha1.ReasonKubeconfigInvalid, fmt.Sprintf(format, arguments...)}
}

// Access is what a kubeconfig says, and nothing else is taken from one.
type Access struct {
	// Server is the URL of the API server, with a port, without a slash at its end.
	Server *url.URL
	// ServerName is the name in the server's certificate, if not the URL's host.
	ServerName string
	// CA (PEM) is the only authority that may have certified the server.
	CA []byte
	// ClientCert and ClientKey (PEM), or Token, are who we are.
	ClientCert, ClientKey []byte
	Token                 string
}

// Parse reads a kubeconfig with everything inline. The error is a *RefusalError.
func Parse(kubeconfig []byte, now time.Time) (*Access, error) {
	if len(kubeconfig) > maxKubeconfig {
		return nil, invalid("it is longer than %d bytes", maxKubeconfig)
	}
	raw, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, invalid("it cannot be parsed") // the cause would quote it
	}
	current := raw.Contexts[raw.CurrentContext]
	if current == nil {
		return nil, invalid("current-context names no context of it: set current-context")
	}
	cluster, user := raw.Clusters[current.Cluster], raw.AuthInfos[current.AuthInfo]
	if cluster == nil || user == nil {
		return nil, invalid("the current context must name a cluster and a user of it")
	}
	access := &Access{ServerName: cluster.TLSServerName, CA: cluster.CertificateAuthorityData}
	if err := checkCluster(cluster); err != nil {
		return nil, err
	}
	if err := checkUser(user); err != nil {
		return nil, err
	}
	if access.Server, err = parseServer(cluster.Server); err != nil {
		return nil, err
	}
	access.ClientCert, access.ClientKey, access.Token = user.ClientCertificateData, user.ClientKeyData, user.Token
	return access, access.checkCredentials(now)
}

// checkCluster refuses what would lead elsewhere, or to nobody in particular.
func checkCluster(cluster *clientcmdapi.Cluster) error {
	switch {
	case cluster.InsecureSkipTLSVerify:
		return invalid("insecure-skip-tls-verify is not allowed: give certificate-authority-data")
	case cluster.ProxyURL != "":
		return invalid("proxy-url is not allowed: the platform must reach the server itself")
	case cluster.CertificateAuthority != "":
		return invalid("certificate-authority names a file: give certificate-authority-data")
	case !x509.NewCertPool().AppendCertsFromPEM(cluster.CertificateAuthorityData):
		return invalid("certificate-authority-data is missing or holds no certificate (PEM)")
	}
	return nil
}

// checkUser refuses whatever would run a program, read a file or speak for somebody else.
func checkUser(user *clientcmdapi.AuthInfo) error {
	switch {
	case user.Exec != nil:
		return invalid("exec is not allowed: the platform runs no program for its credentials; give client-certificate-data and client-key-data, or token")
	case user.AuthProvider != nil:
		return invalid("auth-provider is not allowed: give client-certificate-data and client-key-data, or token")
	case user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "":
		return invalid("client-certificate, client-key and tokenFile name files: give client-certificate-data and client-key-data, or token")
	case user.Username != "" || user.Password != "":
		return invalid("username and password are not allowed: API servers take none; give client-certificate-data and client-key-data, or token")
	case impersonates(user):
		return invalid("as (impersonation) is not allowed: give credentials of an administrator")
	case len(user.ClientCertificateData) == 0 && user.Token == "":
		return invalid("the user has no credentials: give client-certificate-data and client-key-data, or token")
	}
	return nil
}

func impersonates(user *clientcmdapi.AuthInfo) bool {
	return user.Impersonate != "" || user.ImpersonateUID != "" || len(user.ImpersonateGroups)+len(user.ImpersonateUserExtra) > 0
}

// parseServer returns the URL of an API server with its port.
func parseServer(server string) (*url.URL, error) {
	parsed, err := url.Parse(server)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return nil, invalid("server must be an https URL of host, port and path")
	}
	port := parsed.Port()
	if port == "" {
		port = "443"
	}
	path := parsed.EscapedPath()
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return url.Parse("https://" + net.JoinHostPort(parsed.Hostname(), port) + path)
}

// checkCredentials finds what no server needs to be asked about.
func (a *Access) checkCredentials(now time.Time) error {
	if len(a.ClientCert) == 0 {
		return nil
	}
	pair, err := tls.X509KeyPair(a.ClientCert, a.ClientKey)
	if err != nil {
		return invalid("client-certificate-data and client-key-data do not belong together, or are not PEM")
	}
	leaf := pair.Leaf
	if now.After(leaf.NotAfter) {
		return invalid("client-certificate-data expired at %s: put a valid one into the Secret", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		return invalid("client-certificate-data is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// Kubeconfig returns a kubeconfig of this access and nothing else: what a
// user's may hold besides goes to no other component.
func (a *Access) Kubeconfig(name string) ([]byte, error) {
	return clientcmd.Write(clientcmdapi.Config{
		CurrentContext: name,
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server: a.Server.String(), TLSServerName: a.ServerName, CertificateAuthorityData: a.CA,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: a.ClientCert, ClientKeyData: a.ClientKey, Token: a.Token,
		}},
		Contexts: map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
	})
}

// WithToken returns the same way with other credentials.
func (a *Access) WithToken(token string) *Access {
	return &Access{Server: a.Server, ServerName: a.ServerName, CA: a.CA, Token: token}
}
