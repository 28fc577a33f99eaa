// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// event shows a tenant what the super cluster says about its pods, with the
// tenant's names in place of the super cluster's.
func event() kind.Upward[*corev1.Event] {
	return kind.Upward[*corev1.Event]{
		Object: &corev1.Event{},
		Fields: fields.OneTermEqualSelector("involvedObject.kind", "Pod"),
		About: func(super *corev1.Event) (client.Object, types.NamespacedName, types.UID) {
			about := super.InvolvedObject
			return &corev1.Pod{}, types.NamespacedName{Namespace: about.Namespace, Name: about.Name}, about.UID
		},
		// What happened to a pod may be told later; that it runs, or cannot, not.
		Pace: 2, PaceBurst: 10,
		Urgent:  func(super *corev1.Event) bool { return super.Type == corev1.EventTypeWarning },
		Visible: eventVisible,
		Up:      eventUp,
	}
}

// eventVisible hides what is not about a pod and what is about the platform's
// own objects, which a tenant does not know.
func eventVisible(_ kind.Facts, super *corev1.Event) bool {
	if super.InvolvedObject.Kind != "Pod" {
		return false
	}
	words := strings.FieldsFunc(super.Message, func(r rune) bool { return strings.ContainsRune(" \t\n\"'/:,;()[]", r) })
	for _, word := range words {
		if names.IsReserved(word) {
			return false
		}
	}
	return true
}

func eventUp(_ kind.Env, super *corev1.Event, owner kind.Subject, tenant *corev1.Event) error {
	tenant.InvolvedObject = corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: owner.Namespace, Name: owner.Name, UID: owner.UID,
		FieldPath: super.InvolvedObject.FieldPath,
	}
	tenant.Reason, tenant.Type, tenant.Count, tenant.Action = super.Reason, super.Type, super.Count, super.Action
	tenant.Message = scrubEvent(super, owner)
	tenant.FirstTimestamp, tenant.LastTimestamp = super.FirstTimestamp, super.LastTimestamp
	tenant.EventTime = super.EventTime
	tenant.Series = super.Series.DeepCopy()
	tenant.ReportingController = super.ReportingController
	if tenant.ReportingController == "" {
		tenant.ReportingController = super.Source.Component
	}
	tenant.ReportingInstance = ""
	if !super.EventTime.IsZero() {
		tenant.ReportingInstance = tenancyv1alpha1.VirtualNodeName // required with eventTime
	}
	tenant.Source = corev1.EventSource{Component: super.Source.Component}
	if super.Source.Host != "" {
		tenant.Source.Host = tenancyv1alpha1.VirtualNodeName
	}
	return nil
}

// scrubEvent replaces the super cluster's namespace and node in the message.
func scrubEvent(super *corev1.Event, owner kind.Subject) string {
	switch super.Reason {
	case "FailedScheduling":
		return policy.SchedulingMessage(super.Message)
	case "Preempted": // names the pod, whosever it is, that took the place
		return "Preempted by a pod of a higher priority"
	}
	message := strings.ReplaceAll(policy.WithoutCapacity(super.Message), owner.Super.Namespace, owner.Namespace)
	for _, node := range []string{super.Source.Host, assignedNode(super), nodeOf(owner.Object)} {
		if node != "" {
			message = strings.ReplaceAll(message, node, tenancyv1alpha1.VirtualNodeName)
		}
	}
	return message
}

// assignedNode reads the node from the scheduler's message, "Successfully
// assigned <namespace>/<pod> to <node>".
func assignedNode(super *corev1.Event) string {
	if super.Reason != "Scheduled" {
		return ""
	}
	_, node, _ := strings.Cut(super.Message, " to ")
	return node
}

// nodeOf returns the super node of the pod that an event is about.
func nodeOf(object client.Object) string {
	if superPod, ok := object.(*corev1.Pod); ok {
		return superPod.Spec.NodeName
	}
	return ""
}
