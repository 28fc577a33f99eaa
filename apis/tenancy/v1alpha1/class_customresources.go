// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// CustomResourceRule says how the objects of one kind that a
// CustomResourceDefinition defines are synced. It either names a preset, which
// says it all, or a kind with its direction and fields. The definition must be
// installed on both sides; until it is, nothing happens, and nothing that was
// synced is removed.
//
// +kubebuilder:validation:XValidation:rule="has(self.preset) != has(self.kind)",message="name either a preset or a kind"
// +kubebuilder:validation:XValidation:rule="has(self.kind) ? has(self.group) && has(self.version) && has(self.direction) && has(self.copy) : !has(self.group) && !has(self.direction) && !has(self.copy) && !has(self.report)",message="a kind needs group, version, direction and copy; a preset allows none of them but version"
// +kubebuilder:validation:XValidation:rule="!has(self.direction) || self.direction == 'Down' || !has(self.report)",message="nothing is reported of what goes up"
type CustomResourceRule struct {
	// name of the rule, unique in its class.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// preset is a rule that the platform brings.
	// +optional
	Preset CustomResourcePreset `json:"preset,omitempty"`
	// state of the rule. Removed takes the rule's objects out of the super
	// cluster and keeps them out: the way to end a rule. A rule that is deleted
	// from the class leaves its super objects as they are.
	// +optional
	// +kubebuilder:default=Synced
	State CustomResourceState `json:"state,omitempty"`
	// group of the kind.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$`
	// +kubebuilder:validation:XValidation:rule="self != 'virtualcluster.io' && !self.endsWith('.virtualcluster.io')",message="the platform's own kinds are not synced"
	Group string `json:"group,omitempty"`
	// version of the kind that both sides serve. A preset has one of its own,
	// which this replaces.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Version string `json:"version,omitempty"`
	// kind, for example Certificate.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Kind string `json:"kind,omitempty"`
	// direction says who writes the objects: Down is for those of tenants that
	// the super cluster acts on (namespaced kinds only).
	// +optional
	Direction CustomResourceDirection `json:"direction,omitempty"`
	// copy lists the fields that cross from the one who writes the objects, and
	// no others do: .spec, or .spec.a and .spec.b.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Copy []FieldPath `json:"copy,omitempty"`
	// report lists the fields that go back to the tenant: .status, and fields of
	// the spec that the super cluster fills in. What they name is never copied down.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Report []FieldPath `json:"report,omitempty"`
	// select is a CEL expression over object; objects for which it is false take
	// no part. An object for which it cannot be evaluated is refused.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Select string `json:"select,omitempty"`
	// refuse lists what is refused; the tenant is told on its object.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Refuse []CustomResourceRefusal `json:"refuse,omitempty"`
	// references says which of the copied fields name other objects.
	// +optional
	References CustomResourceReferences `json:"references,omitempty"`
}

// FieldPath names a field: .spec.template.name. [*] stands for every element of
// a list: .spec.rules[*].backend.namespace.
//
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:Pattern=`^(\.[A-Za-z_][A-Za-z0-9_-]*(\[\*\])*)+$`
// +kubebuilder:validation:XValidation:rule="!self.matches('^[.](apiVersion|kind|metadata)([.].*)?$')",message="apiVersion, kind and metadata are not the rule's to move"
type FieldPath string

// CustomResourceDirection says who writes the objects of a kind.
//
// +kubebuilder:validation:Enum=Down;Up
type CustomResourceDirection string

// Values of CustomResourceDirection.
const (
	// DirectionDown: tenants write them, and the super cluster acts on them.
	DirectionDown CustomResourceDirection = "Down"
	// DirectionUp: the super cluster has them, and tenants see them.
	DirectionUp CustomResourceDirection = "Up"
)

// CustomResourceState says whether a rule is in force.
//
// +kubebuilder:validation:Enum=Synced;Removed
type CustomResourceState string

// Values of CustomResourceState.
const (
	// StateSynced: the rule's objects are synced.
	StateSynced CustomResourceState = "Synced"
	// StateRemoved: the rule's objects are taken away.
	StateRemoved CustomResourceState = "Removed"
)

// CustomResourcePreset names a rule that the platform brings.
//
// +kubebuilder:validation:Enum=VolumeSnapshot;VolumeSnapshotClass;Gateway;GatewayClass;HTTPRoute;GRPCRoute;TLSRoute
type CustomResourcePreset string

// Values of CustomResourcePreset.
const (
	// PresetVolumeSnapshot syncs VolumeSnapshots of snapshot.storage.k8s.io/v1 down.
	PresetVolumeSnapshot CustomResourcePreset = "VolumeSnapshot"
	// PresetVolumeSnapshotClass shows tenants the VolumeSnapshotClasses of sharing.volumeSnapshotClasses.
	PresetVolumeSnapshotClass CustomResourcePreset = "VolumeSnapshotClass"
	// PresetGatewayClass shows tenants the GatewayClasses of sharing.gatewayClasses.
	PresetGatewayClass CustomResourcePreset = "GatewayClass"
	// PresetGateway syncs Gateways of gateway.networking.k8s.io/v1 down.
	PresetGateway CustomResourcePreset = "Gateway"
	// PresetHTTPRoute syncs HTTPRoutes of gateway.networking.k8s.io/v1 down.
	PresetHTTPRoute CustomResourcePreset = "HTTPRoute"
	// PresetGRPCRoute syncs GRPCRoutes of gateway.networking.k8s.io/v1 down.
	PresetGRPCRoute CustomResourcePreset = "GRPCRoute"
	// PresetTLSRoute syncs TLSRoutes of gateway.networking.k8s.io/v1 down.
	PresetTLSRoute CustomResourcePreset = "TLSRoute"
)

// CustomResourceRefusal refuses objects, and says so.
type CustomResourceRefusal struct {
	// rule is a CEL expression over object; objects for which it is true, or
	// cannot be evaluated, are refused.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Rule string `json:"rule"`
	// field that is at fault, as the tenant writes it: spec.size.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Field string `json:"field"`
	// message tells the tenant what to do.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`
}

// CustomResourceReferences says which of the copied fields name other objects.
// A copied field with "namespace" in its name that stands in none of the lists
// is refused, so that no object reaches out of its tenant.
type CustomResourceReferences struct {
	// namespaces are fields that hold a namespace of the tenant. They become the
	// super cluster's namespace of it, and again the tenant's in what is reported.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Namespaces []FieldPath `json:"namespaces,omitempty"`
	// sharedNamespaces are namespaces of the super cluster that the tenants'
	// objects may name as they are, such as the one of a shared Gateway. A
	// tenant's own namespace of such a name cannot be referred to.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:MinLength=1
	SharedNamespaces []string `json:"sharedNamespaces,omitempty"`
	// unrelated are fields that have "namespace" in their names and lead nowhere,
	// or that refuse deals with. What is below them is not looked at.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Unrelated []FieldPath `json:"unrelated,omitempty"`
}
