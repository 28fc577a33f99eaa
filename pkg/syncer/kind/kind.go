// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/names"
)

// Lifecycle says what ties the lives of a tenant object and its super object together.
type Lifecycle int

const (
	// Declared objects are wishes: the super object exists while the tenant's
	// does, and is made again if it vanishes.
	Declared Lifecycle = iota
	// Process objects run once. The tenant's object waits, terminating, until
	// the super object is confirmed gone; a super object that vanished after
	// it was bound takes the tenant's object with it, so that whoever made
	// that one makes another.
	Process
)

// Downward is a kind whose desired state a tenant writes and the super cluster
// realises. T is a pointer to an API type. The functions are called
// concurrently for different objects.
type Downward[T client.Object] struct {
	// Object is an empty T; the scheme gives its kind.
	Object T

	// Down makes super ask for what tenant asks for. super is a copy of the
	// live object, or empty if there is none; what Down leaves alone keeps its
	// super value. Labels and annotations that may cross are already there; the
	// engine stamps name, namespace and ownership afterwards. Down gives the
	// same result for the same input, never modifies tenant and may keep parts
	// of it (super must not be changed in place later).
	Down func(ctx context.Context, env Env, tenant, super T) error

	// Up makes tenant report what super reports: status, and spec fields that
	// super allocates. tenant is a copy. Nil means that there is nothing to report.
	Up func(ctx context.Context, env Env, super, tenant T) error

	// Select says whether an object takes part at all. Nil selects every
	// object. An object that is not selected has no super object.
	Select func(tenant T) bool

	// SuperKey maps the tenant's key to the super object's. Nil means the
	// tenant namespace's super namespace and the same name.
	SuperKey func(tenant names.Tenant, key types.NamespacedName) types.NamespacedName

	// Lifecycle is Declared by default.
	Lifecycle Lifecycle

	// Accepted reports whether super has taken the object up: a node has said so, or
	// the scheduler that there is none. How many of a tenant's wait for that is
	// bounded. Required with Placement.
	Accepted func(super T) bool
	// Placement returns the node on which the tenant sees the object once super
	// is placed, or "" while it is not. The engine binds the tenant's object to
	// it. Only for pods.
	Placement func(super, tenant T) string

	// Bound reports that the engine has bound the tenant's object, which leaves
	// AnnotationBound on it. Required with Placement.
	Bound func(tenant T) bool

	// Finished reports that the object has run to its end: it stays in the
	// tenant even if the super object vanishes. Only for Lifecycle Process.
	Finished func(tenant T) bool

	// Attach returns a Secret that super needs beside it, or nil. super is live.
	Attach func(ctx context.Context, env Env, tenant, super T) (*Attachment, error)

	// References narrow a kind to objects that others of the same tenant
	// namespace refer to. None means that references do not matter.
	References []References

	// Uses lists kinds that Down reads through Env.Tenant: their caches are
	// synced before the first object is. Down returns Wait for what is missing.
	Uses []client.Object

	// Triggers are changes elsewhere that re-run objects of this kind. Down
	// reads those of the tenant through Env.Tenant; they need not be in Uses too.
	Triggers []Trigger

	// HideMetadata keeps the tenant's labels and annotations back, all of them,
	// and leaves super's alone.
	HideMetadata bool

	// UsesFacts re-runs the kind for all objects of a tenant when Facts change.
	UsesFacts bool

	// Subresources are the parts of super that its API server takes only
	// through a subresource. The engine sends each that differs as a patch of
	// its own, under an optimistic lock, and then the rest. They play no part in
	// a creation.
	Subresources []Subresource[T]

	// Demand returns what super, which may not have been created yet, asks of the
	// super cluster: it counts against the tenant's quota. Nil is nothing any more.
	// catalogue reads what the super cluster offers to all, from a cache. Without
	// Demand objects of the kind need no quota.
	Demand func(ctx context.Context, catalogue client.Reader, super T) (corev1.ResourceList, error)

	// Hold makes tenant, a copy, report why there is no super object: err is
	// what Down or the super cluster said. Nil means that events say enough.
	Hold func(tenant T, err error)

	// Explain turns an error of the super API server into a Reject that the
	// tenant can act on, or returns nil. The write is retried with back-off.
	Explain func(tenant T, err error) error

	// Heal changes the tenant's object, of which tenant is a copy, so that what
	// was refused can work, and reports whether it did. refusal is the error of
	// the API server that refused: super's for what Down wrote, the tenant's for
	// what Up did. It is nil at the begin of every pass, before Select, which is
	// when a change of several steps goes on; the object itself must hold how far
	// it is, and bound how often it is tried. Only for Lifecycle Declared.
	Heal func(env Env, tenant T, refusal error) bool
}

// Trigger says which objects of a kind to look at again when an object of
// another kind changes.
type Trigger struct {
	// From is an empty object of the other kind.
	From client.Object
	// InSuper means objects of the super cluster that carry the tenant's stamp;
	// otherwise the tenant's own are meant.
	InSuper bool
	// Keys returns the tenant's keys of what to look at. from may be gone, and
	// must not be changed, as must nothing that tenant, a cache, returns. Nil
	// means all of the tenant's objects: for what changes rarely.
	Keys func(ctx context.Context, tenant client.Reader, from client.Object) []types.NamespacedName
}

// Subresource is a part of an object that is written on a path of its own.
type Subresource[T client.Object] struct {
	// Name is the last element of the path, for example "resize".
	Name string
	// Copy gives to the part that from has, and nothing else. Neither changes
	// what it shares with a third object.
	Copy func(from, to T)
}

// References says how other objects of a tenant refer to objects of a kind.
type References struct {
	// From is an empty object of the referring kind, in the same namespace.
	From client.Object
	// Names returns the names that an object of that kind refers to.
	Names func(from client.Object) []string
}

// Upward is a kind that the super cluster owns and a tenant may see. The
// tenant's copy has the same name.
//
// There are three sorts. An object about something of one tenant is shown to
// that tenant in the namespace of what it is about (events): the copy has a
// life of its own. With Mirror, it is cluster-scoped and the copy lives as long
// as the super object (persistent volumes). An object about nothing, without
// About, is a cluster-scoped catalogue entry (storage classes), and a Mirror for
// every tenant that may see it.
//
// The copy of a Mirror carries the label managed-by=syncer: it is repaired when
// the tenant edits or deletes it, and removed when there is nothing to see any
// more. An object of the tenant's own of the same name is never touched.
type Upward[T client.Object] struct {
	// Object is an empty T.
	Object T

	// Fields narrows what is watched in the super cluster. Nil watches all
	// objects of the kind.
	Fields fields.Selector
	// Pace is how many of one tenant's are written in a second while its pods have
	// work to be done for them, once PaceBurst of them were written: what is only told
	// must not hold up what runs. Zero, the default, holds nothing back.
	Pace, PaceBurst int
	// Urgent says that super is shown before others that wait. Nil says that none is.
	Urgent func(super T) bool

	// About returns the super object, and an empty object of its kind, that
	// super tells about. The engine looks up whose that is; an object about
	// nothing that the syncer stamped is invisible. Nil makes a catalogue.
	About func(super T) (client.Object, types.NamespacedName, types.UID)

	// Mirror ties the life of the tenant's copy to super's. A catalogue is one
	// without saying so.
	Mirror bool

	// Visible says whether a tenant with these facts may see super. Required:
	// nothing is visible by default.
	Visible func(facts Facts, super T) bool

	// Up writes the tenant's copy: tenant is a copy of what there is, or empty.
	// owner is the tenant's key and UID of what super tells about, and zero for
	// a catalogue. Of a Mirror, whose subject may be gone already, its UID and
	// Object may be empty. Up never copies metadata but what it names.
	Up func(env Env, super T, owner Subject, tenant T) error
}

// Subject identifies a tenant's object.
type Subject struct {
	types.NamespacedName
	// UID of the tenant's object.
	UID types.UID
	// Super is the key of its super object.
	Super types.NamespacedName
	// Object is its super object.
	Object client.Object
}
