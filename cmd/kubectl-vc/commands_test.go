// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const tenantKubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://10.0.0.9:6443"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: default}}]
current-context: x
`

// newCluster returns a meta cluster that holds objects, with its files in a temporary folder.
func newCluster(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) *metaCluster {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	fakeClient := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&tenancyv1alpha1.VirtualCluster{}).WithInterceptorFuncs(funcs).Build()
	return &metaCluster{
		client: fakeClient, namespace: "default",
		server: "https://192.0.2.1:6443", kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"),
	}
}

func virtualCluster(conditions ...metav1.Condition) *tenancyv1alpha1.VirtualCluster {
	return &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo", UID: "uid-1"},
		Spec:       tenancyv1alpha1.VirtualClusterSpec{ClassName: "default"},
		Status:     tenancyv1alpha1.VirtualClusterStatus{Version: "v1.37.1", Conditions: conditions},
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func kubeconfigSecret() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo-kubeconfig"},
		Data:       map[string][]byte{tenancyv1alpha1.KeyKubeconfig: []byte(tenantKubeconfig)},
	}
}

// checkError compares err with the text that it must contain; "" means none.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("unexpected error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Fatalf("got error %v, want one that contains %q", err, want)
	case err != nil && strings.Contains(err.Error(), "\n"):
		t.Fatalf("error has more than one line: %v", err)
	}
}

func TestCreate(t *testing.T) {
	deleting := virtualCluster()
	deleting.Finalizers = []string{tenancyv1alpha1.FinalizerManager}
	deleting.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	ready := condition(tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", "")
	cases := map[string]struct {
		existing  []client.Object
		options   createOptions
		want      string
		wantError string
	}{
		"new":                 {options: createOptions{version: "v1.37.1"}, want: "default/demo created"},
		"same again":          {existing: []client.Object{virtualCluster()}, want: "exists already, unchanged"},
		"same again, waited":  {existing: []client.Object{virtualCluster(ready)}, options: createOptions{wait: true, timeout: time.Minute}, want: "is Ready after"},
		"another class":       {existing: []client.Object{virtualCluster()}, options: createOptions{class: "gold"}, wantError: "exists with class default, not gold"},
		"another version":     {existing: []client.Object{virtualCluster()}, options: createOptions{version: "v1.36.4"}, wantError: "not v1.36.4"},
		"still being deleted": {existing: []client.Object{deleting}, wantError: "is being deleted"},
		"never ready": {
			existing: []client.Object{virtualCluster(condition(tenancyv1alpha1.ConditionClassResolved, metav1.ConditionFalse, "ClassNotFound", "no class gold"))},
			options:  createOptions{wait: true, timeout: 10 * time.Millisecond}, wantError: "ClassResolved is False (ClassNotFound: no class gold)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := &bytes.Buffer{}
			err := tc.options.run(t.Context(), newCluster(t, interceptor.Funcs{}, tc.existing...), "demo", out)
			checkError(t, err, tc.wantError)
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("got output %q, want %q in it", out, tc.want)
			}
		})
	}
}

func TestCreateAsksForClassAndVersion(t *testing.T) {
	cluster := newCluster(t, interceptor.Funcs{})
	o := createOptions{namespace: "team", class: "gold", version: "v1.37.1"}
	checkError(t, o.run(t.Context(), cluster, "demo", &bytes.Buffer{}), "")
	got := &tenancyv1alpha1.VirtualCluster{}
	if err := cluster.client.Get(t.Context(), client.ObjectKey{Namespace: "team", Name: "demo"}, got); err != nil {
		t.Fatal(err)
	}
	if got.Spec.ClassName != "gold" || got.Spec.Version != "v1.37.1" {
		t.Errorf("got spec %+v, want class gold and version v1.37.1", got.Spec)
	}
}

func TestErrorsNameTheRemedy(t *testing.T) {
	noMatch := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: tenancyv1alpha1.GroupName, Kind: "VirtualCluster"}}
	cluster := newCluster(t, interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return noMatch },
	})
	checkError(t, (&listOptions{}).run(t.Context(), cluster, time.Now(), &bytes.Buffer{}), "--meta-kubeconfig")
	checkError(t, (&kubeconfigOptions{}).run(t.Context(), cluster, "nope", &bytes.Buffer{}, &bytes.Buffer{}), "there is no virtual cluster default/nope")
	checkError(t, (&deleteOptions{}).run(t.Context(), cluster, "nope", &bytes.Buffer{}), "there is no virtual cluster default/nope")
}

func TestInvalidObjectsNameTheField(t *testing.T) {
	kind := schema.GroupKind{Group: tenancyv1alpha1.GroupName, Kind: "VirtualCluster"}
	cases := map[string]struct {
		errs field.ErrorList
		want string
	}{
		"a rule about all of it": {
			errs: field.ErrorList{field.Invalid(nil, field.OmitValueType{}, "metadata.name may have at most 40 characters")},
			want: "creating virtual cluster default/demo: metadata.name may have at most 40 characters",
		},
		"two fields": {
			errs: field.ErrorList{field.Required(field.NewPath("spec", "a"), "it is"), field.NotSupported(field.NewPath("spec", "b"), "x", []string{"y"})},
			want: `creating virtual cluster default/demo: spec.a: Required value: it is; spec.b: Unsupported value: "x": supported values: "y"`,
		},
		"nothing in detail": {want: `VirtualCluster.tenancy.virtualcluster.io "demo" is invalid`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := newCluster(t, interceptor.Funcs{
				Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
					return apierrors.NewInvalid(kind, "demo", tc.errs)
				},
			})
			checkError(t, (&createOptions{}).run(t.Context(), cluster, "demo", &bytes.Buffer{}), tc.want)
		})
	}
}

func TestDescribeNamesTheCause(t *testing.T) {
	waiting := condition(tenancyv1alpha1.ConditionNodeReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonWaiting, "for another")
	cause := condition(tenancyv1alpha1.ConditionClassResolved, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassNotFound, "no class")
	if got, want := describe([]metav1.Condition{waiting, cause}), "ClassResolved is False (ClassNotFound: no class)"; got != want {
		t.Errorf("got %q, want the cause alone: %q", got, want)
	}
	if got, want := describe([]metav1.Condition{waiting}), "NodeReady is False (Waiting: for another)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUsageErrorsNameTheRemedy(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(metaKubeconfigEnv, "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv(clientcmd.RecommendedConfigPathEnvVar, "absent")
	cases := map[string]struct {
		args []string
		want string
	}{
		"no name":          {args: []string{"create"}, want: "want one: kubectl vc create NAME"},
		"two names":        {args: []string{"delete", "a", "b"}, want: "want one: kubectl vc delete NAME"},
		"no kubeconfig":    {args: []string{"list"}, want: "found no kubeconfig: name its kubeconfig with --meta-kubeconfig"},
		"no such file":     {args: []string{"list", "--meta-kubeconfig", "absent"}, want: "stat absent: no such file"},
		"unknown command":  {args: []string{"frob"}, want: "unknown command"},
		"an unknown class": {args: []string{"create", "a", "--klass", "b"}, want: "unknown flag: --klass"},
		"unknown below":    {args: []string{"local", "frob"}, want: "unknown command \"frob\" for \"kubectl vc local\""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := newRootCommand()
			root.SetArgs(tc.args)
			root.SetOut(&bytes.Buffer{})
			root.SetErr(&bytes.Buffer{})
			checkError(t, root.ExecuteContext(t.Context()), tc.want)
		})
	}
}

func TestList(t *testing.T) {
	vc := virtualCluster(condition(tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", ""))
	pods := int32(3)
	vc.Status.Pods = &pods
	vc.CreationTimestamp = metav1.Unix(1000, 0)
	out := &bytes.Buffer{}
	checkError(t, (&listOptions{}).run(t.Context(), newCluster(t, interceptor.Funcs{}, vc), time.Unix(1060, 0), out), "")
	want := "NAMESPACE   NAME   READY   VERSION   PODS   AGE\ndefault     demo   True    v1.37.1   3      60s\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	out.Reset()
	checkError(t, (&listOptions{namespace: "empty"}).run(t.Context(), newCluster(t, interceptor.Funcs{}, vc), time.Now(), out), "")
	if !strings.Contains(out.String(), "no virtual clusters in namespace empty") {
		t.Errorf("got %q for an empty namespace", out)
	}
}

func TestKubeconfigWritesAPrivateFile(t *testing.T) {
	cluster := newCluster(t, interceptor.Funcs{}, virtualCluster(), kubeconfigSecret())
	out := &bytes.Buffer{}
	checkError(t, (&kubeconfigOptions{}).run(t.Context(), cluster, "demo", out, &bytes.Buffer{}), "")
	path := strings.TrimSuffix(out.String(), "\n")
	if want := filepath.Join(filepath.Dir(cluster.kubeconfig), "virtualclusters", "192.0.2.1_6443", "default_demo.kubeconfig"); path != want {
		t.Errorf("got path %q, want %q and nothing else", path, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, want 0600: the file holds a private key", info.Mode().Perm())
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != tenantKubeconfig {
		t.Errorf("got %q, %v, want the Secret's content", data, err)
	}
	checkError(t, (&deleteOptions{}).run(t.Context(), cluster, "demo", &bytes.Buffer{}), "")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the kubeconfig outlives its virtual cluster: %v", err)
	}
}

func TestKubeconfigNotThereYet(t *testing.T) {
	cluster := newCluster(t, interceptor.Funcs{}, virtualCluster(condition(tenancyv1alpha1.ConditionCertificatesReady, metav1.ConditionFalse, "Provisioning", "making CAs")))
	checkError(t, (&kubeconfigOptions{}).run(t.Context(), cluster, "demo", &bytes.Buffer{}, &bytes.Buffer{}), "CertificatesReady is False (Provisioning: making CAs)")
}

// TestKubeconfigSaysWhenNotReady: the path alone goes to standard output, so
// that $(kubectl vc kubeconfig NAME) still works.
func TestKubeconfigSaysWhenNotReady(t *testing.T) {
	cases := map[string]struct {
		conditions []metav1.Condition
		want       string
	}{
		"ready":   {conditions: []metav1.Condition{condition(tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", "")}},
		"not yet": {conditions: []metav1.Condition{condition(tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, "Provisioning", "starting")}, want: "not Ready: ControlPlaneReady is False (Provisioning: starting)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, notes := &bytes.Buffer{}, &bytes.Buffer{}
			cluster := newCluster(t, interceptor.Funcs{}, virtualCluster(tc.conditions...), kubeconfigSecret())
			checkError(t, (&kubeconfigOptions{}).run(t.Context(), cluster, "demo", out, notes), "")
			if (notes.Len() == 0) != (tc.want == "") || !strings.Contains(notes.String(), tc.want) {
				t.Errorf("got the note %q, want %q", notes, tc.want)
			}
			if strings.Count(out.String(), "\n") != 1 {
				t.Errorf("got %q, want the path and nothing else", out)
			}
		})
	}
}

func TestKubeconfigMerge(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "config")
	t.Setenv(clientcmd.RecommendedConfigPathEnvVar, mine)
	before := strings.NewReplacer("name: c", "name: own", "name: x", "name: own", "cluster: c", "cluster: own", "context: x", "context: own").Replace(tenantKubeconfig)
	if err := os.WriteFile(mine, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster := newCluster(t, interceptor.Funcs{}, virtualCluster(), kubeconfigSecret())
	for range 2 { // The second time replaces the first.
		out := &bytes.Buffer{}
		checkError(t, (&kubeconfigOptions{merge: true}).run(t.Context(), cluster, "demo", out, &bytes.Buffer{}), "")
		if out.String() != mine+"\n" {
			t.Errorf("got %q, want the merged file %s", out, mine)
		}
	}
	got, err := clientcmd.LoadFromFile(mine)
	if err != nil {
		t.Fatal(err)
	}
	if got.CurrentContext != "vc/default/demo" || got.Contexts["own"] == nil || len(got.Contexts) != 2 {
		t.Errorf("got contexts %v, current %q, want own and vc/default/demo, the latter current", got.Contexts, got.CurrentContext)
	}
	if server := got.Clusters["vc/default/demo"].Server; server != "https://10.0.0.9:6443" {
		t.Errorf("got server %q, want the tenant's", server)
	}
}

func TestDelete(t *testing.T) {
	held := virtualCluster()
	held.Finalizers = []string{tenancyv1alpha1.FinalizerManager}
	protected := virtualCluster()
	protected.Spec.DeletionProtection = true
	cases := map[string]struct {
		existing  client.Object
		want      string
		wantError string
	}{
		"gone":           {existing: virtualCluster(), want: "is gone after"},
		"held back":      {existing: held, wantError: tenancyv1alpha1.FinalizerManager},
		"protected":      {existing: protected, wantError: "deletionProtection"},
		"does not exist": {existing: kubeconfigSecret(), wantError: "there is no virtual cluster"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := &bytes.Buffer{}
			o := deleteOptions{wait: true, timeout: 10 * time.Millisecond}
			checkError(t, o.run(t.Context(), newCluster(t, interceptor.Funcs{}, tc.existing), "demo", out), tc.wantError)
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("got output %q, want %q in it", out, tc.want)
			}
		})
	}
}

func TestWaitPrintsEachChangeOnce(t *testing.T) {
	waiting := condition(tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, "Provisioning", "starting")
	reads := 0
	cluster := newCluster(t, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
			reads++
			vc := virtualCluster(waiting)
			switch {
			case reads == 2:
				return errors.New("connection refused") // A restart of the API server is waited for.
			case reads > 2:
				vc = virtualCluster(
					condition(tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionTrue, "Ready", ""),
					condition(tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", ""))
			}
			*object.(*tenancyv1alpha1.VirtualCluster) = *vc
			return nil
		},
	})
	out := &bytes.Buffer{}
	checkError(t, waitReady(t.Context(), cluster, client.ObjectKey{Namespace: "default", Name: "demo"}, time.Minute, out), "")
	if lines := strings.Count(out.String(), tenancyv1alpha1.ConditionControlPlaneReady); lines != 2 {
		t.Errorf("got %d lines for two states:\n%s", lines, out)
	}
	if !strings.Contains(out.String(), "Provisioning: starting") {
		t.Errorf("the message is missing:\n%s", out)
	}
}

func TestMetaKubeconfigOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	check := func(flags metaFlags, want string) {
		t.Helper()
		if got := flags.path(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	t.Setenv(metaKubeconfigEnv, "")
	check(metaFlags{}, "")
	if err := os.Mkdir("_local", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(localKubeconfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(metaFlags{}, localKubeconfig)
	t.Setenv(metaKubeconfigEnv, "from-env")
	check(metaFlags{}, "from-env")
	check(metaFlags{kubeconfig: "from-flag"}, "from-flag")
}

func TestCompletion(t *testing.T) {
	if got := arguments([]string{"/usr/bin/kubectl-vc", "list"}); !slices.Equal(got, []string{"list"}) {
		t.Errorf("got %v, want the arguments as they are", got)
	}
	if got := arguments([]string{"/usr/bin/kubectl_complete-vc", "de", ""}); !slices.Equal(got, []string{"__complete", "de", ""}) {
		t.Errorf("got %v, want a request for completion", got)
	}
	other := virtualCluster()
	other.Namespace, other.Name = "team", "their"
	cluster := newCluster(t, interceptor.Funcs{}, virtualCluster(), other)
	command := newDeleteCommand(&metaFlags{})
	command.SetContext(t.Context())
	for namespace, want := range map[string]string{"": "demo", "team": "their"} {
		if got := namesIn(command, cluster, namespace); !slices.Equal(got, []string{want}) {
			t.Errorf("namespace %q: got %v, want %s alone", namespace, got, want)
		}
	}
}

// TestCompletionIsQuiet: without a meta cluster nothing is proposed, and no
// error is written into the line that a person types.
func TestCompletionIsQuiet(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(metaKubeconfigEnv, "absent")
	for _, command := range []string{"delete", "kubeconfig"} {
		out := &bytes.Buffer{}
		root := newRootCommand()
		root.SetArgs([]string{"__complete", command, ""})
		root.SetOut(out)
		root.SetErr(&bytes.Buffer{})
		checkError(t, root.ExecuteContext(t.Context()), "")
		if got := out.String(); got != ":4\n" {
			t.Errorf("%s: got %q, want no proposal and no files", command, got)
		}
	}
}
