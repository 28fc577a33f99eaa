// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

// ClaimFields returns the disposition of every field that can be reached from a
// PersistentVolumeClaimSpec.
//
// A claim asks for a new volume of a shared class and for no particular one:
// what names or selects a volume could reach another tenant's or the
// platform's. What is copied from, dataSource, lies in the claim's namespace.
func ClaimFields() Fields {
	const spec = "PersistentVolumeClaimSpec"
	rules := Fields{}
	rules.copies(spec, "AccessModes", "Resources", "StorageClassName", "VolumeMode", "DataSource", "DataSourceRef")
	rules.rewrites(spec, "VolumeName")
	rules.refuses(spec, "choosing a volume by its labels is not allowed; name a storageClassName, which makes a new one", "Selector")
	rules.refuses(spec, "volume attributes classes are not shared; remove it", "VolumeAttributesClassName")
	rules.copies("VolumeResourceRequirements", "Limits", "Requests")
	rules.copies("TypedLocalObjectReference", "APIGroup", "Kind", "Name")
	rules.copies("TypedObjectReference", "APIGroup", "Kind", "Name")
	rules.refuses("TypedObjectReference", "copying from another namespace is not allowed; remove it", "Namespace")
	return rules
}
