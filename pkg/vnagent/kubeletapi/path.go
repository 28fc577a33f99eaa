// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"errors"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// target is what a path names.
type target struct {
	endpoint                  string
	namespace, pod, container string
}

// errPath says that a path is none of this API's. What is wrong with it is not told.
var errPath = errors.New("the path is not of this API")

// parsePath reads /<endpoint>/<namespace>/<pod>[/<container>] from the path as
// it came over the wire. Each segment is decoded once and must then be a legal
// name, so neither an encoded separator nor a dot segment survives.
func parsePath(escaped string) (target, error) {
	const shortest, longest = 4, 5
	segments := strings.Split(escaped, "/")
	if len(segments) < shortest || len(segments) > longest || segments[0] != "" {
		return target{}, errPath
	}
	t := target{endpoint: segments[1]}
	var err error
	if t.namespace, err = segment(segments[2], validation.IsDNS1123Label); err != nil {
		return target{}, err
	}
	if t.pod, err = segment(segments[3], validation.IsDNS1123Subdomain); err != nil {
		return target{}, err
	}
	if len(segments) == longest {
		t.container, err = segment(segments[4], validation.IsDNS1123Label)
	}
	return t, err
}

func segment(escaped string, problems func(string) []string) (string, error) {
	// A legal name has at most 253 characters, and escaping triples one.
	const longest = 3 * validation.DNS1123SubdomainMaxLength
	if len(escaped) > longest {
		return "", errPath
	}
	name, err := url.PathUnescape(escaped)
	if err != nil || len(problems(name)) > 0 {
		return "", errPath
	}
	return name, nil
}
