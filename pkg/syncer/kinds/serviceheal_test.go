// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func refusedService(fieldName, detail string) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "x", field.ErrorList{field.Invalid(field.NewPath("spec", fieldName), "x", detail)})
}

// addressTaken and portTaken are what API servers say.
func addressTaken() error {
	return refusedService("clusterIPs", "failed to allocate IP 10.112.4.5: provided IP is already allocated")
}
func portTaken() error { return refusedService("ports", "provided port is already allocated") }

func loadBalancer() *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.112.4.5", ClusterIPs: []string{"10.112.4.5"}, Selector: map[string]string{"a": "b"},
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, LoadBalancerClass: ptr.To("example.com/lb"),
		Ports: []corev1.ServicePort{{Port: 80, NodePort: 30001}},
	}}
}

// TestAServiceMovesFromATakenAddress: in two steps, each of which another syncer
// can go on from, and the Service is then what it was.
func TestAServiceMovesFromATakenAddress(t *testing.T) {
	env, service := kindtest.Env(nil, nil), loadBalancer()
	if healService(env, service, nil) {
		t.Fatal("it heals what is well")
	}
	if !healService(env, service, addressTaken()) || service.Spec.Type != corev1.ServiceTypeExternalName {
		t.Fatalf("it did not release the address: %+v", service.Spec)
	}
	// The API server drops what the type does not have.
	service.Spec.ClusterIP, service.Spec.ClusterIPs, service.Spec.ExternalTrafficPolicy, service.Spec.LoadBalancerClass = "", nil, "", nil
	if !healService(env, service, nil) {
		t.Fatal("it did not go back")
	}
	want := loadBalancer().Spec
	want.ClusterIP, want.ClusterIPs, want.Ports[0].NodePort = "", nil, 0
	if diff := cmp.Diff(want, service.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if healService(env, service, nil) {
		t.Error("it does not end")
	}
	service.Spec.ClusterIP = "10.112.4.9"
	changed := ""
	env.Changed = func(fieldName, why string) { changed = fieldName + ": " + why }
	super := &corev1.Service{}
	if err := serviceDown(t.Context(), env, service, super); err != nil {
		t.Fatal(err)
	}
	if want := "spec.clusterIP: 10.112.4.5 is taken in the platform's cluster; the address is now 10.112.4.9"; changed != want {
		t.Errorf("the tenant is told %q, want %q", changed, want)
	}
	if err := serviceUp(t.Context(), env, super, service); err != nil {
		t.Fatal(err)
	}
	if _, left := service.Annotations[tenancyv1alpha1.AnnotationMoving]; left {
		t.Error("the move is not over")
	}
}

func TestWhatIsNotMoved(t *testing.T) {
	moved := func(times int) *corev1.Service {
		service := loadBalancer()
		for range times {
			move{Tries: moveOf(service).Tries}.release(service, "10.112.4.5")
		}
		return service
	}
	at := func(address string) *corev1.Service {
		service := loadBalancer()
		service.Spec.ClusterIP = address
		return service
	}
	cases := map[string]struct {
		service *corev1.Service
		refusal error
		want    bool
	}{
		"another address":   {loadBalancer(), addressTaken(), true},
		"the fifth time":    {moved(maxMoves - 1), addressTaken(), true},
		"the sixth time":    {moved(maxMoves), addressTaken(), false},
		"the API server":    {at("10.112.4.1"), addressTaken(), false},
		"DNS":               {at("10.112.4.10"), addressTaken(), false},
		"another refusal":   {loadBalancer(), refusedService("ports", "must be a number"), false},
		"a load balancer's": {loadBalancer(), portTaken(), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := healService(kindtest.Env(nil, nil), tc.service, tc.refusal); got != tc.want {
				t.Errorf("healed: %v", got)
			}
		})
	}
}

// TestNodePortsThatStandCrosswise: one of the two lets go, once.
func TestNodePortsThatStandCrosswise(t *testing.T) {
	env, service := kindtest.Env(nil, nil), loadBalancer()
	service.Spec.Type = corev1.ServiceTypeNodePort
	if !healService(env, service, portTaken()) || service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Fatalf("it did not let go: %+v", service.Spec)
	}
	if !healService(env, service, nil) || service.Spec.Type != corev1.ServiceTypeNodePort || service.Spec.ClusterIP != "10.112.4.5" {
		t.Fatalf("it did not come back: %+v", service.Spec)
	}
	if healService(env, service, portTaken()) {
		t.Error("it lets go again, of what nobody waits for")
	}
}
