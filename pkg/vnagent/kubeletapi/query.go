// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// A checker returns value in the form in which it is passed on, or an error
// that says what it should have been.
type checker func(value string) (string, error)

// parameter is one parameter that an endpoint understands.
type parameter struct {
	// to is its name in the API of pods.
	to string
	// check is applied to each value.
	check checker
	// repeated allows more than one value.
	repeated bool
}

// translate passes on the parameters of allowed, under their names in the API
// of pods. A parameter that is not allowed, or comes twice, is an error: what
// the super cluster is asked is never more than what was understood here.
func translate(kubelet url.Values, allowed map[string]parameter) (url.Values, error) {
	query := url.Values{}
	for name, values := range kubelet {
		p, ok := allowed[name]
		if !ok {
			return nil, fmt.Errorf("query parameter %q is not supported", printable(name))
		}
		if len(values) > 1 && !p.repeated {
			return nil, fmt.Errorf("query parameter %q is repeated", name)
		}
		for _, value := range values {
			checked, err := p.check(value)
			if err != nil {
				return nil, fmt.Errorf("query parameter %q %w", name, err)
			}
			query.Add(p.to, checked)
		}
	}
	return query, nil
}

// printable bounds what of a client's input an error repeats.
func printable(name string) string {
	const longest = 64
	if len(name) > longest {
		return name[:longest]
	}
	return name
}

func anything(value string) (string, error) { return value, nil }

func boolean(value string) (string, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return "", fmt.Errorf("must be a boolean")
	}
	return strconv.FormatBool(b), nil
}

// atLeast checks for a decimal integer.
func atLeast(lowest int64) checker {
	return func(value string) (string, error) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < lowest {
			return "", fmt.Errorf("must be an integer of at least %d", lowest)
		}
		return strconv.FormatInt(n, 10), nil
	}
}

func timestamp(value string) (string, error) {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return "", fmt.Errorf("must be a time as in RFC 3339")
	}
	return t.UTC().Format(time.RFC3339), nil
}

func oneOf(values ...string) checker {
	return func(value string) (string, error) {
		if !slices.Contains(values, value) {
			return "", fmt.Errorf("must be one of %v", values)
		}
		return value, nil
	}
}

func portNumber(value string) (string, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("must be a port in 1-65535")
	}
	return strconv.FormatUint(n, 10), nil
}
