// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
)

const (
	// costLimit bounds one evaluation, whatever a tenant's object holds. It is
	// what an API server allows an expression of an admission policy.
	costLimit = 1_000_000
	// interruptAfter is how many elements are looked at between two looks at the
	// request's time limit.
	interruptAfter = 100
)

var errNotBool = errors.New("the expression must be true or false")

// expression is a compiled CEL expression over object.
type expression struct{ program cel.Program }

// compileExpression compiles an expression over object.
func compileExpression(source string) (*expression, error) {
	env, err := cel.NewEnv(
		cel.Variable("object", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), cel.DefaultUTCTimeZone(true),
		ext.Strings(ext.StringsVersion(2)), ext.Sets(),
	)
	if err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, fmt.Errorf("compiling %q: %w", source, issues.Err())
	}
	if ast.OutputType() != cel.BoolType && ast.OutputType() != cel.DynType {
		return nil, fmt.Errorf("%q is of type %s: %w", source, ast.OutputType(), errNotBool)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit), cel.InterruptCheckFrequency(interruptAfter))
	if err != nil {
		return nil, fmt.Errorf("planning %q: %w", source, err)
	}
	return &expression{program}, nil
}

// eval evaluates the expression for an object.
func (e *expression) eval(ctx context.Context, object map[string]any) (bool, error) {
	result, _, err := e.program.ContextEval(ctx, map[string]any{"object": object})
	if err != nil {
		return false, err
	}
	return asBool(result)
}

// evalNow is eval without a time limit; what it may cost bounds it as well.
func (e *expression) evalNow(object map[string]any) (bool, error) {
	result, _, err := e.program.Eval(map[string]any{"object": object})
	if err != nil {
		return false, err
	}
	return asBool(result)
}

func asBool(result ref.Val) (bool, error) {
	value, ok := result.Value().(bool)
	if !ok {
		return false, errNotBool
	}
	return value, nil
}
