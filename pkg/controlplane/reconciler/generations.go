// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// generations are a tenant's authorities by the number of their generation.
type generations map[int32]*pki.Authorities

// numbers returns which there are, the oldest first.
func (g generations) numbers() []int32 {
	numbers := make([]int32, 0, len(g))
	for number := range g {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers
}

// of returns those of numbers, in their order.
func (g generations) of(numbers []int32) []*pki.Authorities {
	out := make([]*pki.Authorities, 0, len(numbers))
	for _, number := range numbers {
		out = append(out, g[number])
	}
	return out
}

// signing returns which signs by the files that a control plane was given, or zero.
func (g generations) signing(files map[string][]byte) int32 {
	for number, authorities := range g {
		if authorities.Signs(files) {
			return number
		}
	}
	return 0
}

// trusted returns which the files accept, the oldest first.
func (g generations) trusted(files map[string][]byte) []int32 {
	return slices.DeleteFunc(g.numbers(), func(number int32) bool { return !g[number].TrustedBy(files) })
}

// listGenerations reads what there is of a tenant's authorities.
func listGenerations(ctx context.Context, reader client.Reader, spec component.Spec) (generations, error) {
	var list corev1.SecretList
	err := reader.List(ctx, &list, client.InNamespace(spec.NamespaceName()), client.MatchingLabels(spec.Labels()))
	if err != nil {
		return nil, fmt.Errorf("listing the Secrets of namespace %s: %w", spec.NamespaceName(), err)
	}
	found := generations{}
	for i := range list.Items {
		number, ok := component.AuthoritiesGeneration(list.Items[i].Name)
		if !ok {
			continue
		}
		if found[number], err = parseGeneration(&list.Items[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func parseGeneration(secret *corev1.Secret) (*pki.Authorities, error) {
	authorities, err := pki.ParseAuthorities(secret.Data)
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return authorities, nil
}

// createGeneration makes a generation, once.
func (r *Reconciler) createGeneration(ctx context.Context, s *scope, number int32) (*pki.Authorities, error) {
	secret, err := createOnce(ctx, r.Client, r.APIReader, s.spec.Authorities(number, nil), func() (*corev1.Secret, error) {
		id := string(s.virtualCluster.UID)
		if number > 1 {
			id += ":" + strconv.Itoa(int(number))
		}
		authorities, err := pki.NewAuthorities(id, r.Clock.Now())
		if err != nil {
			return nil, err
		}
		return s.spec.Authorities(number, authorities.Data()), nil
	})
	if err != nil {
		return nil, err
	}
	log.FromContext(ctx).Info("Authorities are there", "generation", number)
	return parseGeneration(secret)
}

// issued is what a tenant was given so far.
type issued struct {
	generations generations
	// files are those of the Secret that is mounted into the control plane.
	files map[string][]byte
	// rolledOut: see rotationInput.
	rolledOut bool
}

// readIssued reads what a tenant was given. It reads from the cache only when
// nothing is under way by the status, which was read live: an old view of a
// rotation would undo a step of it, and that restarts the control plane.
func (r *Reconciler) readIssued(ctx context.Context, s *scope) (*issued, error) {
	cached, err := r.readIssuedFrom(ctx, s, r.Client)
	if err != nil {
		return nil, err
	}
	told := s.virtualCluster.Status.Certificates
	if told == nil || len(told.TrustedGenerations) != 1 || !slices.Equal(told.TrustedGenerations, cached.generations.numbers()) {
		return r.readIssuedFrom(ctx, s, r.APIReader)
	}
	if plan := planRotation(r.rotationInput(s, cached)); plan.create != 0 {
		return r.readIssuedFrom(ctx, s, r.APIReader)
	}
	return cached, nil
}

func (r *Reconciler) readIssuedFrom(ctx context.Context, s *scope, reader client.Reader) (*issued, error) {
	found, err := listGenerations(ctx, reader, s.spec)
	if err != nil {
		return nil, err
	}
	out := &issued{generations: found}
	secret := &corev1.Secret{}
	if _, err := getOwned(ctx, reader, r.APIReader, s.spec.PKI(nil), secret); err != nil {
		return nil, err
	}
	out.files = secret.Data
	statefulSet := &appsv1.StatefulSet{}
	if _, err := getOwned(ctx, reader, r.APIReader, s.spec.StatefulSet(""), statefulSet); err != nil {
		return nil, err
	}
	out.rolledOut = rolledOut(statefulSet) &&
		statefulSet.Spec.Template.Annotations[component.AnnotationPKIHash] == hashFiles(out.files)
	if out.rolledOut && len(found) > 1 {
		out.rolledOut, err = r.clientsKnow(ctx, reader, s, found.of(found.trusted(out.files)))
	}
	return out, err
}

// clientsKnow reports whether the platform's clients were given all of the
// generations: vn-agent, which must know a tenant by its new authority before
// the tenant's API server shows a certificate of it, and with it the syncer,
// which is given its own before.
func (r *Reconciler) clientsKnow(ctx context.Context, reader client.Reader, s *scope, trusted []*pki.Authorities) (bool, error) {
	secret := &corev1.Secret{}
	if _, err := getOwned(ctx, reader, r.APIReader, s.spec.AgentKubeconfig(nil, nil), secret); err != nil {
		return false, err
	}
	for _, authorities := range trusted {
		if !bytes.Contains(secret.Data[tenancyv1alpha1.KeyKubeletClientCA], authorities.KubeletClient.CertPEM()) {
			return false, nil
		}
	}
	return true, nil
}
