// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

// shutdownArgs are kube-apiserver's flags for the end of the process, in the
// time that stopTimeout leaves.
func shutdownArgs(o *Options) []string {
	args := []string{
		// A tenant always has clients that watch. Left alone they keep the
		// server for a minute, and the kubelet kills it before: end the watches,
		// and what still hangs on a connection 2 s after that.
		"--shutdown-watch-termination-grace-period=3s",
	}
	if !o.replicated() {
		// There is no other to turn to: say when to come again.
		return append(args, "--shutdown-send-retry-after=true")
	}
	return append(args,
		// Not ready, and serving all the same, until no Service leads here any
		// more: to the others a client is led only when it connects anew.
		"--shutdown-delay-duration=4s",
		// Then every connection is told to end (GOAWAY) after what is under way on
		// it. Requests that still come on one would be refused otherwise, although
		// there is somebody to serve them.
		"--shutdown-send-retry-after=false",
	)
}
