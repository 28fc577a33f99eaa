// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kinds/pod"
)

// All returns every kind, in the order in which they start.
func All() []*kind.Translator {
	return []*kind.Translator{
		namespace().Translator(),
		configMap().Translator(),
		secret().Translator(),
		service().Translator(),
		endpointSlice().Translator(),
		pod.Kind().Translator(),
		persistentVolumeClaim().Translator(),
		persistentVolume().Translator(),
		ingress().Translator(),
		networkPolicy().Translator(),
		podDisruptionBudget().Translator(),
		event().Translator(),
		storageClass().Translator(),
		priorityClass().Translator(),
		runtimeClass().Translator(),
		ingressClass().Translator(),
	}
}
