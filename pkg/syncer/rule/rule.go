// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

var (
	errIncomplete = errors.New("a rule needs a kind with group and version, a direction and fields to copy, or a preset")
	errPlatform   = errors.New("the platform's own kinds are not synced")
	errNoSelect   = errors.New("a kind that goes up needs select: nothing is shown to tenants by default")
)

// Rule is a compiled rule.
type Rule struct {
	// Name of the rule in its class.
	Name string
	// Kind that the rule is about.
	Kind schema.GroupVersionKind
	// Direction of the rule.
	Direction tenancyv1alpha1.CustomResourceDirection
	// Key is the same for rules that do the same, whatever they are called.
	Key string

	removed      bool
	copy, report []path
	selects      *expression
	refusals     []refusal
	references   references
	classes      []classReference
	shared       sharedBy
	fixed        []fixedField
	annotation   string
}

// refusal is a compiled CustomResourceRefusal.
type refusal struct {
	tenancyv1alpha1.CustomResourceRefusal
	expression *expression
}

// Compile compiles a rule of a class.
func Compile(source tenancyv1alpha1.CustomResourceRule) (*Rule, error) {
	expanded, err := expand(source)
	if err != nil {
		return nil, err
	}
	spec := expanded.rule
	r := &Rule{
		Name: source.Name, Kind: schema.GroupVersionKind{Group: spec.Group, Version: spec.Version, Kind: spec.Kind},
		Direction: spec.Direction, removed: source.State == tenancyv1alpha1.StateRemoved,
		classes: expanded.classes, shared: expanded.shared,
		fixed: expanded.fixed, annotation: expanded.annotation,
	}
	if err := r.check(spec); err != nil {
		return nil, err
	}
	if r.Key, err = keyOf(source); err != nil {
		return nil, err
	}
	if err := r.compileFields(spec); err != nil {
		return nil, err
	}
	return r, r.compileExpressions(spec)
}

// check repeats what the API server checks and what safety rests on.
func (r *Rule) check(spec tenancyv1alpha1.CustomResourceRule) error {
	if spec.Group == "" || spec.Version == "" || spec.Kind == "" || spec.Direction == "" || len(spec.Copy) == 0 {
		return errIncomplete
	}
	if spec.Group == "virtualcluster.io" || strings.HasSuffix(spec.Group, ".virtualcluster.io") {
		return fmt.Errorf("group %s: %w", spec.Group, errPlatform)
	}
	if spec.Direction == tenancyv1alpha1.DirectionUp && spec.Select == "" && r.shared == nil {
		return errNoSelect
	}
	return nil
}

func (r *Rule) compileFields(spec tenancyv1alpha1.CustomResourceRule) error {
	var err error
	if r.copy, err = parsePaths(spec.Copy); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if r.report, err = parsePaths(spec.Report); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, reported := range r.report {
		for _, copied := range r.copy {
			if copied.isWithin(reported) {
				return fmt.Errorf("copy .%s and report .%s: %w", copied, reported, errOverlap)
			}
		}
	}
	r.references, err = compileReferences(spec.References)
	return err
}

func (r *Rule) compileExpressions(spec tenancyv1alpha1.CustomResourceRule) error {
	var err error
	if spec.Select != "" {
		if r.selects, err = compileExpression(spec.Select); err != nil {
			return fmt.Errorf("select: %w", err)
		}
	}
	for i, source := range spec.Refuse {
		compiled, err := compileExpression(source.Rule)
		if err != nil {
			return fmt.Errorf("refuse[%d]: %w", i, err)
		}
		r.refusals = append(r.refusals, refusal{source, compiled})
	}
	return nil
}

// keyOf is the rule without its name.
func keyOf(source tenancyv1alpha1.CustomResourceRule) (string, error) {
	source.Name = ""
	key, err := json.Marshal(source)
	if err != nil {
		return "", fmt.Errorf("encoding the rule: %w", err)
	}
	return string(key), nil
}

// expand replaces a preset by what it stands for.
func expand(source tenancyv1alpha1.CustomResourceRule) (preset, error) {
	if source.Preset == "" {
		return preset{rule: source}, nil
	}
	expanded, err := presetOf(source.Preset)
	if err != nil {
		return preset{}, err
	}
	if source.Version != "" {
		expanded.rule.Version = source.Version
	}
	// A class may narrow a preset, never widen it but by namespaces it shares.
	expanded.rule.Select = source.Select
	expanded.rule.Refuse = slices.Concat(expanded.rule.Refuse, source.Refuse)
	expanded.rule.References.SharedNamespaces = source.References.SharedNamespaces
	return expanded, nil
}
