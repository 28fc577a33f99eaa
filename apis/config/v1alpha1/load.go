// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"errors"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Configuration is what Load needs to know of a kind.
type Configuration interface {
	// Type returns the kind's own TypeMeta, inside of the value.
	Type() *metav1.TypeMeta
	// KindName returns the kind that a file must name.
	KindName() string
	// SetDefaults sets every field that is unset. It is idempotent.
	SetDefaults()
	// Profiles reports whether profiles are served.
	Profiles() bool
	// Validate returns everything that is wrong with a value that has its defaults.
	Validate() field.ErrorList
}

// Load fills into from the YAML or JSON file at path, sets defaults and
// validates. An empty path means defaults only. Decoding is strict: field
// names match exactly, and unknown or repeated fields are errors. Every error
// names the file; into is not usable after one.
func Load(path string, into Configuration) error {
	if path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading the configuration: %w", err)
		}
		if err := decode(content, into); err != nil {
			return fmt.Errorf("decoding configuration %s: %w", path, err)
		}
	}
	into.SetDefaults()
	*into.Type() = typeOf(into)
	if errs := into.Validate(); len(errs) > 0 {
		return fmt.Errorf("configuration %s is not valid: %w", path, errs.ToAggregate())
	}
	return nil
}

func decode(content []byte, into Configuration) error {
	asJSON, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(asJSON, into)
	if err != nil {
		return err
	}
	if len(strict) > 0 {
		return errors.Join(strict...)
	}
	if got, want := *into.Type(), typeOf(into); got != want {
		return fmt.Errorf("it is a %q of %q, not a %q of %q", got.Kind, got.APIVersion, want.Kind, want.APIVersion)
	}
	return nil
}

func typeOf(configuration Configuration) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: GroupVersion.String(), Kind: configuration.KindName()}
}
