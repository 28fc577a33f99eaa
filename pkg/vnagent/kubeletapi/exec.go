// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"errors"
	"net/http"
	"net/url"
)

// exec is /exec/<namespace>/<pod>/<container>: runs a command and connects to
// it. The kubelet's parameters are named from the command's side (input), the
// subresource's from the process's (stdin).
func exec() endpoint {
	parameters := standardStreams()
	parameters["command"] = parameter{to: "command", check: anything, repeated: true}
	return endpoint{
		name:        "exec",
		container:   true,
		methods:     []string{http.MethodGet, http.MethodPost},
		subresource: "exec",
		query: func(target target, kubelet url.Values) (url.Values, error) {
			query, err := translate(kubelet, parameters)
			if err != nil {
				return nil, err
			}
			if len(query["command"]) == 0 {
				return nil, errors.New(`query parameter "command" is required`)
			}
			return connect(query, target)
		},
	}
}

// standardStreams are the parameters that exec and attach share.
func standardStreams() map[string]parameter {
	return map[string]parameter{
		"input":  {to: "stdin", check: boolean},
		"output": {to: "stdout", check: boolean},
		"error":  {to: "stderr", check: boolean},
		"tty":    {to: "tty", check: boolean},
	}
}

// connect completes the query of exec and attach. The API of pods takes an
// absent stdout or stderr for true; here it means false, so it is said.
func connect(query url.Values, target target) (url.Values, error) {
	connected := false
	for _, name := range []string{"stdin", "stdout", "stderr"} {
		if query.Get(name) == "true" {
			connected = true
		} else {
			query.Set(name, "false")
		}
	}
	if !connected {
		return nil, errors.New(`at least one of "input", "output" and "error" must be true`)
	}
	query.Set("container", target.container)
	return query, nil
}
