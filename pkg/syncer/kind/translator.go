// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/names"
)

// Direction says who writes a kind.
type Direction string

const (
	// Down is tenant to super.
	Down Direction = "down"
	// Up is super to tenant.
	Up Direction = "up"
)

// Translator is a kind with its type erased, so that one engine runs them all.
// It is made by Downward.Translator or Upward.Translator, and its zero value
// is of no use. Nil functions mean what they mean in Downward and Upward.
type Translator struct {
	// Name is the Go name of the type, for logs and metrics.
	Name string
	// Direction is Down for Downward and Up for Upward.
	Direction Direction

	// The fields of Downward.
	Lifecycle    Lifecycle
	Down         func(ctx context.Context, env Env, tenant, super client.Object) error
	Up           func(ctx context.Context, env Env, super, tenant client.Object) error
	Select       func(tenant client.Object) bool
	SuperKey     func(tenant names.Tenant, key types.NamespacedName) types.NamespacedName
	Accepted     func(super client.Object) bool
	Placement    func(super, tenant client.Object) string
	Finished     func(tenant client.Object) bool
	Attach       func(ctx context.Context, env Env, tenant, super client.Object) (*Attachment, error)
	Bound        func(tenant client.Object) bool
	References   []References
	Uses         []client.Object
	Triggers     []Trigger
	HideMetadata bool
	UsesFacts    bool
	Demand       func(ctx context.Context, catalogue client.Reader, super client.Object) (corev1.ResourceList, error)
	Explain      func(tenant client.Object, err error) error
	Hold         func(tenant client.Object, err error)
	Subresources []Subresource[client.Object]
	Heal         func(env Env, tenant client.Object, refusal error) bool

	// The fields of Upward. Mirror is true for a catalogue too.
	About  func(super client.Object) (client.Object, types.NamespacedName, types.UID)
	Mirror bool
	Fields fields.Selector
	// Pace, PaceBurst and Urgent are those of Upward.
	Pace, PaceBurst int
	Urgent          func(super client.Object) bool
	Visible         func(facts Facts, super client.Object) bool
	Show            func(env Env, super client.Object, owner Subject, tenant client.Object) error

	object client.Object
}

// Catalogue reports a kind whose super objects are shown to every tenant that
// may see them.
func (t *Translator) Catalogue() bool { return t.Direction == Up && t.About == nil }

// New returns an empty object of the kind.
func (t *Translator) New() client.Object { return t.object.DeepCopyObject().(client.Object) }

// Translator erases the type. It panics if Object or Down is missing: that is
// a mistake in the source that every test meets.
func (k Downward[T]) Translator() *Translator {
	t := &Translator{
		Name: typeName(k.Object), Direction: Down, object: k.Object,
		Lifecycle: k.Lifecycle, SuperKey: k.SuperKey, References: k.References, Uses: k.Uses,
		Triggers: k.Triggers, HideMetadata: k.HideMetadata, UsesFacts: k.UsesFacts,
	}
	if k.Down == nil {
		panic(fmt.Sprintf("kind %s has no Down", t.Name))
	}
	t.Down = func(ctx context.Context, env Env, tenant, super client.Object) error {
		return k.Down(ctx, env, tenant.(T), super.(T))
	}
	if t.SuperKey == nil {
		t.SuperKey = defaultSuperKey
	}
	k.eraseOptional(t)
	return t
}

func (k Downward[T]) eraseOptional(t *Translator) {
	if k.Up != nil {
		t.Up = func(ctx context.Context, env Env, super, tenant client.Object) error {
			return k.Up(ctx, env, super.(T), tenant.(T))
		}
	}
	if k.Select != nil {
		t.Select = func(tenant client.Object) bool { return k.Select(tenant.(T)) }
	}
	if k.Accepted != nil {
		t.Accepted = func(super client.Object) bool { return k.Accepted(super.(T)) }
	}
	if k.Placement != nil {
		t.Placement = func(super, tenant client.Object) string { return k.Placement(super.(T), tenant.(T)) }
	}
	if k.Bound != nil {
		t.Bound = func(tenant client.Object) bool { return k.Bound(tenant.(T)) }
	}
	if k.Finished != nil {
		t.Finished = func(tenant client.Object) bool { return k.Finished(tenant.(T)) }
	}
	if k.Attach != nil {
		t.Attach = func(ctx context.Context, env Env, tenant, super client.Object) (*Attachment, error) {
			return k.Attach(ctx, env, tenant.(T), super.(T))
		}
	}
	for _, sub := range k.Subresources {
		t.Subresources = append(t.Subresources, Subresource[client.Object]{
			Name: sub.Name, Copy: func(from, to client.Object) { sub.Copy(from.(T), to.(T)) },
		})
	}
	if k.Demand != nil {
		t.Demand = func(ctx context.Context, catalogue client.Reader, super client.Object) (corev1.ResourceList, error) {
			return k.Demand(ctx, catalogue, super.(T))
		}
	}
	k.eraseAnswers(t)
}

// eraseAnswers does the functions that say what it means that a write was refused.
func (k Downward[T]) eraseAnswers(t *Translator) {
	if k.Hold != nil {
		t.Hold = func(tenant client.Object, err error) { k.Hold(tenant.(T), err) }
	}
	if k.Heal != nil {
		t.Heal = func(env Env, tenant client.Object, refusal error) bool { return k.Heal(env, tenant.(T), refusal) }
	}
	if k.Explain != nil {
		t.Explain = func(tenant client.Object, err error) error { return k.Explain(tenant.(T), err) }
	}
}

// Translator erases the type. It panics if a function is missing.
func (k Upward[T]) Translator() *Translator {
	t := &Translator{
		Name: typeName(k.Object), Direction: Up, object: k.Object, Fields: k.Fields, Pace: k.Pace, PaceBurst: k.PaceBurst,
		// What the class shares decides who sees a catalogue.
		Mirror: k.Mirror || k.About == nil, UsesFacts: k.About == nil,
	}
	if k.Visible == nil || k.Up == nil {
		panic(fmt.Sprintf("kind %s lacks Visible or Up", t.Name))
	}
	if k.About != nil {
		t.About = func(super client.Object) (client.Object, types.NamespacedName, types.UID) { return k.About(super.(T)) }
	}
	if k.Urgent != nil {
		t.Urgent = func(super client.Object) bool { return k.Urgent(super.(T)) }
	}
	t.Visible = func(facts Facts, super client.Object) bool { return k.Visible(facts, super.(T)) }
	t.Show = func(env Env, super client.Object, owner Subject, tenant client.Object) error {
		return k.Up(env, super.(T), owner, tenant.(T))
	}
	return t
}

func defaultSuperKey(tenant names.Tenant, key types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: tenant.Namespace(key.Namespace), Name: key.Name}
}

func typeName(object client.Object) string { return reflect.TypeOf(object).Elem().Name() }
