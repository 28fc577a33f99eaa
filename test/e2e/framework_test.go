// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/test/framework/await"
)

// Images that the local super cluster has.
const (
	imageAgnhost      = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"
	imageControlPlane = "ghcr.io/virtualcluster/control-plane:v1.37.1"
)

// gvisorKernel is what uname -r says inside of a gVisor sandbox.
const gvisorKernel = "4.19.0-gvisor"

// platformNamespace is where the chart is installed.
const platformNamespace = "vc-system"

// Set once by TestMain, read by every test.
var (
	repository, binDir, localDir string
	superKubeconfig              string
	superConfig                  *rest.Config
	superClient                  client.WithWatch
)

func newScheme() (*runtime.Scheme, error) {
	all := runtime.NewScheme()
	builder := runtime.NewSchemeBuilder(scheme.AddToScheme, tenancyv1alpha1.AddToScheme)
	return all, builder.AddToScheme(all)
}

func newClient(config *rest.Config) (client.WithWatch, error) {
	all, err := newScheme()
	if err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: all})
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	// A test is one client among many, and waits by polling.
	config.QPS, config.Burst = 200, 400
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

// passThrough runs a program whose output belongs to the test run's.
func passThrough(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = repository, os.Stdout, os.Stderr
	return cmd.Run()
}

// environment is the process's, with the checkout's programs first and the
// e2e super cluster as the meta cluster.
func environment(extra ...string) []string {
	return append(append(os.Environ(),
		"PATH="+binDir+":"+os.Getenv("PATH"),
		"VC_META_KUBECONFIG="+superKubeconfig), extra...)
}

// try runs a program of the checkout, at most for two minutes.
func try(ctx context.Context, extraEnvironment []string, program string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, program), args...)
	var out, errOut bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = repository, environment(extraEnvironment...), &out, &errOut
	err = cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return strings.TrimSpace(out.String()), strings.TrimSpace(errOut.String()), err
}

// must runs a program of the checkout and returns its standard output.
func must(t *testing.T, program string, args ...string) string {
	t.Helper()
	stdout, _, err := try(t.Context(), nil, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}

// eventually waits until check returns nil, and fails the test with its last
// error otherwise.
func eventually(t *testing.T, timeout time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	eventuallyEvery(t, 100*time.Millisecond, timeout, what, check)
}

// eventuallyEvery is eventually for a check that costs the machine so much that
// it is made seldom.
func eventuallyEvery(t *testing.T, interval, timeout time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	if err := await.Success(t.Context(), interval, timeout, check); err != nil {
		t.Fatalf("%s: not within %s: %v", what, timeout, err)
	}
}

// tenant is a virtual cluster that a test made and its administrator's client.
type tenant struct {
	name       string
	object     *tenancyv1alpha1.VirtualCluster
	kubeconfig string
	config     *rest.Config
	client     client.WithWatch
}

// newTenant creates a virtual cluster through the plugin, waits until it is
// ready, and deletes it when the test ends.
func newTenant(t *testing.T, name string) *tenant {
	t.Helper()
	createTenant(t, name)
	return openTenant(t, name)
}

// createTenant is the part of newTenant that connects to nothing.
func createTenant(t *testing.T, name string) {
	t.Helper()
	// An earlier run on a cluster that was kept may still be deleting its own.
	eventually(t, time.Minute, "the end of an earlier "+name, func(ctx context.Context) error {
		return gone(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, &tenancyv1alpha1.VirtualCluster{})
	})
	t.Cleanup(func() { deleteTenant(t, name) })
	must(t, "kubectl-vc", "create", name, "--wait", "--timeout=90s")
}

// openTenant connects to a virtual cluster that is ready.
func openTenant(t *testing.T, name string) *tenant {
	t.Helper()
	tn := &tenant{name: name, object: &tenancyv1alpha1.VirtualCluster{}}
	tn.kubeconfig = must(t, "kubectl-vc", "kubeconfig", name)
	var err error
	if tn.config, err = restConfig(tn.kubeconfig); err != nil {
		t.Fatal(err)
	}
	if tn.client, err = newClient(tn.config); err != nil {
		t.Fatal(err)
	}
	if err := superClient.Get(t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, tn.object); err != nil {
		t.Fatal(err)
	}
	return tn
}

// deleteTenant deletes without waiting: whether deletion is complete is one test's concern.
func deleteTenant(t *testing.T, name string) {
	t.Helper()
	object := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
	if err := client.IgnoreNotFound(superClient.Delete(context.WithoutCancel(t.Context()), object)); err != nil {
		t.Errorf("deleting virtual cluster %s: %v", name, err)
	}
}

// kubectl runs kubectl as the tenant's administrator.
func (tn *tenant) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return must(t, "kubectl", append([]string{"--kubeconfig", tn.kubeconfig}, args...)...)
}

// names are the tenant's names in the super cluster.
func (tn *tenant) names() names.Tenant {
	return names.Tenant{ID: string(tn.object.UID), Name: tn.name}
}

// superKey is where the super cluster keeps a tenant's object of the same name.
func (tn *tenant) superKey(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: tn.names().Namespace(namespace), Name: name}
}

// waitRunning waits until the pod's containers run and are ready in the tenant's eyes.
func (tn *tenant) waitRunning(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	eventually(t, time.Minute, "pod "+name+" ready", func(ctx context.Context) error {
		if err := tn.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod); err != nil {
			return err
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("phase %q, conditions %v", pod.Status.Phase, pod.Status.Conditions)
	})
	return pod
}

// newPod is a pod of agnhost that stays until it is deleted.
func newPod(namespace, name string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "main", Image: imageAgnhost, Args: []string{"netexec", "--http-port=8080"},
			}},
		},
	}
	for _, apply := range change {
		apply(pod)
	}
	return pod
}

// condition returns a VirtualCluster's condition, or an empty one.
func condition(object *tenancyv1alpha1.VirtualCluster, kind string) metav1.Condition {
	if found := meta.FindStatusCondition(object.Status.Conditions, kind); found != nil {
		return *found
	}
	return metav1.Condition{}
}
