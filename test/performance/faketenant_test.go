// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fakeTenant holds the objects of one tenant: at first those that an API server
// makes for itself, but for two of its four namespaces: each becomes three objects
// of the super cluster, whose making would take most of a run's time. Objects are
// not changed after they were stored.
type fakeTenant struct {
	mu       sync.Mutex
	version  int
	objects  map[fakeRequest]stored
	watchers map[chan<- stored]schema.GroupVersionKind
}

// stored is an object and the version at which it was written.
type stored struct {
	object  client.Object
	version int
}

func newFakeTenant(serviceIP string) *fakeTenant {
	t := &fakeTenant{objects: map[fakeRequest]stored{}, watchers: map[chan<- stored]schema.GroupVersionKind{}}
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem} {
		t.store(&corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}},
			Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
			Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
		})
		t.store(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": "unused"}})
		t.store(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}})
	}
	https, port, ready := "https", int32(6443), true
	t.store(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "kubernetes"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: serviceIP, ClusterIPs: []string{serviceIP},
			Ports: []corev1.ServicePort{{Name: https, Port: 443, Protocol: corev1.ProtocolTCP}},
		},
	})
	t.store(&discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &https, Port: &port}},
	})
	return t
}

// store keeps a new object, of a kind that the scheme knows, and tells the watchers.
func (t *fakeTenant) store(object client.Object) {
	kinds, _, err := clientgoscheme.Scheme.ObjectKinds(object)
	if err != nil {
		panic(err) // a kind of this file's own
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version++
	object.SetResourceVersion(strconv.Itoa(t.version))
	object.SetUID(uuid.NewUUID())
	object.SetCreationTimestamp(metav1.Now())
	one := stored{object, t.version}
	t.objects[fakeRequest{kind: kinds[0], namespace: object.GetNamespace(), name: object.GetName()}] = one
	for watcher, kind := range t.watchers {
		if kind == kinds[0] {
			watcher <- one
		}
	}
}

// of returns what is stored of a kind after a version, in the order in which it was written.
func (t *fakeTenant) of(kind schema.GroupVersionKind, after int) []stored {
	var all []stored
	for key, one := range t.objects {
		if key.kind == kind && one.version > after {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b stored) int { return cmp.Compare(a.version, b.version) })
	return all
}

func (t *fakeTenant) get(w http.ResponseWriter, r *http.Request, request fakeRequest) {
	t.mu.Lock()
	found, ok := t.objects[request]
	t.mu.Unlock()
	if !ok {
		fail(w, r, apierrors.NewNotFound(schema.GroupResource{Group: request.kind.Group, Resource: request.kind.Kind}, request.name))
		return
	}
	answer(w, r, http.StatusOK, request.kind.GroupVersion(), found.object)
}

// list answers with all objects of a kind, or the one that a field selector names:
// nobody asks the fake for another part of them.
func (t *fakeTenant) list(w http.ResponseWriter, r *http.Request, request fakeRequest) {
	list, err := newFakeObject[client.ObjectList](request.kind, "List")
	if err != nil {
		fail(w, r, apierrors.NewInternalError(err))
		return
	}
	selector, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		fail(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	name, named := selector.RequiresExactMatch(metav1.ObjectNameField)
	t.mu.Lock()
	var items []runtime.Object
	for _, one := range t.of(request.kind, 0) {
		if (request.namespace == "" || request.namespace == one.object.GetNamespace()) && (!named || name == one.object.GetName()) {
			items = append(items, one.object)
		}
	}
	list.SetResourceVersion(strconv.Itoa(t.version))
	t.mu.Unlock()
	if err := meta.SetList(list, items); err != nil {
		fail(w, r, apierrors.NewInternalError(err))
		return
	}
	answer(w, r, http.StatusOK, request.kind.GroupVersion(), list)
}

func (t *fakeTenant) create(w http.ResponseWriter, r *http.Request, request fakeRequest) {
	object, err := decode(r)
	if err != nil {
		fail(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	t.store(object)
	answer(w, r, http.StatusCreated, request.kind.GroupVersion(), object)
}

// watch shows what is created, for as long as the client wants.
func (t *fakeTenant) watch(w http.ResponseWriter, r *http.Request, request fakeRequest) {
	query := r.URL.Query()
	ctx := r.Context()
	if seconds, err := strconv.Atoi(query.Get("timeoutSeconds")); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
	}
	after, _ := strconv.Atoi(query.Get("resourceVersion")) // none: from the beginning
	created := make(chan stored, 100)                      // more than are ever created
	t.mu.Lock()
	past, version := t.of(request.kind, after), t.version
	t.watchers[created] = request.kind
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.watchers, created)
		t.mu.Unlock()
	}()
	send := watchStream(w, r, request.kind.GroupVersion())
	for _, one := range past {
		if send(watch.Added, one.object) != nil {
			return
		}
	}
	if query.Get("sendInitialEvents") == "true" {
		bookmark, err := newFakeObject[client.Object](request.kind, "")
		if err != nil {
			return
		}
		bookmark.SetResourceVersion(strconv.Itoa(version))
		bookmark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		if send(watch.Bookmark, bookmark) != nil {
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case one := <-created:
			if send(watch.Added, one.object) != nil {
				return
			}
		}
	}
}

// watchStream begins the answer to a watch and returns what adds an event to it.
func watchStream(w http.ResponseWriter, r *http.Request, version schema.GroupVersion) func(watch.EventType, runtime.Object) error {
	info := serializer(r)
	flush := http.NewResponseController(w).Flush
	w.Header().Set("Content-Type", info.MediaType+";stream=watch")
	w.WriteHeader(http.StatusOK)
	_ = flush() // the client may have gone
	embedded := clientgoscheme.Codecs.EncoderForVersion(info.Serializer, version)
	frames := info.StreamSerializer.Framer.NewFrameWriter(w)
	events := streaming.NewEncoder(frames, clientgoscheme.Codecs.EncoderForVersion(info.StreamSerializer.Serializer, version))
	return func(kind watch.EventType, object runtime.Object) error {
		raw, err := runtime.Encode(embedded, object)
		if err != nil {
			return err
		}
		if err := events.Encode(&metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: raw}}); err != nil {
			return err
		}
		return flush()
	}
}

// fail answers with an error as an API server does.
func fail(w http.ResponseWriter, r *http.Request, err *apierrors.StatusError) {
	answer(w, r, int(err.ErrStatus.Code), schema.GroupVersion{Version: "v1"}, &err.ErrStatus)
}
