// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kind says what a synced kind is.
//
// A kind is data: a Downward literal for what a tenant writes and the super
// cluster realises, or an Upward literal for what the super cluster owns and a
// tenant may see. Its functions are pure translations between two objects:
//
//	var configMap = kind.Downward[*corev1.ConfigMap]{
//		Object: &corev1.ConfigMap{},
//		Down: func(_ context.Context, _ kind.Env, tenant, super *corev1.ConfigMap) error {
//			super.Data, super.BinaryData, super.Immutable = tenant.Data, tenant.BinaryData, tenant.Immutable
//			return nil
//		},
//	}
//
// Down writes into a copy of the live super object, or into an empty one.
// Creating, updating and repairing drift are then the same call followed by
// "is it different?", and what the super cluster assigned survives because
// Down leaves it alone. Up is the mirror of Down.
//
// A kind never does I/O, never stamps identity, never touches metadata that a
// tenant sent (package policy and the engine do), and has two words for
// trouble: Wait and Reject.
package kind
