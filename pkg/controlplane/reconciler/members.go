// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

const (
	// managerName is the name under which the members of a database know vc-manager.
	managerName = "vc-manager"
	// managerCertificateTTL is how long a certificate for them lives; it is made
	// for one reconcile and kept nowhere.
	managerCertificateTTL = 10 * time.Minute
)

// listMembers asks the database who its members are. A replica that is ready
// and answers is enough.
func (r *Reconciler) listMembers(ctx context.Context, s *scope, pods []corev1.Pod) ([]members.Member, error) {
	var list []members.Member
	err := r.askDatabase(ctx, s, pods, func(database members.Database) error {
		var err error
		list, err = database.List(ctx)
		return err
	})
	return list, err
}

// carryOut does what a step asks for in the database.
func (r *Reconciler) carryOut(ctx context.Context, s *scope, pods []corev1.Pod, facts scalingFacts, step scalingStep) error {
	logger := log.FromContext(ctx)
	if step.remove != nil {
		logger.Info("Removing a member of the database", "ordinal", step.remove.Ordinal)
		keeping := withOrdinal(pods, 0)
		return r.askDatabase(ctx, s, keeping, func(database members.Database) error {
			return database.Remove(ctx, step.remove.ID)
		})
	}
	leader := slices.IndexFunc(facts.members, func(member members.Member) bool { return member.Leader })
	if leader < 0 {
		return errors.New("the database has no leader")
	}
	logger.Info("Moving the lead of the database", "ordinal", step.lead.Ordinal)
	return r.askDatabase(ctx, s, withOrdinal(pods, facts.members[leader].Ordinal), func(database members.Database) error {
		return database.Lead(ctx, step.lead.ID)
	})
}

// askDatabase asks the pods that are ready, one after the other, until one answers.
func (r *Reconciler) askDatabase(ctx context.Context, s *scope, pods []corev1.Pod, ask func(members.Database) error) error {
	err := errors.New("no replica is ready")
	for i := range pods {
		if !podReady(&pods[i]) || pods[i].Status.PodIP == "" {
			continue
		}
		var endpoint members.Endpoint
		if endpoint, err = r.endpoint(s, &pods[i]); err != nil {
			return err
		}
		if err = r.askOne(ctx, endpoint, ask); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the database does not answer: %w", err)
}

func (r *Reconciler) askOne(ctx context.Context, endpoint members.Endpoint, ask func(members.Database) error) (err error) {
	database, err := r.Members(ctx, endpoint)
	if err != nil {
		return err
	}
	defer func() {
		if closing := database.Close(); err == nil && closing != nil && ctx.Err() == nil {
			log.FromContext(ctx).V(1).Info("Closing a connection failed", "error", closing.Error())
		}
	}()
	return ask(database)
}

// endpoint returns how the member in a pod is asked. Its address may be another
// pod's by now: only who has a certificate of the tenant's own etcd authority
// for the member's name is talked to.
func (r *Reconciler) endpoint(s *scope, pod *corev1.Pod) (members.Endpoint, error) {
	certPEM, keyPEM, err := s.authorities.Etcd.Issue(pki.Leaf{
		CommonName: managerName, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, TTL: managerCertificateTTL,
	}, r.Clock.Now())
	if err != nil {
		return members.Endpoint{}, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return members.Endpoint{}, fmt.Errorf("reading the certificate for the database: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.etcdCA) {
		return members.Endpoint{}, errors.New("the etcd authority is not a PEM certificate")
	}
	return members.Endpoint{
		Address: net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(component.EtcdClientPort)),
		TLS: &tls.Config{
			Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12,
			ServerName: s.spec.PeerDNSName(ordinalOf(pod)),
		},
	}, nil
}

// withOrdinal returns the pod of that ordinal, if there is one.
func withOrdinal(pods []corev1.Pod, ordinal int32) []corev1.Pod {
	for i := range pods {
		if ordinalOf(&pods[i]) == ordinal {
			return pods[i : i+1]
		}
	}
	return nil
}

// readyOrdinals returns the ordinals of the pods that are ready, sorted.
func readyOrdinals(pods []corev1.Pod) []int32 {
	var out []int32
	for i := range pods {
		if podReady(&pods[i]) {
			out = append(out, ordinalOf(&pods[i]))
		}
	}
	slices.Sort(out)
	return out
}

// ordinalOf returns the number at the end of the name of a StatefulSet's pod or claim, or -1.
func ordinalOf(object metav1.Object) int32 {
	number, err := strconv.ParseInt(object.GetName()[strings.LastIndex(object.GetName(), "-")+1:], 10, 32)
	if err != nil {
		return -1
	}
	return int32(number)
}

// podReady reports whether a pod is there to stay, and ready.
func podReady(pod *corev1.Pod) bool {
	if !pod.DeletionTimestamp.IsZero() {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
