package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

func TestEndpointsAreBoundedPerApp(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		other := w.open(t)
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			errs []error
		)
		for i := range 30 {
			wg.Go(func() {
				by := []*outbox.Outbox{o, other}[i%2]
				_, _, err := by.App("shop").CreateEndpoint(context.Background(), endpointAt("http://127.0.0.1:1/"+strconv.Itoa(i%15)))
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		wg.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
			} else if !errors.Is(err, outbox.ErrTooManyEndpoints) {
				require.ErrorIs(t, err, outbox.ErrDuplicateEndpoint)
			}
		}
		require.Equal(t, outbox.DefaultMaxEndpoints, made)
		all, err := o.App("shop").Endpoints(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 10)
		require.NoError(t, o.App("shop").DeleteEndpoint(t.Context(), all[0].ID))
		require.ErrorIs(t, o.App("shop").DeleteEndpoint(t.Context(), all[0].ID), outbox.ErrUnknownEndpoint)
		create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/new"))

		apps, err := o.Apps(t.Context(), outbox.Page{})
		require.NoError(t, err)
		require.Equal(t, outbox.Apps{Items: []string{"shop"}}, apps)
		_, err = o.App("nobody").Endpoints(t.Context())
		require.ErrorIs(t, err, outbox.ErrUnknownApp)
	})
}

func TestBadEndpointsAreRefusedWithTheFieldAtFault(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		for field, c := range map[string]outbox.EndpointConfig{
			"URL":             {URL: sender.NewURL("https://10.0.0.1/hook")},
			"Events":          {URL: sender.NewURL("http://127.0.0.1:1/"), Events: []string{"deploy.faild"}},
			"Header":          {URL: sender.NewURL("http://127.0.0.1:1/"), Header: sender.NewHeader(http.Header{"Host": {"x"}})},
			"BodyFormat":      {URL: sender.NewURL("http://127.0.0.1:1/"), BodyFormat: "nothing"},
			"Schedule":        {URL: sender.NewURL("http://127.0.0.1:1/"), Schedule: "nothing"},
			"Scheme":          {URL: sender.NewURL("http://127.0.0.1:1/"), Scheme: "nothing"},
			"Secret":          {URL: sender.NewURL("http://127.0.0.1:1/"), Secret: outbox.NewSecret("hunter2-hunter2-hunter2")},
			"Timeout":         {URL: sender.NewURL("http://127.0.0.1:1/"), Timeout: time.Hour},
			"MaxConcurrency":  {URL: sender.NewURL("http://127.0.0.1:1/"), MaxConcurrency: -1},
			"RateLimit":       {URL: sender.NewURL("http://127.0.0.1:1/"), RateLimit: -1},
			"Description":     {URL: sender.NewURL("http://127.0.0.1:1/"), Description: "a\nb"},
			"SignatureHeader": {URL: sender.NewURL("http://127.0.0.1:1/"), SignatureHeader: "X-Mine"},
		} {
			_, _, err := o.App("shop").CreateEndpoint(t.Context(), c)
			requireField(t, err, field)
			require.NotContains(t, err.Error(), "hunter2")
		}
		_, _, err := o.App("a").CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/"), Scheme: outbox.SchemeBearer})
		requireField(t, err, "Secret")
		apps, err := o.Apps(t.Context(), outbox.Page{})
		require.NoError(t, err)
		require.Empty(t, apps.Items)
		_, err = o.App("shop").Endpoint(t.Context(), "ep_unknown")
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
	})
}

func TestUpdatesAreCheckedAndTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		before, after := newHook(t, nil), newHook(t, nil)
		e, _ := create(t, o.App("shop"), endpointAt(before.URL))
		create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/taken"))
		p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)

		taken := "http://127.0.0.1:1/taken"
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{URL: new(sender.NewURL(taken))})
		require.ErrorIs(t, err, outbox.ErrDuplicateEndpoint)
		private := "https://192.168.0.1/"
		_, err = o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{URL: new(sender.NewURL(private))})
		requireField(t, err, "URL")

		header := http.Header{"X-Api-Key": {"key-of-the-customer"}}
		got, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{
			URL: new(sender.NewURL(after.URL)), Header: new(sender.NewHeader(header)), Events: &[]string{"deploy.*"}, Description: new("moved"), RateLimit: new(500.0),
		})
		require.NoError(t, err)
		require.Equal(t, []string{"X-Api-Key"}, got.HeaderNames)
		require.Equal(t, "moved", got.Description)
		require.InDelta(t, 500, got.RateLimit, 0.001)
		require.NotContains(t, fmt.Sprintf("%+v", got), "key-of-the-customer")
		p = publish(t, o.App("shop"), event(payload.DeployLive, "dep_2"))
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
		require.Equal(t, 1, before.count())
		require.Equal(t, "key-of-the-customer", after.requests()[0].header.Get("X-Api-Key"))
		attempts, err := o.App("shop").Attempts(t.Context(), p.Deliveries[0].ID)
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprintf("%+v", attempts), "key-of-the-customer")
		_, err = o.App("shop").UpdateEndpoint(t.Context(), "ep_unknown", outbox.EndpointUpdate{})
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
	})
}

func TestEverySchemeVerifies(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		for scheme, verifier := range map[outbox.Scheme]func(secret string) (signer.Verifier, error){
			outbox.SchemeStandard: func(s string) (signer.Verifier, error) {
				key, err := signer.ParseSecret(s)
				require.NoError(t, err)
				return signer.NewStandard(key)
			},
			outbox.SchemeEd25519: func(s string) (signer.Verifier, error) {
				key, err := signer.ParseVerifyingKey(s)
				require.NoError(t, err)
				return signer.NewStandard(key)
			},
			outbox.SchemeTimestamped: func(s string) (signer.Verifier, error) {
				key, err := signer.NewLiteralSecret(s)
				require.NoError(t, err)
				return signer.NewTimestamped(key, signer.WithHeaderPrefix("X-Temps"))
			},
			outbox.SchemeStripe: func(s string) (signer.Verifier, error) {
				key, err := signer.NewLiteralSecret(s)
				require.NoError(t, err)
				return signer.NewStripe(key, signer.WithHeader("X-Stripe-Signature"))
			},
			outbox.SchemeBearer: func(s string) (signer.Verifier, error) {
				hash, err := signer.HashAPIKey(s)
				require.NoError(t, err)
				return signer.NewAPIKeys([]signer.APIKey{{Principal: "shop", Hash: hash}})
			},
		} {
			h := newHook(t, nil)
			app := o.App("app of " + string(scheme))
			c := endpointAt(h.URL)
			c.Scheme = scheme
			switch scheme {
			case outbox.SchemeTimestamped:
				c.SignatureHeader = "X-Temps"
			case outbox.SchemeStripe:
				c.SignatureHeader = "X-Stripe-Signature"
			case outbox.SchemeBearer:
				c.Secret = outbox.NewSecret("periscope_0123456789abcdef")
			}
			_, secret := create(t, app, c)
			p := publish(t, app, event(payload.DeployLive, "dep_1"))
			settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
			v, err := verifier(secret.Reveal())
			require.NoError(t, err)
			_, err = v.Verify(&http.Request{Header: h.requests()[0].header}, h.requests()[0].body)
			require.NoError(t, err, scheme)
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				require.NotContains(t, fmt.Sprintf(verb, secret), secret.Reveal())
				require.NotContains(t, fmt.Sprintf(verb, c), h.URL+"/", verb)
			}
		}
	})
}

// During the grace period, deliveries carry signatures by both secrets. A
// receiver accepts them with the old secret, the new one or both. After it, a
// receiver with only the old secret refuses them.
func TestRotationKeepsBothSecretsForTheGrace(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		var mu sync.Mutex
		accepts := map[string]int{}
		var verifiers sync.Map // name -> http.Handler
		h := newHook(t, func(_ int, r received) int {
			status := http.StatusInternalServerError
			verifiers.Range(func(name, handler any) bool {
				rw := &statusWriter{}
				req, _ := http.NewRequest(http.MethodPost, "http://x/", strings.NewReader(string(r.body)))
				req.Header = r.header.Clone()
				handler.(http.Handler).ServeHTTP(rw, req)
				mu.Lock()
				defer mu.Unlock()
				if rw.status == http.StatusOK {
					accepts[name.(string)]++
					status = http.StatusOK
				}
				return true
			})
			return status
		})
		handler := func(secret string) http.Handler {
			key, err := signer.ParseSecret(secret)
			require.NoError(t, err)
			scheme, err := signer.NewStandard(key)
			require.NoError(t, err)
			rcv, err := receiver.New(scheme, receiver.InsecureNoDedupe(), receiver.WithLogger(slog.New(slog.DiscardHandler)))
			require.NoError(t, err)
			return rcv.Events(func(context.Context, *payload.Event) error { return nil })
		}
		deliver := func() (old, new int) {
			p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
			settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
			mu.Lock()
			defer mu.Unlock()
			old, new = accepts["old"], accepts["new"]
			clear(accepts)
			return old, new
		}
		e, first := create(t, o.App("shop"), endpointAt(h.URL))
		verifiers.Store("old", handler(first.Reveal()))
		old, _ := deliver()
		require.Equal(t, 1, old)

		second, err := o.App("shop").RotateSecret(t.Context(), e.ID, "", time.Hour)
		require.NoError(t, err)
		require.NotEqual(t, first.Reveal(), second.Reveal())
		verifiers.Store("new", handler(second.Reveal()))
		old, fresh := deliver()
		require.Equal(t, []int{1, 1}, []int{old, fresh}, "during the grace")

		const grace = time.Second
		third, err := o.App("shop").RotateSecret(t.Context(), e.ID, "", grace)
		require.NoError(t, err)
		over := time.After(grace)
		verifiers.Store("old", handler(second.Reveal()))
		verifiers.Store("new", handler(third.Reveal()))
		_, fresh = deliver() // with the old secret, too, where the machine is not slow
		require.Equal(t, 1, fresh)
		<-over
		old, fresh = deliver()
		require.Equal(t, []int{0, 1}, []int{old, fresh}, "after the grace")

		fourth, err := o.App("shop").RotateSecret(t.Context(), e.ID, "", 0)
		require.NoError(t, err)
		verifiers.Store("old", handler(third.Reveal()))
		verifiers.Store("new", handler(fourth.Reveal()))
		old, fresh = deliver()
		require.Equal(t, []int{0, 1}, []int{old, fresh}, "without grace")

		_, err = o.App("shop").RotateSecret(t.Context(), e.ID, fourth.Reveal(), time.Hour)
		requireField(t, err, "Secret")
		_, err = o.App("shop").RotateSecret(t.Context(), e.ID, "", -1)
		requireField(t, err, "grace")
		_, err = o.App("shop").RotateSecret(t.Context(), "ep_unknown", "", 0)
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
	})
}

type statusWriter struct {
	header http.Header
	status int
}

func (w *statusWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (w *statusWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *statusWriter) WriteHeader(status int)      { w.status = status }

func TestTestEndpointMakesOneAttemptAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t) // not started
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.Events = []string{"deploy.failed"}
		e, _ := create(t, o.App("shop"), c)
		d, a, err := o.App("shop").TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.Delivered, d.State)
		require.Equal(t, outbox.EventTest, d.Type)
		require.Equal(t, sender.Delivered, a.Outcome)
		require.Equal(t, 1, h.count())

		h.set(always(http.StatusTeapot))
		require.NoError(t, o.App("shop").Disable(t.Context(), e.ID, "to see"))
		d, a, err = o.App("shop").TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.Failed, d.State)
		require.Equal(t, http.StatusTeapot, a.Status)
		require.Equal(t, 1, d.Attempts)
		_, _, err = o.App("shop").TestEndpoint(t.Context(), "ep_unknown")
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
	})
}

func TestDuplicatesInAnotherSpelling(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		u, err := url.Parse(newHook(t, nil).URL)
		require.NoError(t, err)
		port := ":" + u.Port()
		create(t, o.App("shop"), endpointAt("http://localhost"+port+"/x"))
		create(t, o.App("shop"), endpointAt("http://127.0.0.1/x"))
		for _, same := range []string{"HTTP://localhost" + port + "/x/", "http://LocalHost." + port + "/x", "http://127.0.0.1:80/x"} {
			_, _, err := o.App("shop").CreateEndpoint(t.Context(), endpointAt(same))
			require.ErrorIs(t, err, outbox.ErrDuplicateEndpoint, same)
		}
		for _, other := range []string{"http://localhost" + port + "/X", "http://127.0.0.1:8080/x"} {
			create(t, o.App("shop"), endpointAt(other))
		}
	})
}
