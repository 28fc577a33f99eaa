// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"errors"
	"fmt"
	"strings"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// anyElement stands for every element of a list in a path.
const anyElement = "[*]"

var (
	errPath       = errors.New("not the path of a field, such as .spec.size")
	errNotOurs    = errors.New("apiVersion, kind and metadata are not the rule's to move")
	errElements   = errors.New("a field is copied or reported whole: [*] has no place here")
	errOverlap    = errors.New("one of these fields is within the other")
	errNoSuchList = errors.New("a list stands where a field should")
)

// path is a compiled FieldPath that names one field: no [*].
type path []string

// String returns the path as tenants read it: spec.size.
func (p path) String() string { return strings.Join(p, ".") }

// isWithin reports whether p is other, or below it.
func (p path) isWithin(other path) bool {
	if len(p) < len(other) {
		return false
	}
	for i := range other {
		if p[i] != other[i] {
			return false
		}
	}
	return true
}

// parsePath compiles a path that may hold no [*].
func parsePath(field tenancyv1alpha1.FieldPath) (path, error) {
	if err := checkPattern(field); err != nil {
		return nil, err
	}
	if strings.Contains(string(field), anyElement) {
		return nil, fmt.Errorf("%s: %w", field, errElements)
	}
	return strings.Split(string(field), ".")[1:], nil
}

// checkPattern makes sure that a path, with [*] or without, can be met at all.
// The API server checks the same; a rule may come by another way.
func checkPattern(field tenancyv1alpha1.FieldPath) error {
	segments := strings.Split(string(field), ".")
	if len(segments) < 2 || segments[0] != "" {
		return fmt.Errorf("%s: %w", field, errPath)
	}
	for _, segment := range segments[1:] {
		name := strings.TrimRight(strings.ReplaceAll(segment, anyElement, "\x00"), "\x00")
		if name == "" || strings.ContainsAny(name, "[]*\x00 ") {
			return fmt.Errorf("%s: %w", field, errPath)
		}
	}
	switch strings.TrimSuffix(segments[1], anyElement) {
	case "apiVersion", "kind", "metadata":
		return fmt.Errorf("%s: %w", field, errNotOurs)
	}
	return nil
}

// parsePaths compiles paths of which none is within another.
func parsePaths(fields []tenancyv1alpha1.FieldPath) ([]path, error) {
	paths := make([]path, 0, len(fields))
	for _, field := range fields {
		p, err := parsePath(field)
		if err != nil {
			return nil, err
		}
		for _, other := range paths {
			if p.isWithin(other) || other.isWithin(p) {
				return nil, fmt.Errorf(".%s and .%s: %w", other, p, errOverlap)
			}
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// get returns the value at p, which is not copied.
func (p path) get(content map[string]any) (any, bool) {
	var value any = content
	for _, name := range p {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = fields[name]; !ok {
			return nil, false
		}
	}
	return value, true
}

// set puts value at p and makes what is missing on the way.
func (p path) set(content map[string]any, value any) error {
	for _, name := range p[:len(p)-1] {
		next, found := content[name]
		if !found || next == nil {
			made := map[string]any{}
			content[name] = made
			content = made
			continue
		}
		fields, ok := next.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %w", p, errNoSuchList)
		}
		content = fields
	}
	content[p[len(p)-1]] = value
	return nil
}

// remove takes the field at p away.
func (p path) remove(content map[string]any) {
	for _, name := range p[:len(p)-1] {
		fields, ok := content[name].(map[string]any)
		if !ok {
			return
		}
		content = fields
	}
	delete(content, p[len(p)-1])
}
