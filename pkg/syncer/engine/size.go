// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// explainSize turns the refusal of an object that is too large into a Reject
// that names its largest part. A tenant's API server has the same limits, but
// in the super cluster the platform's own labels and annotations count as well.
func explainSize(tenant client.Object, err error) error {
	const remedy = "with the platform's own labels and annotations the object is larger than the super cluster takes; make this smaller"
	switch {
	case hasTooLongAnnotations(err):
		return kind.Reject("metadata.annotations", remedy)
	case isTooLarge(err):
		return kind.Reject(largestField(tenant), remedy)
	default:
		return nil
	}
}

// isTooLarge recognises the limits of the API server and of etcd, of which the
// latter are told as internal errors: etcd's own for a request, and gRPC's for a
// message.
func isTooLarge(err error) bool {
	if apierrors.IsRequestEntityTooLargeError(err) {
		return true
	}
	message := err.Error()
	return strings.Contains(message, "etcdserver: request is too large") || strings.Contains(message, "trying to send message larger than max")
}

// hasTooLongAnnotations recognises the limit of all annotations together.
func hasTooLongAnnotations(err error) bool {
	cause, ok := apierrors.StatusCause(err, metav1.CauseType("FieldValueTooLong"))
	return ok && cause.Field == "metadata.annotations"
}

// largestField names the part of an object that takes most of it.
func largestField(object client.Object) string {
	content, err := json.Marshal(object)
	if err != nil {
		return "metadata"
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil {
		return "metadata"
	}
	largest := "metadata"
	for field, value := range fields {
		if len(value) > len(fields[largest]) {
			largest = field
		}
	}
	return largest
}
