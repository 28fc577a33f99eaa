// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// statusField is the Go field that holds the status of a kind.
const statusField = "Status"

// equal reports whether two objects of one type mean the same. Two that are the
// same when they are encoded are so, and encoding both takes a tenth of the time
// that looking at every field by reflection does: a pod is compared at each of
// the passes of its life.
func equal(a, b client.Object) bool {
	return sameEncoding(a, b) || equality.Semantic.DeepEqual(a, b)
}

// marshaler is implemented by the types that Kubernetes encodes as protobuf. The
// keys of maps are sorted.
type marshaler interface{ Marshal() ([]byte, error) }

func sameEncoding(a, b client.Object) bool {
	left, ok := a.(marshaler)
	right, both := b.(marshaler)
	if !ok || !both {
		return false
	}
	one, err := left.Marshal()
	if err != nil {
		return false
	}
	other, err := right.Marshal()
	return err == nil && bytes.Equal(one, other)
}

// onlyStatusDiffers reports whether two objects of one type mean the same but
// for their status.
func onlyStatusDiffers(a, b client.Object) bool {
	left, right := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	status := left.FieldByName(statusField)
	if !status.IsValid() {
		return false
	}
	mixed := reflect.New(right.Type())
	mixed.Elem().Set(right)
	mixed.Elem().FieldByName(statusField).Set(status)
	object, ok := mixed.Interface().(client.Object)
	return ok && equal(a, object)
}
