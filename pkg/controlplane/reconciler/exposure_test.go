// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func exposedScope(change func(*tenancyv1alpha1.ClassExposure)) *scope {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo", UID: "uid-1"}}
	s := newScope(virtualCluster)
	s.class = &tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	s.service = &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vcp-demo", Name: "control-plane"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.7", Ports: []corev1.ServicePort{{Port: 6443, NodePort: 30007}}},
	}
	change(&s.spec.ControlPlane.Exposure)
	return s
}

func TestExposeControlPlane(t *testing.T) {
	gateway := func(address string) func(*tenancyv1alpha1.ClassExposure) {
		return func(e *tenancyv1alpha1.ClassExposure) {
			e.Type, e.Gateway = tenancyv1alpha1.ExposeGateway, &tenancyv1alpha1.ClassGateway{Domain: "vc.example.test", Address: address}
		}
	}
	balancer := func(e *tenancyv1alpha1.ClassExposure) { e.Type = tenancyv1alpha1.ExposeLoadBalancer }
	hostname := exposedScope(gateway("")).spec.Hostname()
	cases := map[string]struct {
		exposure     func(*tenancyv1alpha1.ClassExposure)
		ingress      []corev1.LoadBalancerIngress
		present      string
		want         endpoint
		wantHosts    []string
		wantAwaiting string // empty: nothing is
	}{
		"inside only":                 {exposure: func(*tenancyv1alpha1.ClassExposure) {}, want: endpoint{server: "https://10.96.0.7:6443"}},
		"no balancer yet":             {exposure: balancer, wantAwaiting: "has no address yet"},
		"a balancer by address":       {exposure: balancer, ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}}, want: endpoint{server: "https://192.0.2.7:6443"}, wantHosts: []string{"192.0.2.7"}},
		"a balancer by IPv6":          {exposure: balancer, ingress: []corev1.LoadBalancerIngress{{IP: "2001:db8::7"}}, want: endpoint{server: "https://[2001:db8::7]:6443"}, wantHosts: []string{"2001:db8::7"}},
		"a balancer by name":          {exposure: balancer, ingress: []corev1.LoadBalancerIngress{{Hostname: "LB-1.example.test"}}, want: endpoint{server: "https://lb-1.example.test:6443"}, wantHosts: []string{"lb-1.example.test"}},
		"a balancer without a name":   {exposure: balancer, ingress: []corev1.LoadBalancerIngress{{Hostname: "not/a/host"}}, wantAwaiting: "has no address yet"},
		"one more address":            {exposure: balancer, ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.7"}, {IP: "192.0.2.1"}}, present: "https://192.0.2.7:6443", want: endpoint{server: "https://192.0.2.7:6443"}, wantHosts: []string{"192.0.2.1", "192.0.2.7"}},
		"another address":             {exposure: balancer, ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}, present: "https://192.0.2.7:6443", want: endpoint{server: "https://192.0.2.1:6443"}, wantHosts: []string{"192.0.2.1"}},
		"a gateway by DNS":            {exposure: gateway(""), want: endpoint{server: "https://" + hostname}, wantHosts: []string{hostname}},
		"a gateway by address":        {exposure: gateway("192.0.2.9"), want: endpoint{"https://192.0.2.9", hostname}, wantHosts: []string{hostname}},
		"a gateway by port":           {exposure: gateway("gw.example.test:8443"), want: endpoint{"https://gw.example.test:8443", hostname}, wantHosts: []string{hostname}},
		"a gateway's usual port":      {exposure: gateway("gw.example.test:443"), want: endpoint{"https://gw.example.test", hostname}, wantHosts: []string{hostname}},
		"a gateway by IPv6":           {exposure: gateway("2001:db8::9"), want: endpoint{"https://[2001:db8::9]", hostname}, wantHosts: []string{hostname}},
		"a gateway by IPv6 and port":  {exposure: gateway("[2001:db8::9]:30443"), want: endpoint{"https://[2001:db8::9]:30443", hostname}, wantHosts: []string{hostname}},
		"a gateway with a path":       {exposure: gateway("gw.example.test/x"), wantHosts: []string{hostname}, wantAwaiting: "neither a host nor host:port"},
		"a gateway with a bad port":   {exposure: gateway("gw.example.test:0"), wantHosts: []string{hostname}, wantAwaiting: "neither a host nor host:port"},
		"a gateway with a wrong port": {exposure: gateway("gw.example.test:https"), wantHosts: []string{hostname}, wantAwaiting: "neither a host nor host:port"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := exposedScope(tc.exposure)
			s.service.Status.LoadBalancer.Ingress, s.status.ControlPlane.Endpoint = tc.ingress, tc.present
			got, err := (&Reconciler{}).exposeControlPlane(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if got.endpoint != tc.want {
				t.Errorf("endpoint %+v, want %+v", got.endpoint, tc.want)
			}
			if diff := cmp.Diff(tc.wantHosts, got.hosts); diff != "" {
				t.Errorf("hosts: %s", diff)
			}
			if (got.awaiting == "") != (tc.wantAwaiting == "") || !strings.Contains(got.awaiting, tc.wantAwaiting) {
				t.Errorf("awaiting %q, want %q", got.awaiting, tc.wantAwaiting)
			}
		})
	}
}

// TestProbeName: a kubeconfig follows when every pod that serves shows the name, not before.
func TestProbeName(t *testing.T) {
	pod := func(name, ip string, ready corev1.ConditionStatus) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status:     corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
		}
	}
	first, second := pod("a", "10.0.0.1", corev1.ConditionTrue), pod("b", "10.0.0.2", corev1.ConditionTrue)
	down := pod("c", "10.0.0.3", corev1.ConditionFalse)
	cases := map[string]struct {
		pods    []corev1.Pod
		wantErr string // empty: every one shows it
	}{
		"none":             {nil, "no pod is ready"},
		"none ready":       {[]corev1.Pod{down}, "no pod is ready"},
		"one shows it":     {[]corev1.Pod{first, down}, ""},
		"one of two shows": {[]corev1.Pod{first, second}, "pod b: not that name"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{ProbeName: func(_ context.Context, address, host string, _ []byte) error {
				if host != "name.example.test" || address != "10.0.0.1:6443" {
					return errors.New("not that name")
				}
				return nil
			}}
			err := r.probeName(t.Context(), tc.pods, "name.example.test", nil)
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got %v, want %q", err, tc.wantErr)
			}
		})
	}
}

// TestExposedOnNodes: a virtual cluster's own type of exposure decides, not its class's.
func TestExposedOnNodes(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := tenancyv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	class := func(name string, exposure tenancyv1alpha1.ExposureType) *tenancyv1alpha1.VirtualClusterClass {
		return &tenancyv1alpha1.VirtualClusterClass{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: tenancyv1alpha1.VirtualClusterClassSpec{ControlPlane: tenancyv1alpha1.ClassControlPlane{Exposure: tenancyv1alpha1.ClassExposure{
				Type: exposure, Allowed: []tenancyv1alpha1.ExposureType{exposure, tenancyv1alpha1.ExposeNodePort, tenancyv1alpha1.ExposeClusterIP},
			}}},
		}
	}
	virtualCluster := func(name, class string, own tenancyv1alpha1.ExposureType) *tenancyv1alpha1.VirtualCluster {
		out := &tenancyv1alpha1.VirtualCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       tenancyv1alpha1.VirtualClusterSpec{ClassName: class},
		}
		if own != "" {
			out.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{Expose: &tenancyv1alpha1.VirtualClusterExposure{Type: own}}
		}
		return out
	}
	objects := []client.Object{
		class("inside", tenancyv1alpha1.ExposeClusterIP), class("nodes", tenancyv1alpha1.ExposeNodePort),
		virtualCluster("as-the-class", "nodes", ""), virtualCluster("inside", "inside", ""),
		virtualCluster("own-nodes", "inside", tenancyv1alpha1.ExposeNodePort),
		virtualCluster("own-inside", "nodes", tenancyv1alpha1.ExposeClusterIP),
		virtualCluster("not-allowed", "nodes", tenancyv1alpha1.ExposeGateway), virtualCluster("lost", "none", ""),
	}
	r := &Reconciler{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
	want := []reconcile.Request{
		{NamespacedName: types.NamespacedName{Namespace: "default", Name: "as-the-class"}},
		{NamespacedName: types.NamespacedName{Namespace: "default", Name: "own-nodes"}},
	}
	if diff := cmp.Diff(want, r.exposedOnNodes(t.Context(), &corev1.Node{})); diff != "" {
		t.Errorf("woken by a node (-want +got):\n%s", diff)
	}
}
