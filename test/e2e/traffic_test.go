// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// requestPeriod is the time between two writes of one client, each with a read after it.
	requestPeriod = 100 * time.Millisecond
	// requestLimit is how long one request may take before it has failed.
	requestLimit = 10 * time.Second
	// retryFor is how long the client that retries goes on with one request.
	retryFor = 3 * time.Minute
	// mostFailures is the share of failed requests of clients that do not retry.
	mostFailures = 0.01
	// shownFailures is how many of a client's failures are printed.
	shownFailures = 5
)

// requests makes plain HTTP requests: what fails is not hidden by a library that tries again.
type requests struct {
	client *http.Client
	server string
}

// newRequests returns requests on fresh connections, or on one that is kept (HTTP/2).
func newRequests(config *rest.Config, fresh bool) (*requests, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: tls, DisableKeepAlives: fresh, ForceAttemptHTTP2: !fresh, TLSHandshakeTimeout: requestLimit}
	return &requests{&http.Client{Transport: transport, Timeout: requestLimit}, config.Host}, nil
}

// do makes one request, whose answer must have one of the codes.
func (r *requests) do(ctx context.Context, method, path string, body []byte, codes ...int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(response.Body) // to the end: its connection is used again
	err = errors.Join(err, response.Body.Close())
	if err == nil && !slices.Contains(codes, response.StatusCode) {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(content)))
	}
	return content, err
}

// trafficClient writes ConfigMaps and reads them again, one after the other.
type trafficClient struct {
	name     string
	requests *requests
	retries  bool

	made, failed int
	longest      time.Duration
	failures     []string
	// journal holds what was acknowledged: value by name.
	journal map[string]string
}

// traffic is clients that write and read until they are stopped.
type traffic struct {
	tenant    *tenant
	namespace string
	clients   []*trafficClient
	stop      context.CancelFunc
	stopped   sync.WaitGroup
}

// startTraffic starts clients in a namespace of their own: two do not retry, on
// fresh connections and on a kept one, and one retries.
func startTraffic(t *testing.T, tn *tenant, namespace string) *traffic {
	t.Helper()
	if err := tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	out := &traffic{tenant: tn, namespace: namespace, stop: stop}
	for _, kind := range []struct {
		name           string
		fresh, retries bool
	}{{"fresh", true, false}, {"kept", false, false}, {"retrying", false, true}} {
		requests, err := newRequests(tn.config, kind.fresh)
		if err != nil {
			t.Fatal(err)
		}
		one := &trafficClient{name: kind.name, requests: requests, retries: kind.retries, journal: map[string]string{}}
		out.clients = append(out.clients, one)
		out.stopped.Go(func() { one.run(ctx, namespace) })
	}
	t.Cleanup(func() { stop(); out.stopped.Wait() })
	return out
}

// run writes and reads until ctx ends; what is under way then is finished.
func (c *trafficClient) run(ctx context.Context, namespace string) {
	ticker := time.NewTicker(requestPeriod)
	defer ticker.Stop()
	path := "/api/v1/namespaces/" + namespace + "/configmaps"
	for number := 0; ; number++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		object := &corev1.ConfigMap{}
		object.Name, object.Data = fmt.Sprintf("%s-%d", c.name, number), map[string]string{"value": fmt.Sprint(number)}
		body, err := json.Marshal(object)
		if err != nil {
			c.fail(err)
			return
		}
		finish := context.WithoutCancel(ctx)
		codes := []int{http.StatusCreated}
		if c.retries {
			// What was written by a request whose answer was lost.
			codes = append(codes, http.StatusConflict)
		}
		if _, err := c.once(finish, http.MethodPost, path, body, codes...); err != nil {
			continue
		}
		c.journal[object.Name] = object.Data["value"]
		content, err := c.once(finish, http.MethodGet, path+"/"+object.Name, nil, http.StatusOK)
		if err == nil && !bytes.Contains(content, []byte(`"value":"`+object.Data["value"]+`"`)) {
			c.fail(fmt.Errorf("%s is read as %s", object.Name, content))
		}
	}
}

// once makes one request, again and again if this client retries.
func (c *trafficClient) once(ctx context.Context, method, path string, body []byte, codes ...int) ([]byte, error) {
	c.made++
	started := time.Now()
	ticker := time.NewTicker(requestPeriod)
	defer ticker.Stop()
	for {
		content, err := c.requests.do(ctx, method, path, body, codes...)
		if err == nil || !c.retries || time.Since(started) > retryFor {
			c.longest = max(c.longest, time.Since(started))
			if err != nil {
				c.fail(err)
			}
			return content, err
		}
		<-ticker.C
	}
}

func (c *trafficClient) fail(err error) {
	c.failed++
	if len(c.failures) < shownFailures {
		c.failures = append(c.failures, time.Now().Format(time.TimeOnly)+" "+err.Error())
	}
}

// stopAndReport stops the clients, prints what they met, and checks that all
// that was acknowledged is there.
func (tr *traffic) stopAndReport(t *testing.T) {
	t.Helper()
	tr.stop()
	tr.stopped.Wait()
	stored := &corev1.ConfigMapList{}
	if err := tr.tenant.client.List(t.Context(), stored, client.InNamespace(tr.namespace)); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, object := range stored.Items {
		values[object.Name] = object.Data["value"]
	}
	for _, one := range tr.clients {
		lost := 0
		for _, name := range slices.Sorted(maps.Keys(one.journal)) {
			if values[name] != one.journal[name] {
				lost++
			}
		}
		t.Logf("%s, client %s: %d requests, %d failed, longest %s, %d acknowledged writes, %d lost",
			tr.namespace, one.name, one.made, one.failed, one.longest.Round(time.Millisecond), len(one.journal), lost)
		for _, failure := range one.failures {
			t.Logf("  %s", failure)
		}
		if lost > 0 || len(one.journal) == 0 {
			t.Errorf("client %s: %d of %d acknowledged writes are lost", one.name, lost, len(one.journal))
		}
		if one.retries && one.failed > 0 {
			t.Errorf("client %s: %d requests failed in spite of retries", one.name, one.failed)
		}
	}
}

// stopAndCheck does what stopAndReport does, and bounds the failures of clients that do not retry.
func (tr *traffic) stopAndCheck(t *testing.T) {
	t.Helper()
	tr.stopAndReport(t)
	for _, one := range tr.clients {
		if share := float64(one.failed) / float64(one.made); share > mostFailures {
			t.Errorf("client %s: %.2f %% of its requests failed, want at most %.0f %%", one.name, 100*share, 100*mostFailures)
		}
	}
}
