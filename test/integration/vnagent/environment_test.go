// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/vnagent"
	"virtualcluster.io/virtualcluster/test/framework/await"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	// agentAddress is the virtual node's. The port is fixed, so the address is unusual.
	agentAddress = "127.0.42.1"
	superNode    = "super-1"
	patience     = 30 * time.Second
)

// environment is a super cluster, a tenant of it and the agent between them.
type environment struct {
	super, tenant             *controlplanetest.Instance
	superClient, tenantClient client.Client
	kubelet                   *kubelet
	agentCA                   *pki.Authority
	virtualCluster            *tenancyv1alpha1.VirtualCluster
}

func start(t *testing.T) *environment {
	t.Helper()
	kubeletCA, agentCA := authority(t, "super-kubelets"), authority(t, "vn-agent")
	e := &environment{agentCA: agentCA, kubelet: startKubelet(t, kubeletCA)}
	e.super = controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper, KubeletServingCA: kubeletCA.CertPEM()})
	e.tenant = controlplanetest.Start(t, controlplanetest.Options{ServiceCIDR: "10.112.0.0/24", KubeletServingCA: agentCA.CertPEM()})
	controlplanetest.InstallCRDs(t, e.super.Config)
	e.superClient, e.tenantClient = newClient(t, e.super.Config), newClient(t, e.tenant.Config)
	e.addSuperNode(t)
	e.startAgent(t)
	e.virtualCluster = e.addTenant(t, "demo", e.tenant.Authorities, e.tenantKubeconfig(t))
	return e
}

func authority(t *testing.T, name string) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), tenancyv1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (e *environment) addSuperNode(t *testing.T) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: superNode}}
	create(t, e.superClient, node)
	before := node.DeepCopy()
	node.Status = corev1.NodeStatus{
		Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110"),
		},
		Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: kubeletAddress}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(e.kubelet.port)}},
		NodeInfo:        corev1.NodeSystemInfo{Architecture: "amd64", KubeletVersion: "v1.37.1", OperatingSystem: "linux", ContainerRuntimeVersion: "containerd://2.0.0"},
	}
	// A patch: the super cluster's own controllers write to the node as well.
	if err := e.superClient.Status().Patch(t.Context(), node, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// startAgent starts the agent with an identity that has the generated roles.
func (e *environment) startAgent(t *testing.T) {
	t.Helper()
	create(t, e.superClient, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "vc-system"}})
	e.grant(t)
	config := rest.AnonymousClientConfig(e.super.Config)
	cert, key, err := e.super.Authorities.PlatformClient.Issue(pki.Leaf{CommonName: "vn-agent", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	config.CertData, config.KeyData = cert, key
	dir := t.TempDir()
	cert, key, err = e.agentCA.Issue(pki.Leaf{CommonName: "vn-agent", IPs: ips(agentAddress), Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	configuration := &configv1alpha1.VNAgentConfiguration{NodeAddress: agentAddress}
	configuration.KubeletAPI = configv1alpha1.KubeletAPI{
		BindAddress: agentAddress + ":10250",
		CertFile:    filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
	}
	configuration.Metrics.BindAddress, configuration.Health.BindAddress = "0", "0"
	configuration.SetDefaults()
	if err := errors.Join(os.WriteFile(configuration.KubeletAPI.CertFile, cert, 0o600), os.WriteFile(configuration.KubeletAPI.KeyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	mgr, err := vnagent.NewManager(t.Context(), config, configuration)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the agent ended with: %v", err)
		}
	})
}

// grant binds the generated roles to the user vn-agent.
func (e *environment) grant(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "rbac", "vn-agent", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "vn-agent"}}
	meta := metav1.ObjectMeta{Name: "vn-agent"}
	clusterRole, role := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content))
	if err := errors.Join(decoder.Decode(clusterRole), decoder.Decode(role)); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	create(t, e.superClient, clusterRole)
	create(t, e.superClient, role)
	create(t, e.superClient, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "vn-agent"}})
	meta.Namespace = role.Namespace
	create(t, e.superClient, &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "vn-agent"}})
}

// tenantKubeconfig is the agent's for the tenant: a node's identity.
func (e *environment) tenantKubeconfig(t *testing.T) []byte {
	t.Helper()
	cert, key, err := e.tenant.Authorities.PlatformClient.Issue(pki.Leaf{
		CommonName: "system:node:" + tenancyv1alpha1.VirtualNodeName, Organizations: []string{"system:nodes"},
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := pki.Kubeconfig(pki.KubeconfigInput{
		Server: e.tenant.Config.Host, CA: e.tenant.Authorities.Server.CertPEM(), ClientCert: cert, ClientKey: key, ClusterName: "demo", UserName: "vn-agent",
	})
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// addTenant leaves in the super cluster what vc-manager does.
func (e *environment) addTenant(t *testing.T, name string, authorities *pki.Authorities, kubeconfig []byte) *tenancyv1alpha1.VirtualCluster {
	t.Helper()
	virtualCluster := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	create(t, e.superClient, virtualCluster)
	namespace := tenant(virtualCluster).ControlPlaneNamespace()
	create(t, e.superClient, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	create(t, e.superClient, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tenancyv1alpha1.SecretAgentKubeconfig, Labels: map[string]string{
			tenancyv1alpha1.LabelTenantID: string(virtualCluster.UID), tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager,
		}},
		Data: map[string][]byte{
			tenancyv1alpha1.KeyKubeconfig: kubeconfig, tenancyv1alpha1.KeyKubeletClientCA: authorities.KubeletClient.CertPEM(),
		},
	})
	before := virtualCluster.DeepCopy()
	virtualCluster.Status.ControlPlane = &tenancyv1alpha1.ControlPlaneStatus{Namespace: namespace}
	virtualCluster.Status.Conditions = []metav1.Condition{{
		Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: metav1.Now(),
	}}
	if err := e.superClient.Status().Patch(t.Context(), virtualCluster, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	return virtualCluster
}

func tenant(virtualCluster *tenancyv1alpha1.VirtualCluster) names.Tenant {
	return names.Tenant{ID: string(virtualCluster.UID), Name: virtualCluster.Name}
}

// addPod makes a pod on both sides, as the syncer would.
func (e *environment) addPod(t *testing.T, name string, containers ...string) *corev1.Pod {
	t.Helper()
	spec := corev1.PodSpec{NodeName: tenancyv1alpha1.VirtualNodeName, AutomountServiceAccountToken: new(bool)}
	for _, container := range containers {
		spec.Containers = append(spec.Containers, corev1.Container{Name: container, Image: "none"})
	}
	tenantPod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: spec}
	createWithAccount(t, e.tenantClient, tenantPod)
	superPod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: tenant(e.virtualCluster).Namespace("default"), Name: name}, Spec: spec}
	superPod.Spec.NodeName = superNode
	identity.Stamp(superPod, identity.Owner{TenantID: string(e.virtualCluster.UID), Namespace: "default", Name: name, UID: tenantPod.UID},
		types.NamespacedName{Namespace: "default", Name: "demo"})
	if err := e.superClient.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: superPod.Namespace}}); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	createWithAccount(t, e.superClient, superPod)
	return superPod
}

// createWithAccount waits for the namespace's service account, without which no pod is admitted.
func createWithAccount(t *testing.T, c client.Client, pod *corev1.Pod) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		pod.ResourceVersion = ""
		return c.Create(ctx, pod)
	})
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}

// eventually waits until check has no error.
func eventually(t *testing.T, check func(context.Context) error) {
	t.Helper()
	if err := await.Success(t.Context(), 50*time.Millisecond, patience, check); err != nil {
		t.Fatalf("not so within %s: %v", patience, err)
	}
}

// reveals returns what of the super cluster a text tells.
func (e *environment) reveals(text string) []string {
	var found []string
	for _, secret := range []string{"vc-demo-", superNode, kubeletAddress, "/var/log", string(e.virtualCluster.UID)} {
		if strings.Contains(text, secret) {
			found = append(found, secret)
		}
	}
	return found
}
