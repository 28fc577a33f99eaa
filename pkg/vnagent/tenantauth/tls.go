// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package tenantauth

import (
	"crypto/tls"
)

// GetCertificate returns the certificate to serve, as in tls.Config.
type GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// ServerTLS returns the TLS configuration of the kubelet API's listener. A
// handshake succeeds only with a certificate that authorities identifies, at
// that moment, so tenants may come and go without a new listener.
//
// The verification is not left to crypto/tls (ClientCAs), because that would
// send the names of all tenants' CAs to whoever connects. HTTP/2 is not
// offered: exec, attach and port-forward upgrade the connection, which is an
// HTTP/1.1 mechanism. Sessions are not resumed, so each connection proves its
// identity anew.
func ServerTLS(certificate GetCertificate, authorities *Authorities) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		NextProtos:             []string{"http/1.1"},
		GetCertificate:         certificate,
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequireAnyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := authorities.Identify(&state)
			return err
		},
	}
}
