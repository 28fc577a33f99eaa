// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete

// ensureCertificates makes the authorities, each generation once, and the files
// that the control plane reads. A leaf is kept as long as it is good.
func (r *Reconciler) ensureCertificates(ctx context.Context, s *scope) error {
	given, err := r.ensureGenerations(ctx, s)
	if err != nil {
		return err
	}
	if s.agentCA, err = r.AgentCA(ctx); err != nil {
		return err
	}
	encryption, err := r.ensureEncryptionKeys(ctx, s, given.files)
	if err != nil {
		return err
	}
	ips, err := s.spec.ServingIPs(append(slices.Clone(s.hosts), s.service.Spec.ClusterIP)...)
	if err != nil {
		return err
	}
	files, err := pki.ControlPlaneFiles(pki.FilesInput{
		Signing:          s.authorities,
		Serving:          given.generations[s.rotation.serving],
		Trusted:          given.generations.of(s.rotation.trusted),
		LeafTTL:          s.leafTTL(),
		EncryptionKeys:   encryption,
		ServingDNSNames:  append(s.spec.ServingDNSNames(), dnsNames(s.hosts)...),
		ServingIPs:       ips,
		PeerDNSNames:     s.spec.PeerDNSNames(),
		KubeletServingCA: s.agentCA,
		Existing:         given.files,
	}, r.Clock.Now())
	if err != nil {
		return err
	}
	s.pkiHash, s.etcdCA = hashFiles(files), files[pki.FileEtcdCA]
	if err := s.expiry.addFiles(files); err != nil {
		return err
	}
	// Set already here: should a later phase wait, these are renewed all the same.
	s.due = earliest(s.expiry.nextRenewal(), s.rotation.wake)
	return r.apply(ctx, s.spec.PKI(files), &corev1.Secret{})
}

// ensureGenerations makes the first generation of the tenant's authorities, and
// the next when the plan of the rotation says so.
func (r *Reconciler) ensureGenerations(ctx context.Context, s *scope) (*issued, error) {
	given, err := r.readIssued(ctx, s)
	if err != nil {
		return nil, err
	}
	if len(given.generations) == 0 {
		if given.generations[1], err = r.createGeneration(ctx, s, 1); err != nil {
			return nil, err
		}
	}
	plan := planRotation(r.rotationInput(s, given))
	if number := plan.create; number != 0 {
		if given.generations[number], err = r.createGeneration(ctx, s, number); err != nil {
			return nil, err
		}
		plan = planRotation(r.rotationInput(s, given))
	}
	if _, problem := requestedRotation(s.virtualCluster, r.Clock.Now()); problem != "" {
		s.remarks[tenancyv1alpha1.ConditionCertificatesReady] = problem
	}
	s.rotation, s.authorities = plan, given.generations[plan.signing]
	s.known = given.generations.of(plan.known)
	s.expiry = expiry{
		leaves: map[string]*x509.Certificate{}, authorities: s.authorities.Certificates(), leafTTL: s.leafTTL(),
	}
	return given, nil
}

func (r *Reconciler) rotationInput(s *scope, given *issued) rotationInput {
	in := rotationInput{
		now: r.Clock.Now(), overlap: defaultOverlap, rolledOut: given.rolledOut,
		signing: given.generations.signing(given.files), trusted: given.generations.trusted(given.files),
	}
	in.requested, _ = requestedRotation(s.virtualCluster, in.now)
	if overlap := s.spec.ControlPlane.Certificates.Overlap; overlap != nil {
		in.overlap = overlap.Duration
	}
	for _, number := range given.generations.numbers() {
		authorities := given.generations[number]
		in.generations = append(in.generations, generation{
			number: number, created: authorities.Created(), renewAt: authorities.RenewAt(),
		})
	}
	return in
}

// defaultOverlap is the overlap of a class that was stored without one.
const defaultOverlap = 7 * 24 * time.Hour

// leafTTL returns how long leaves live, zero for the default.
func (s *scope) leafTTL() time.Duration {
	if life := s.spec.ControlPlane.Certificates.LeafDuration; life != nil {
		return life.Duration
	}
	return 0
}

// ensureEncryptionKeys returns the key of Secrets at rest, which is made once.
// The control plane's files hold a copy: should the Secret be lost, it is made
// of that and not anew, since a new key reads nothing of what is stored.
func (r *Reconciler) ensureEncryptionKeys(ctx context.Context, s *scope, files map[string][]byte) ([]byte, error) {
	secret, err := createOnce(ctx, r.Client, r.APIReader, s.spec.Encryption(nil), func() (*corev1.Secret, error) {
		keys, ok := files[pki.FileEncryptionKeys]
		if !ok {
			made, err := pki.NewEncryptionKeys()
			if err != nil {
				return nil, err
			}
			keys = made
		}
		return s.spec.Encryption(map[string][]byte{pki.FileEncryptionKeys: keys}), nil
	})
	if err != nil {
		return nil, err
	}
	keys := secret.Data[pki.FileEncryptionKeys]
	if err := pki.CheckEncryptionKeys(keys); err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", secret.Namespace, component.SecretEncryption, err)
	}
	return keys, nil
}

// finishCertificates is the end of what ensureKubeconfigs does: everything that
// was issued is in place now. It says so, and removes the generations of
// authorities that nothing needs any more.
func (r *Reconciler) finishCertificates(ctx context.Context, s *scope) error {
	for _, number := range s.rotation.remove {
		gone := &corev1.Secret{}
		if _, err := r.remove(ctx, s.spec.Authorities(number, nil), gone); err != nil {
			return err
		}
	}
	s.status.Certificates = s.expiry.status(s.rotation.signing, s.rotation.known)
	r.Metrics.set(s.spec.VirtualCluster, s.expiry.leaves, s.expiry.authorities)
	s.due = earliest(s.expiry.nextRenewal(), s.rotation.wake)
	return nil
}

// dnsNames returns the hosts that are not IP addresses.
func dnsNames(hosts []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return net.ParseIP(host) != nil })
}

// hashFiles returns a digest of the files whose change must restart the
// control plane: authorities and keys. Leaves are left out: the process reads
// them again by itself, and neither a renewal nor a node that joins the meta
// cluster, which adds a name to one, must restart every tenant.
func hashFiles(files map[string][]byte) string {
	digest := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if pki.IsLeaf(name) {
			continue
		}
		fmt.Fprintf(digest, "%s %d\n", name, len(files[name]))
		digest.Write(files[name])
	}
	return hex.EncodeToString(digest.Sum(nil)[:16])
}
