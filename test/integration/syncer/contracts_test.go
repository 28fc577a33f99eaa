// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// named is the metadata of an object of the namespace default.
func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}, Annotations: map[string]string{"example.com/note": "kept"}}
}

func containsWord(text, word string) bool { return strings.Contains(text, word) }

func (contracts) Namespace(*testing.T) contract {
	return contract{
		object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "contract", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}}},
		pair: func(_, super client.Object) (any, any) {
			return "baseline", super.GetLabels()["pod-security.kubernetes.io/enforce"]
		},
	}
}

// referTo makes a pod that reads a ConfigMap or Secret.
func (c contracts) referTo(source corev1.EnvFromSource) func(*testing.T) {
	return func(t *testing.T) {
		pod := makePod("default", "reader-"+strings.ToLower(t.Name()[strings.LastIndex(t.Name(), "/")+1:]))
		pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{source}
		must(t, c.tn.client.Create(t.Context(), pod))
	}
}

func (c contracts) ConfigMap(*testing.T) contract {
	type parts struct {
		Data      map[string]string
		Binary    map[string][]byte
		Immutable *bool
		Label     string
		Note      string
	}
	of := func(object client.Object) parts {
		m := object.(*corev1.ConfigMap)
		return parts{m.Data, m.BinaryData, m.Immutable, m.Labels["app"], m.Annotations["example.com/note"]}
	}
	return contract{
		object: &corev1.ConfigMap{ObjectMeta: named("settings"), Data: map[string]string{"a": "1"}, BinaryData: map[string][]byte{"b": {0xff}}, Immutable: ptr.To(true)},
		begin:  c.referTo(corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}),
		pair:   func(tenant, super client.Object) (any, any) { return of(tenant), of(super) },
	}
}

func (c contracts) Secret(*testing.T) contract {
	type parts struct {
		Data      map[string][]byte
		Type      corev1.SecretType
		Immutable *bool
		Label     string
	}
	of := func(object client.Object) parts {
		s := object.(*corev1.Secret)
		return parts{s.Data, s.Type, s.Immutable, s.Labels["app"]}
	}
	return contract{
		object: &corev1.Secret{ObjectMeta: named("login"), Type: corev1.SecretTypeBasicAuth, Data: map[string][]byte{"username": []byte("a"), "password": {0xff}}, Immutable: ptr.To(true)},
		begin:  c.referTo(corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}}}),
		pair:   func(tenant, super client.Object) (any, any) { return of(tenant), of(super) },
	}
}

func (contracts) Service(*testing.T) contract {
	of := func(object client.Object) corev1.ServiceSpec {
		spec := object.(*corev1.Service).Spec.DeepCopy()
		spec.HealthCheckNodePort = 0 // each side has its own
		return *spec
	}
	return contract{
		object: &corev1.Service{ObjectMeta: named("balanced"), Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"}, PublishNotReadyAddresses: true,
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 80, TargetPort: intstr.FromString("http"), AppProtocol: ptr.To("http")},
				{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(5353)},
			},
			SessionAffinity: corev1.ServiceAffinityClientIP, SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](77)}},
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyLocal),
			LoadBalancerSourceRanges: []string{"192.0.2.0/24"}, LoadBalancerClass: ptr.To("example.com/lb"), AllocateLoadBalancerNodePorts: ptr.To(true),
			TrafficDistribution: ptr.To(corev1.ServiceTrafficDistributionPreferSameZone),
		}},
		pair: func(tenant, super client.Object) (any, any) { return of(tenant), of(super) },
	}
}

func (c contracts) EndpointSlice(t *testing.T) contract {
	must(t, c.tn.client.Create(t.Context(), makePod("default", "behind")))
	superPod := &corev1.Pod{}
	eventually(t, "the super pod", func(ctx context.Context) error {
		return c.e.superClient.Get(ctx, c.tn.superKey("default", "behind"), superPod)
	})
	status := `{"status":{"phase":"Running","podIP":"10.244.7.7","podIPs":[{"ip":"10.244.7.7"}]}}`
	must(t, c.e.superClient.Status().Patch(t.Context(), superPod, client.RawPatch(types.MergePatchType, []byte(status))))
	type parts struct {
		Type      discoveryv1.AddressType
		Endpoints []discoveryv1.Endpoint
		Ports     []discoveryv1.EndpointPort
	}
	of := func(object client.Object) parts {
		s := object.(*discoveryv1.EndpointSlice)
		return parts{s.AddressType, s.Endpoints, s.Ports}
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: named("by-hand"), AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.244.7.7"}, Hostname: ptr.To("one"),
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("sql"), Port: ptr.To[int32](5432), Protocol: ptr.To(corev1.ProtocolTCP), AppProtocol: ptr.To("tcp")}},
	}
	slice.Labels[discoveryv1.LabelServiceName] = "by-hand"
	return contract{object: slice, pair: func(tenant, super client.Object) (any, any) { return of(tenant), of(super) }}
}

// Pod takes a few fields; package pod's own tests have all of them.
func (contracts) Pod(*testing.T) contract {
	type parts struct {
		Image     string
		Resources corev1.ResourceRequirements
		Label     string
		Note      string
		Grace     *int64
	}
	of := func(object client.Object) parts {
		p := object.(*corev1.Pod)
		return parts{p.Spec.Containers[0].Image, p.Spec.Containers[0].Resources, p.Labels["app"], p.Annotations["example.com/note"], p.Spec.TerminationGracePeriodSeconds}
	}
	pod := makePod("default", "contract")
	pod.Annotations = map[string]string{"example.com/note": "kept"}
	pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](7)
	pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}
	return contract{object: pod, pair: func(tenant, super client.Object) (any, any) { return of(tenant), of(super) }}
}

func (contracts) PersistentVolumeClaim(*testing.T) contract {
	claim := makeClaim("contract")
	claim.Spec.StorageClassName, claim.Spec.VolumeMode = ptr.To("fast"), ptr.To(corev1.PersistentVolumeFilesystem)
	claim.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}
	claim.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "other"}
	of := func(object client.Object) corev1.PersistentVolumeClaimSpec {
		return object.(*corev1.PersistentVolumeClaim).Spec
	}
	return contract{object: claim, pair: func(tenant, super client.Object) (any, any) { return of(tenant), of(super) }}
}

// PersistentVolume binds a claim of another name to a volume made beforehand.
func (c contracts) PersistentVolume(t *testing.T) contract {
	claim := makeClaim("shown")
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	volume := c.e.superVolume(t, "shown", "fast")
	before := volume.DeepCopy()
	volume.Spec.AccessModes = claim.Spec.AccessModes
	must(t, c.e.superClient.Patch(t.Context(), volume, client.MergeFrom(before)))
	must(t, c.tn.client.Create(t.Context(), claim))
	type parts struct {
		Capacity corev1.ResourceList
		Modes    []corev1.PersistentVolumeAccessMode
		Class    string
		Reclaim  corev1.PersistentVolumeReclaimPolicy
		Phase    corev1.PersistentVolumePhase
		Claim    types.UID
	}
	of := func(object client.Object, claim types.UID) parts {
		v := object.(*corev1.PersistentVolume)
		return parts{v.Spec.Capacity, v.Spec.AccessModes, v.Spec.StorageClassName, v.Spec.PersistentVolumeReclaimPolicy, v.Status.Phase, claim}
	}
	return contract{object: volume, pair: func(tenant, super client.Object) (any, any) {
		return of(super, claim.UID), of(tenant, tenant.(*corev1.PersistentVolume).Spec.ClaimRef.UID)
	}}
}

func (contracts) Ingress(*testing.T) contract {
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Name: "http"}}}
	of := func(object client.Object) networkingv1.IngressSpec { return object.(*networkingv1.Ingress).Spec }
	return contract{
		object: &networkingv1.Ingress{ObjectMeta: named("web"), Spec: networkingv1.IngressSpec{
			IngressClassName: ptr.To("web"), DefaultBackend: &backend, TLS: []networkingv1.IngressTLS{{Hosts: []string{"a.example.com"}, SecretName: "certificate"}},
			Rules: []networkingv1.IngressRule{{Host: "a.example.com", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/a", PathType: ptr.To(networkingv1.PathTypeExact), Backend: backend}},
			}}}},
		}},
		pair: func(tenant, super client.Object) (any, any) { return of(tenant), of(super) },
	}
}

func (c contracts) NetworkPolicy(*testing.T) contract {
	pods := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	peers := []networkingv1.NetworkPolicyPeer{
		{PodSelector: pods, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "default"}}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}}},
	}
	ports := []networkingv1.NetworkPolicyPort{{Protocol: ptr.To(corev1.ProtocolTCP), Port: ptr.To(intstr.FromInt32(80)), EndPort: ptr.To[int32](90)}}
	return contract{
		object: &networkingv1.NetworkPolicy{ObjectMeta: named("closed"), Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *pods, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{Ports: ports, From: peers}}, Egress: []networkingv1.NetworkPolicyEgressRule{{Ports: ports, To: peers}},
		}},
		pair: func(tenant, super client.Object) (any, any) {
			want := tenant.(*networkingv1.NetworkPolicy).Spec.DeepCopy()
			for _, peers := range [][]networkingv1.NetworkPolicyPeer{want.Ingress[0].From, want.Egress[0].To} {
				peers[0].NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
					Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: []string{c.tn.names.Namespace("default")},
				}}}
			}
			return *want, super.(*networkingv1.NetworkPolicy).Spec
		},
	}
}

// PodDisruptionBudget counts a pod of no controller: the tenant's own says one.
func (contracts) PodDisruptionBudget(*testing.T) contract {
	type parts struct {
		Min      int
		Selector *metav1.LabelSelector
		Policy   *policyv1.UnhealthyPodEvictionPolicyType
	}
	return contract{
		object: &policyv1.PodDisruptionBudget{ObjectMeta: named("web"), Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
		}},
		pair: func(tenant, super client.Object) (any, any) {
			from, to := tenant.(*policyv1.PodDisruptionBudget).Spec, super.(*policyv1.PodDisruptionBudget).Spec
			return parts{from.MinAvailable.IntValue(), from.Selector, from.UnhealthyPodEvictionPolicy}, parts{to.MinAvailable.IntValue(), to.Selector, to.UnhealthyPodEvictionPolicy}
		},
	}
}

func (c contracts) Event(t *testing.T) contract {
	must(t, c.tn.client.Create(t.Context(), makePod("default", "told")))
	superPod := &corev1.Pod{}
	eventually(t, "the super pod", func(ctx context.Context) error {
		return c.e.superClient.Get(ctx, c.tn.superKey("default", "told"), superPod)
	})
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	return contract{
		object: &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: superPod.Namespace, Name: "told.1"},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: superPod.Namespace, Name: superPod.Name, UID: superPod.UID, FieldPath: "spec.containers{main}"},
			Reason:         "Testing", Message: "in " + superPod.Namespace, Type: corev1.EventTypeNormal, Count: 3, FirstTimestamp: now, LastTimestamp: now,
			Source: corev1.EventSource{Component: "kubelet", Host: superNode},
		},
		tenantKey: types.NamespacedName{Namespace: "default", Name: "told.1"},
		pair: func(tenant, _ client.Object) (any, any) {
			e := tenant.(*corev1.Event)
			return []any{"Testing", "in default", int32(3), "default", "told", "spec.containers{main}"},
				[]any{e.Reason, e.Message, e.Count, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.InvolvedObject.FieldPath}
		},
	}
}

func (contracts) StorageClass(*testing.T) contract {
	type parts struct {
		Reclaim corev1.PersistentVolumeReclaimPolicy
		Mode    storagev1.VolumeBindingMode
		Expand  bool
		Default string
	}
	of := func(object client.Object) parts {
		s := object.(*storagev1.StorageClass)
		return parts{*s.ReclaimPolicy, *s.VolumeBindingMode, *s.AllowVolumeExpansion, s.Annotations["storageclass.kubernetes.io/is-default-class"]}
	}
	return contract{
		object: &storagev1.StorageClass{
			ObjectMeta:  metav1.ObjectMeta{Name: "contract", Labels: shared, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "false", "note": "secret"}},
			Provisioner: "example.com/secret", Parameters: map[string]string{"server": "secret"}, MountOptions: []string{"secret"},
			ReclaimPolicy: ptr.To(corev1.PersistentVolumeReclaimRetain), VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer), AllowVolumeExpansion: ptr.To(true),
		},
		pair: func(tenant, super client.Object) (any, any) { return of(super), of(tenant) },
	}
}

func (contracts) PriorityClass(*testing.T) contract {
	of := func(object client.Object) []any {
		p := object.(*schedulingv1.PriorityClass)
		return []any{p.Value, *p.PreemptionPolicy, p.Description}
	}
	return contract{
		object: &schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: "contract", Labels: shared, Annotations: map[string]string{"note": "secret"}},
			Value:      77, PreemptionPolicy: ptr.To(corev1.PreemptNever), Description: "for all",
		},
		pair: func(tenant, super client.Object) (any, any) { return of(super), of(tenant) },
	}
}

// RuntimeClass takes the one of the class that is there already.
func (c contracts) RuntimeClass(t *testing.T) contract {
	class := &nodev1.RuntimeClass{}
	mustGet(t, c.e.superClient, types.NamespacedName{Name: "gvisor"}, class)
	before := class.DeepCopy()
	class.Overhead = &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("20Mi")}}
	class.Scheduling = &nodev1.Scheduling{NodeSelector: map[string]string{"pool": "secret"}}
	must(t, c.e.superClient.Patch(t.Context(), class, client.MergeFrom(before)))
	of := func(object client.Object) any { return object.(*nodev1.RuntimeClass).Overhead }
	return contract{object: class, pair: func(tenant, super client.Object) (any, any) { return of(super), of(tenant) }}
}

func (contracts) IngressClass(*testing.T) contract {
	const mark = networkingv1.AnnotationIsDefaultIngressClass
	return contract{
		object: &networkingv1.IngressClass{
			ObjectMeta: metav1.ObjectMeta{Name: "contract", Labels: shared, Annotations: map[string]string{mark: "true", "note": "secret"}},
			Spec: networkingv1.IngressClassSpec{
				Controller: "example.com/secret", Parameters: &networkingv1.IngressClassParametersReference{Kind: "ConfigMap", Name: "secret", Scope: ptr.To("Cluster")},
			},
		},
		pair: func(tenant, super client.Object) (any, any) {
			return super.GetAnnotations()[mark], tenant.GetAnnotations()[mark]
		},
	}
}
