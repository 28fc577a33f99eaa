// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// TestBundles: whom the API server believes follows the files while it runs.
func TestBundles(t *testing.T) {
	controlPlane := controlplanetest.Start(t, controlplanetest.Options{})
	t.Run("Clients", func(t *testing.T) {
		testTrust(t, controlPlane, pki.FileClientCA,
			slices.Concat(controlPlane.Authorities.User.CertPEM(), controlPlane.Authorities.PlatformClient.CertPEM()),
			pki.Leaf{CommonName: "newcomer", Organizations: []string{"system:masters"}}, nil)
	})
	t.Run("FrontProxy", func(t *testing.T) {
		testTrust(t, controlPlane, pki.FileRequestHeaderCA, controlPlane.Authorities.RequestHeader.CertPEM(),
			pki.Leaf{CommonName: "front-proxy-client"},
			http.Header{"X-Remote-User": {"newcomer"}, "X-Remote-Group": {"system:masters"}})
	})
	t.Run("Signer", func(t *testing.T) { testSigner(t, controlPlane) })
}

// testTrust adds an authority to a bundle and takes it out again. A client of
// that authority gets in and is refused again.
func testTrust(t *testing.T, controlPlane *controlplanetest.Instance, file string, bundle []byte, leaf pki.Leaf, header http.Header) {
	authority := newAuthority(t)
	leaf.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	certPEM, keyPEM, err := authority.Issue(leaf, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	config := clientTLS(t, controlPlane)
	config.Certificates = []tls.Certificate{pair}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	want := func(code int) func(context.Context) error {
		return func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, controlPlane.Config.Host+"/api/v1/secrets", http.NoBody)
			if err != nil {
				return err
			}
			request.Header = header.Clone()
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			if response.StatusCode != code {
				err = fmt.Errorf("the answer is %s, want %d", response.Status, code)
			}
			_ = response.Body.Close()
			return err
		}
	}
	if err := want(http.StatusUnauthorized)(t.Context()); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	controlPlane.ReplaceFiles(t, map[string][]byte{file: slices.Concat(bundle, authority.CertPEM())})
	eventually(t, "the new authority is believed", want(http.StatusOK))
	t.Logf("believed after %s", time.Since(started))
	started = time.Now()
	controlPlane.ReplaceFiles(t, map[string][]byte{file: bundle})
	eventually(t, "the authority that is gone is not believed", want(http.StatusUnauthorized))
	t.Logf("no longer believed after %s", time.Since(started))
}

// testSigner replaces the authority that signs certificate requests.
func testSigner(t *testing.T, controlPlane *controlplanetest.Instance) {
	client, err := kubernetes.NewForConfig(controlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	authority := newAuthority(t)
	files := map[string][]byte{pki.FileUserCACert: authority.CertPEM(), pki.FileUserCAKey: authority.KeyPEM()}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority.CertPEM())
	controlPlane.ReplaceFiles(t, files)
	number := 0
	eventually(t, "the new authority signs", func(ctx context.Context) error {
		number++
		certificate, err := signed(ctx, t, client, fmt.Sprintf("request-%d", number))
		if err != nil {
			return err
		}
		_, err = certificate.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	})
}

// signed has the cluster's signer sign a request.
func signed(ctx context.Context, t *testing.T, client kubernetes.Interface, name string) (*x509.Certificate, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "newcomer"}}, key)
	if err != nil {
		return nil, err
	}
	requests := client.CertificatesV1().CertificateSigningRequests()
	request, err := requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test", Message: "approved by a test",
	}}
	if _, err := requests.UpdateApproval(ctx, name, request, metav1.UpdateOptions{}); err != nil {
		return nil, err
	}
	eventually(t, "the request is signed", func(ctx context.Context) error {
		if request, err = requests.Get(ctx, name, metav1.GetOptions{}); err == nil && len(request.Status.Certificate) == 0 {
			err = fmt.Errorf("it is not: %v", request.Status)
		}
		return err
	})
	block, _ := pem.Decode(request.Status.Certificate)
	return x509.ParseCertificate(block.Bytes)
}

func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	authority, err := pki.NewAuthority("another", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return authority
}
