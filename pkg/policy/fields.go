// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"reflect"
	"strings"
)

// Disposition says what becomes of a field of a tenant's object.
type Disposition int

const (
	// Undecided is a field that nobody has decided about: refused when set, so
	// that a field of a newer Kubernetes never crosses by accident.
	Undecided Disposition = iota
	// Copy passes the value on; a struct's own fields are decided one by one.
	Copy
	// Rewrite leaves the field to a step of the kind, which gives the super
	// object a value of its own.
	Rewrite
	// Drop leaves the field out, silently: it has no meaning outside of the
	// tenant, or Kubernetes sets it on every object.
	Drop
	// Strip leaves the field out and warns the tenant if it was set.
	Strip
	// Refuse rejects the object if the field is set.
	Refuse
)

// Rule is the disposition of one field with the remedy that is told to the
// tenant where the field is stripped or refused.
type Rule struct {
	Disposition Disposition
	Remedy      string
}

// Fields holds the rules of every struct type that can be reached from a root:
// type name (without package), then Go field name.
type Fields map[string]map[string]Rule

// Finding is one thing that is wrong with a tenant's object.
type Finding struct {
	// Field is the path of the field as users write it, for example
	// spec.containers[0].securityContext.privileged.
	Field string
	// Remedy says what to do about it.
	Remedy string
	// Fatal findings refuse the object; others only warn.
	Fatal bool
}

// Filter returns a value of the same type as in that carries only the fields
// whose rule is Copy, and what was found on the way. in must be a pointer to a
// struct that the rules know; path is how findings name it. The result shares
// memory with in.
func Filter[T any](rules Fields, in *T, path string) (*T, []Finding) {
	f := filter{rules: rules}
	out := new(T)
	f.structure(reflect.ValueOf(in).Elem(), reflect.ValueOf(out).Elem(), path)
	return out, f.findings
}

type filter struct {
	rules    Fields
	findings []Finding
}

func (f *filter) structure(in, out reflect.Value, path string) {
	rules := f.rules[in.Type().Name()]
	for i := range in.NumField() {
		value, field := in.Field(i), in.Type().Field(i)
		if isUnset(value) {
			continue
		}
		fieldPath := joinPath(path, field)
		rule := rules[field.Name]
		switch rule.Disposition {
		case Copy:
			f.value(value, out.Field(i), fieldPath)
		case Rewrite, Drop:
		case Strip:
			f.findings = append(f.findings, Finding{Field: fieldPath, Remedy: rule.Remedy})
		case Refuse:
			f.findings = append(f.findings, Finding{Field: fieldPath, Remedy: rule.Remedy, Fatal: true})
		default:
			f.findings = append(f.findings, Finding{Field: fieldPath, Remedy: "the field is not supported yet; remove it", Fatal: true})
		}
	}
}

// value copies in to out, deciding about every struct that the rules know.
func (f *filter) value(in, out reflect.Value, path string) {
	structType := in.Type()
	for structType.Kind() == reflect.Pointer || structType.Kind() == reflect.Slice {
		structType = structType.Elem()
	}
	if _, known := f.rules[structType.Name()]; !known || structType.Kind() != reflect.Struct {
		out.Set(in)
		return
	}
	switch in.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(structType))
		f.structure(in.Elem(), out.Elem(), path)
	case reflect.Slice:
		out.Set(reflect.MakeSlice(in.Type(), in.Len(), in.Len()))
		for i := range in.Len() {
			f.value(in.Index(i), out.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		f.structure(in, out, path)
	}
}

// isUnset reports whether a field carries no wish: zero or empty.
func isUnset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}

// joinPath appends a field's JSON name; embedded structs add nothing.
func joinPath(path string, field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "" {
		return path
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
