// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/x509"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// Names of the kubeconfigs' certificates in metrics; the others are called like
// their files, without certificateSuffix.
const (
	certificateSyncer = "syncer"
	certificateAgent  = "vn-agent"
	certificateUser   = "kubeconfig"
	certificateSuffix = ".crt"
)

// earliestRequeue is how soon a certificate is looked at again that is due.
const earliestRequeue = time.Second

// expiry collects when the certificates of a virtual cluster end.
type expiry struct {
	// leaves and authorities are by the name that they have in metrics.
	leaves, authorities map[string]*x509.Certificate
	leafTTL             time.Duration
}

// addFiles takes note of the leaves among the control plane's files.
func (e *expiry) addFiles(files map[string][]byte) error {
	for _, name := range pki.Leaves() {
		if err := e.addLeaf(name, files[name+certificateSuffix]); err != nil {
			return err
		}
	}
	return nil
}

func (e *expiry) addLeaf(name string, certPEM []byte) error {
	cert, err := pki.ParseCertificate(certPEM)
	if err != nil {
		return err
	}
	e.leaves[name] = cert
	return nil
}

// nextRenewal returns when the first certificate, or generation of
// authorities, is due to be replaced.
func (e *expiry) nextRenewal() time.Time {
	var next time.Time
	for _, cert := range e.leaves {
		next = earliest(next, pki.RenewAt(cert, e.leafTTL))
	}
	for _, cert := range e.authorities {
		next = earliest(next, pki.RenewAt(cert, pki.AuthorityTTL))
	}
	return next
}

// status changes only when a certificate does: all in it is written in them.
func (e *expiry) status(signing int32, trusted []int32) *tenancyv1alpha1.CertificatesStatus {
	return &tenancyv1alpha1.CertificatesStatus{
		Generation: signing, TrustedGenerations: trusted,
		AuthoritiesExpire: firstEnd(e.authorities), LeavesExpire: firstEnd(e.leaves),
		NextRenewal: storedTime(e.nextRenewal()),
	}
}

func firstEnd(certs map[string]*x509.Certificate) *metav1.Time {
	var first time.Time
	for _, cert := range certs {
		first = earliest(first, cert.NotAfter)
	}
	return storedTime(first)
}

// storedTime is a time as the API stores it: to the second.
func storedTime(at time.Time) *metav1.Time {
	if at.IsZero() {
		return nil
	}
	stored := metav1.NewTime(at).Rfc3339Copy()
	return &stored
}

// earliest returns the earlier of two times, of which zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// untilDue returns when to look again: after what was asked for (zero means
// never), or when the next certificate is due if that is sooner.
func untilDue(asked time.Duration, due, now time.Time) time.Duration {
	if due.IsZero() {
		return asked
	}
	// What is due and was not done waits for something that wakes us by itself.
	until := max(due.Sub(now), earliestRequeue)
	if asked == 0 {
		return until
	}
	return min(asked, until)
}
