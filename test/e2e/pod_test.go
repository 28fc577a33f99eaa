// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
)

// TestServiceAccountOfAPod asks the tenant's API server who the caller is, from
// inside of a pod, with nothing but what the pod was given.
func TestServiceAccountOfAPod(t *testing.T) {
	testServiceAccountOfAPod(t, newTenant(t, "whoami"))
}

func testServiceAccountOfAPod(t *testing.T, tn *tenant) {
	tn.kubectl(t, "run", "whoami", "--restart=Never", "--image="+imageControlPlane, "--",
		"kubectl", "auth", "whoami", "-o", "json")
	pod := &corev1.Pod{}
	eventually(t, time.Minute, "pod whoami finished", func(ctx context.Context) error {
		if err := tn.client.Get(ctx, client.ObjectKey{Namespace: "default", Name: "whoami"}, pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			return fmt.Errorf("phase %s", pod.Status.Phase)
		}
		return nil
	})
	output := tn.kubectl(t, "logs", "whoami")
	var review authenticationv1.SelfSubjectReview
	if err := json.Unmarshal([]byte(output), &review); err != nil {
		t.Fatalf("the pod (%s) printed %q: %v", pod.Status.Phase, output, err)
	}
	if got, want := review.Status.UserInfo.Username, "system:serviceaccount:default:default"; got != want {
		t.Errorf("the pod is %q, want %q", got, want)
	}
	if got := review.Status.UserInfo.Extra["authentication.kubernetes.io/pod-uid"]; len(got) != 1 || got[0] != string(pod.UID) {
		t.Errorf("the token is bound to pod %v, want the tenant's pod %s", got, pod.UID)
	}
}

// TestPodInTheSuperCluster looks at a tenant's pod from the super cluster, and
// at what the pod itself can see.
func TestPodInTheSuperCluster(t *testing.T) {
	tn := newTenant(t, "inside")
	if err := tn.client.Create(t.Context(), newPod("default", "inside", func(pod *corev1.Pod) {
		pod.Labels[tenancyv1alpha1.LabelTenantID] = "forged"
		pod.Annotations = map[string]string{"io.katacontainers.config_path": "/evil.toml", "example.com/kept": "yes"}
		pod.Spec.Containers[0].Env = []corev1.EnvVar{
			{Name: "MY_NAMESPACE", ValueFrom: fieldRef("metadata.namespace")},
			{Name: "MY_UID", ValueFrom: fieldRef("metadata.uid")},
			{Name: "MY_NODE", ValueFrom: fieldRef("spec.nodeName")},
			{Name: "MY_ACCOUNT", ValueFrom: fieldRef("spec.serviceAccountName")},
		}
	})); err != nil {
		t.Fatal(err)
	}
	pod := tn.waitRunning(t, "default", "inside")
	superPod := &corev1.Pod{}
	if err := superClient.Get(t.Context(), tn.superKey("default", "inside"), superPod); err != nil {
		t.Fatal(err)
	}

	t.Run("namespace", func(t *testing.T) {
		if want := regexp.MustCompile(`^vc-inside-default-[a-z2-7]{26}$`); !want.MatchString(superPod.Namespace) {
			t.Errorf("super namespace %q does not match %s (26 characters of base32 are 128 bits)", superPod.Namespace, want)
		}
	})
	t.Run("stamp", func(t *testing.T) {
		want := identity.Owner{TenantID: string(tn.object.UID), Namespace: "default", Name: "inside", UID: pod.UID}
		if got, ok := identity.Of(superPod); !ok || got != want {
			t.Errorf("stamped %+v (complete: %v), want %+v", got, ok, want)
		}
		if _, found := superPod.Annotations["io.katacontainers.config_path"]; found {
			t.Error("a Kata annotation of the tenant reached the super pod")
		}
		if superPod.Annotations["example.com/kept"] != "yes" {
			t.Error("a harmless annotation of the tenant was lost")
		}
	})
	t.Run("sandbox", func(t *testing.T) {
		if class := superPod.Spec.RuntimeClassName; class == nil || *class != "gvisor" {
			t.Errorf("RuntimeClass %v", class)
		}
		if kernel := tn.kubectl(t, "exec", "inside", "--", "uname", "-r"); kernel != gvisorKernel {
			t.Errorf("the kernel is %q, want %q", kernel, gvisorKernel)
		}
	})
	t.Run("no super token", func(t *testing.T) { noSuperToken(t, tn, superPod) })
	t.Run("the tenant's values", func(t *testing.T) {
		environment := strings.Split(tn.kubectl(t, "exec", "inside", "--", "env"), "\n")
		kubernetes := &corev1.Service{}
		if err := tn.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, kubernetes); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"KUBERNETES_SERVICE_HOST=" + kubernetes.Spec.ClusterIP, "KUBERNETES_SERVICE_PORT=443",
			"MY_NAMESPACE=default", "MY_UID=" + string(pod.UID), "MY_NODE=" + pod.Spec.NodeName, "MY_ACCOUNT=default",
		} {
			if !slices.Contains(environment, want) {
				t.Errorf("the environment lacks %s", want)
			}
		}
		if got := strings.Join(environment, "\n"); strings.Contains(got, superPod.Namespace) || strings.Contains(got, superPod.Spec.NodeName) {
			t.Error("the environment tells names of the super cluster")
		}
		if pod.Spec.NodeName != tenancyv1alpha1.VirtualNodeName {
			t.Errorf("the tenant's pod is on %q", pod.Spec.NodeName)
		}
		node := &corev1.Node{}
		if err := tn.client.Get(t.Context(), client.ObjectKey{Name: pod.Spec.NodeName}, node); err != nil {
			t.Fatal(err)
		}
		if len(node.Status.Addresses) == 0 || pod.Status.HostIP != node.Status.Addresses[0].Address {
			t.Errorf("status.hostIP is %s, the node's addresses are %v", pod.Status.HostIP, node.Status.Addresses)
		}
	})
}

// noSuperToken checks that nothing in the super pod can call the super cluster.
func noSuperToken(t *testing.T, tn *tenant, superPod *corev1.Pod) {
	if mount := superPod.Spec.AutomountServiceAccountToken; mount == nil || *mount {
		t.Error("the super pod mounts a token of the super cluster")
	}
	for _, volume := range superPod.Spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.ServiceAccountToken != nil || source.ClusterTrustBundle != nil || source.PodCertificate != nil {
				t.Errorf("volume %s has a credential of the super cluster", volume.Name)
			}
		}
	}
	token := tn.kubectl(t, "exec", superPod.Name, "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
	review := func(config *rest.Config) error {
		withToken := rest.AnonymousClientConfig(config)
		withToken.BearerToken = token
		c, err := newClient(withToken)
		if err != nil {
			return err
		}
		return c.Create(t.Context(), &authenticationv1.SelfSubjectReview{})
	}
	if err := review(tn.config); err != nil {
		t.Errorf("the tenant's API server refuses the pod's token: %v", err)
	}
	if err := review(superConfig); !apierrors.IsUnauthorized(err) {
		t.Errorf("the super cluster answers %v to the pod's token, want Unauthorized", err)
	}
}

// TestPodEnds: a pod goes with the kubelet's semantics, on both sides.
func TestPodEnds(t *testing.T) {
	tn := newTenant(t, "ends")
	t.Run("deleted by the tenant", func(t *testing.T) {
		if err := tn.client.Create(t.Context(), newPod("default", "mine")); err != nil {
			t.Fatal(err)
		}
		pod := tn.waitRunning(t, "default", "mine")
		if err := tn.client.Delete(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		goneInOrder(t, tn, "mine")
	})
	t.Run("gone in the super cluster", func(t *testing.T) {
		tn.kubectl(t, "create", "deployment", "again", "--image="+imageAgnhost, "--", "/agnhost", "pause")
		first := onlyPod(t, tn, "app=again", "")
		tn.waitRunning(t, "default", first.Name)
		superPod := &corev1.Pod{}
		if err := superClient.Get(t.Context(), tn.superKey("default", first.Name), superPod); err != nil {
			t.Fatal(err)
		}
		if err := superClient.Delete(t.Context(), superPod, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
		second := onlyPod(t, tn, "app=again", first.Name)
		tn.waitRunning(t, "default", second.Name)
	})
}

// goneInOrder checks that the tenant's pod never disappears before the super pod.
func goneInOrder(t *testing.T, tn *tenant, name string) {
	t.Helper()
	key := client.ObjectKey{Namespace: "default", Name: name}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := tn.client.Get(ctx, key, &corev1.Pod{})
		if !apierrors.IsNotFound(err) {
			return false, err
		}
		// Read after the tenant's pod was seen to be gone.
		return true, gone(ctx, tn.superKey("default", name), &corev1.Pod{})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// onlyPod waits for the one live pod of a selector whose name is not old.
func onlyPod(t *testing.T, tn *tenant, selector, old string) *corev1.Pod {
	t.Helper()
	var found corev1.Pod
	eventually(t, time.Minute, "a pod of "+selector, func(ctx context.Context) error {
		key, value, _ := strings.Cut(selector, "=")
		list := &corev1.PodList{}
		if err := tn.client.List(ctx, list, client.InNamespace("default"), client.MatchingLabels{key: value}); err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Name == old || list.Items[0].DeletionTimestamp != nil {
			return fmt.Errorf("%d pods", len(list.Items))
		}
		found = list.Items[0]
		return nil
	})
	return &found
}

// TestRefusedPods: what would reach the host is not made, and the tenant is told the field.
func TestRefusedPods(t *testing.T) {
	tn := newTenant(t, "refused")
	tests := map[string]struct {
		change func(*corev1.Pod)
		field  string
	}{
		"hostpath": {func(pod *corev1.Pod) {
			pod.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
		}, "spec.volumes[0].hostPath"},
		"hostnetwork": {func(pod *corev1.Pod) { pod.Spec.HostNetwork = true }, "spec.hostNetwork"},
		"privileged": {func(pod *corev1.Pod) {
			pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
		}, "spec.containers[0].securityContext.privileged"},
		"othersandbox": {func(pod *corev1.Pod) { pod.Spec.RuntimeClassName = new("runc") }, "spec.runtimeClassName"},
	}
	// A tenant can name a RuntimeClass only if it has one: a hostile one makes it.
	if err := tn.client.Create(t.Context(), &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "runc"}, Handler: "runc"}); err != nil {
		t.Fatal(err)
	}
	// The nearest legal pod works: what follows is about the fields.
	if err := tn.client.Create(t.Context(), newPod("default", "legal")); err != nil {
		t.Fatal(err)
	}
	tn.waitRunning(t, "default", "legal")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := newPod("default", name, tc.change)
			if err := tn.client.Create(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
			eventually(t, 15*time.Second, "a Warning event that names "+tc.field, func(ctx context.Context) error {
				return warned(ctx, tn, pod, tc.field)
			})
			if err := gone(t.Context(), tn.superKey("default", name), &corev1.Pod{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// warned returns nil if exactly one Warning event of the tenant's pod names the field.
func warned(ctx context.Context, tn *tenant, pod *corev1.Pod, field string) error {
	events := &corev1.EventList{}
	if err := tn.client.List(ctx, events, client.InNamespace(pod.Namespace)); err != nil {
		return err
	}
	var messages []string
	for _, event := range events.Items {
		if event.InvolvedObject.UID == pod.UID && event.Type == corev1.EventTypeWarning {
			messages = append(messages, event.Message)
		}
	}
	if len(messages) != 1 || !strings.Contains(messages[0], field) {
		return fmt.Errorf("%d warnings: %q", len(messages), messages)
	}
	return nil
}

func fieldRef(path string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
}
