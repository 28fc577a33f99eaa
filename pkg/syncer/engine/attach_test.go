// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// tokenIssuer plays the tenant's API server.
type tokenIssuer struct {
	clock  *clocktesting.FakeClock
	issued []authenticationv1.TokenRequestSpec
}

func (i *tokenIssuer) funcs() interceptor.Funcs {
	return interceptor.Funcs{SubResourceCreate: func(_ context.Context, _ client.Client, path string, account, body client.Object, _ ...client.SubResourceCreateOption) error {
		tokenRequest, ok := body.(*authenticationv1.TokenRequest)
		if path != "token" || !ok {
			return nil
		}
		if account.GetName() != "robot" {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccounts"}, account.GetName())
		}
		i.issued = append(i.issued, *tokenRequest.Spec.DeepCopy())
		now := i.clock.Now().Unix()
		claims := fmt.Sprintf(`{"n":%d,"iat":%d,"exp":%d}`, len(i.issued), now, now+*tokenRequest.Spec.ExpirationSeconds)
		tokenRequest.Status.Token = "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
		return nil
	}}
}

// newTokenPasses runs passes over a pod that has one token of an account.
func newTokenPasses(t *testing.T, issuer *tokenIssuer, account string) (run func() (time.Duration, error), superSide *side) {
	t.Helper()
	hour := int64(3600)
	k := process()
	k.Attach = func(_ context.Context, _ kind.Env, tenant, _ *corev1.Pod) (*kind.Attachment, error) {
		return &kind.Attachment{Name: "beside", Tokens: map[string]kind.Token{"token": {
			Namespace: "shop", ServiceAccount: account, Audience: "vault", ExpirationSeconds: &hour, Pod: tenant.Name, PodUID: tenant.UID,
		}}}, nil
	}
	tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")...)
	tenantSide.intercept(issuer.funcs())
	superSide.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		o.SetUID("secret")
		return c.Create(ctx, o, opts...)
	}})
	e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k.Translator()}, Clock: issuer.clock})
	if err != nil {
		t.Fatal(err)
	}
	tn := newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{}))
	key := types.NamespacedName{Namespace: "shop", Name: "web"}
	return func() (time.Duration, error) {
		p := &pass{controller: e.controllers[0], tenantCluster: tn, request: request{Tenant: "tenant-1", NamespacedName: key}}
		return p.reconcile(t.Context())
	}, superSide
}

// TestTokensAreRotated: a token is asked for with the audience and the life that
// the pod wants, bound to the pod, and again when four fifths of that are over.
func TestTokensAreRotated(t *testing.T) {
	issuer := &tokenIssuer{clock: clocktesting.NewFakeClock(time.Unix(1_000_000, 0))}
	pass, superSide := newTokenPasses(t, issuer, "robot")
	held := func() string {
		var secret corev1.Secret
		exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "beside"}, &secret)
		return string(secret.Data["token"])
	}
	last := ""
	for _, step := range []struct {
		after, again time.Duration
		issued       int
	}{
		{0, 48 * time.Minute, 1},
		{10 * time.Minute, 38 * time.Minute, 1},
		{38 * time.Minute, 48 * time.Minute, 2},
		{2 * time.Hour, 48 * time.Minute, 3}, // the syncer was away: the token is over
	} {
		issuer.clock.Step(step.after)
		again, err := pass()
		if err != nil {
			t.Fatal(err)
		}
		if len(issuer.issued) != step.issued || again != step.again {
			t.Errorf("after %s more: %d tokens, again in %s; want %d and %s", step.after, len(issuer.issued), again, step.issued, step.again)
		}
		if renewed := held() != last; renewed != (step.again == 48*time.Minute) {
			t.Errorf("after %s more: the secret has a new token: %v", step.after, renewed)
		}
		last = held()
	}
	spec := issuer.issued[0]
	if len(spec.Audiences) != 1 || spec.Audiences[0] != "vault" || *spec.ExpirationSeconds != 3600 ||
		spec.BoundObjectRef == nil || spec.BoundObjectRef.UID != "new" || spec.BoundObjectRef.Kind != "Pod" || spec.BoundObjectRef.Name != "web" {
		t.Errorf("asked for %+v, bound to %+v", spec, spec.BoundObjectRef)
	}
}

func TestTokenOfAnAccountThatIsMissing(t *testing.T) {
	pass, superSide := newTokenPasses(t, &tokenIssuer{clock: clocktesting.NewFakeClock(time.Unix(1_000_000, 0))}, "nobody")
	if _, err := pass(); !kind.IsWait(err) {
		t.Errorf("error %v, want a wait", err)
	}
	if exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "beside"}, &corev1.Secret{}) {
		t.Error("a secret without its token was written: the kubelet would start the pod")
	}
}
