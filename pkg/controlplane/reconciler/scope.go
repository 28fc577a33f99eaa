// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// scope is what the phases of one reconcile hand on to each other.
type scope struct {
	// virtualCluster as it was read. Not modified.
	virtualCluster *tenancyv1alpha1.VirtualCluster
	// status is what vc-manager owns of the status, as it should become;
	// stored is what the API server last was told.
	status, stored tenancyv1alpha1.VirtualClusterStatus

	// class is set by resolveClass, the parts of spec by resolveClass,
	// chooseVersion and allocateNetwork.
	class *tenancyv1alpha1.VirtualClusterClass
	spec  component.Spec
	// choice is why it is this version. Set by chooseVersion.
	choice choice
	// service is the Service as it exists; exposed is how users should reach it;
	// hosts are the addresses outside of the meta cluster by which the API server
	// may be called. Set by ensureService.
	service *corev1.Service
	exposed exposed
	hosts   []string
	// authorities are those that sign; known, all whose certificates clients
	// accept; rotation says which they are. Set, with agentCA and pkiHash, by
	// ensureCertificates.
	authorities *pki.Authorities
	known       []*pki.Authorities
	rotation    rotationPlan
	agentCA     []byte
	pkiHash     string
	// etcdCA (PEM) are the authorities that members of the database may be
	// certified by. Set by ensureCertificates.
	etcdCA []byte
	// expiry has every certificate once ensureKubeconfigs has succeeded.
	expiry expiry
	// statefulSet as it exists, and its pods, by ordinal. Set by ensureStatefulSet.
	statefulSet *appsv1.StatefulSet
	pods        []corev1.Pod
	// before is how many members the database had when it was last asked.
	before int32
	// differences are what the condition UpToDate is made of: see differ.
	differences []difference

	// visit is set by reachExternal and nil for control planes of our own.
	visit *visit

	// remarks are messages of conditions that are True.
	remarks map[string]string

	// due is when the next certificate has to be looked at; zero means that none is known.
	due time.Time
	// requeueAfter is when the last phase wants to look again; wake is what
	// wakeAfter asks for. Zero means never.
	requeueAfter, wake time.Duration
}

// wakeAfter makes sure that somebody looks again by then, whatever else happens.
func (s *scope) wakeAfter(after time.Duration) {
	if s.wake == 0 || after < s.wake {
		s.wake = after
	}
}

// next returns when to look again if nothing happens; zero means never.
func (s *scope) next() time.Duration {
	if s.requeueAfter == 0 || s.wake != 0 && s.wake < s.requeueAfter {
		return s.wake
	}
	return s.requeueAfter
}

func newScope(virtualCluster *tenancyv1alpha1.VirtualCluster) *scope {
	s := &scope{
		virtualCluster: virtualCluster,
		remarks:        map[string]string{},
		status:         ownStatus(virtualCluster),
		stored:         ownStatus(virtualCluster),
		spec: component.Spec{
			TenantID:       virtualCluster.UID,
			VirtualCluster: types.NamespacedName{Namespace: virtualCluster.Namespace, Name: virtualCluster.Name},
		},
	}
	if s.status.ControlPlane == nil {
		s.status.ControlPlane = &tenancyv1alpha1.ControlPlaneStatus{}
	}
	s.before = s.status.ControlPlane.Replicas
	s.status.ControlPlane.Namespace = s.spec.NamespaceName()
	return s
}
