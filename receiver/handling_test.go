package receiver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// Of a thousand concurrent copies one takes effect. No copy gets 200 before
// that.
func TestConcurrentCopiesRunTheHandlerOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const copies = 1000
		scheme := newScheme(t)
		var calls atomic.Int32
		var done atomic.Bool
		h := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "test")).Events(func(context.Context, *payload.Event) error {
			calls.Add(1)
			time.Sleep(time.Second) // all other copies arrive during this time
			done.Store(true)
			return nil
		})
		var handled, inFlight atomic.Int32
		var wg sync.WaitGroup
		for range copies {
			r := signedRequest(t, scheme, "whk_1", eventBody)
			wg.Go(func() {
				w := serve(h, r)
				switch {
				case w.Code == 200 && w.Body.String() == `{"received":true}` && done.Load():
					handled.Add(1)
				case w.Code == 409 && w.Header().Get("Retry-After") != "":
					inFlight.Add(1)
				default:
					t.Errorf("%d %s, effect done: %v", w.Code, w.Body, done.Load())
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, calls.Load())
		require.EqualValues(t, 1, handled.Load())
		require.EqualValues(t, copies-1, inFlight.Load())
		require.Equal(t, `{"received":true,"duplicate":true}`, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Body.String())
	})
}

// For every way a handler can fail, the claim is released and the retry runs.
func TestFailedHandler_RetryRuns(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(ctx context.Context, cancel func()) error{
		"error":     func(context.Context, func()) error { return errors.New("no") },
		"panic":     func(context.Context, func()) error { panic("no") },
		"panic nil": func(context.Context, func()) error { var f func(); f(); return nil },
		"context ends": func(ctx context.Context, cancel func()) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		},
		"goroutine ends": func(context.Context, func()) error { runtime.Goexit(); return nil },
		"abort":          func(context.Context, func()) error { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme := newScheme(t)
			store := receivertest.NewStore(t)
			calls := 0
			var cancel context.CancelFunc
			var results []receiver.Result
			observed := receiver.WithObserver(func(_ context.Context, r receiver.Result) { results = append(results, r) })
			h := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), observed).Events(func(ctx context.Context, _ *payload.Event) error {
				if calls++; calls == 1 {
					return fail(ctx, cancel)
				}
				return nil
			})
			r := signedRequest(t, scheme, "whk_1", eventBody)
			ctx, stop := context.WithCancel(r.Context())
			cancel = stop
			first := make(chan *httptest.ResponseRecorder, 1)
			go func() { // its own goroutine, because one case ends the goroutine
				w := httptest.NewRecorder()
				defer func() {
					_ = recover()
					first <- w
				}()
				h.ServeHTTP(w, r.WithContext(ctx))
			}()
			if w := <-first; name != "abort" {
				require.Equal(t, 500, w.Code)
			}
			require.Equal(t, 1, store.Calls(receivertest.Release))
			require.Zero(t, store.Calls(receivertest.Complete))
			require.Len(t, results, 1, "every case writes one log line")
			require.Contains(t, []receiver.Outcome{receiver.Failed, receiver.Panicked}, results[0].Outcome)
			require.Error(t, results[0].Err)

			w := serve(h, signedRequest(t, scheme, "whk_1", eventBody))
			require.Equal(t, `{"received":true}`, w.Body.String())
			require.Equal(t, 2, calls)
		})
	}
}

func TestAbortHandlerDropsTheConnection(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "test")).Events(func(context.Context, *payload.Event) error {
		panic(http.ErrAbortHandler)
	})
	w := httptest.NewRecorder()
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(w, signedRequest(t, scheme, "", eventBody)) })
	require.False(t, w.Flushed, "no answer precedes the end of the connection")
}

// A store that never answers counts as down. The receiver does not wait
// forever.
func TestStore_SlowCallCountsAsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store := receivertest.NewStore(t).Every(receivertest.Claim, receivertest.Hangs())
		h := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithStoreTimeout(3*time.Second)).Events(ok)
		start := time.Now()
		require.Equal(t, 503, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// Retry-After is in whole seconds, rounded up and bounded.
func TestInFlightRetryAfter(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	for rest, want := range map[time.Duration]string{time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2", time.Minute: "5"} {
		h := newReceiver(t, scheme, receiver.WithDedupe(busyStore{newMemory(t), rest}, "test")).Events(ok)
		w := serve(h, signedRequest(t, scheme, "", eventBody))
		require.Equal(t, 409, w.Code)
		require.Equal(t, want, w.Header().Get("Retry-After"))
	}
}

type busyStore struct {
	dedupe.Store
	rest time.Duration
}

func (s busyStore) Claim(_ context.Context, k dedupe.Key, _ time.Duration) (dedupe.Claim, error) {
	return dedupe.Claim{Key: k, State: dedupe.InFlight, RetryAfter: s.rest}, nil
}

// The handler took effect before the sender disconnected, so the delivery must
// be remembered although the context has ended.
func TestComplete_AfterSenderDisconnects(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	ctx, cancel := context.WithCancel(t.Context())
	h := newReceiver(t, scheme, receiver.WithDedupe(remoteStore{newMemory(t)}, "test")).Events(func(context.Context, *payload.Event) error {
		cancel()
		return nil
	})
	serve(h, signedRequest(t, scheme, "whk_1", eventBody).WithContext(ctx))
	require.Equal(t, `{"received":true,"duplicate":true}`, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Body.String())
}

// remoteStore waits for its context as a network client does.
type remoteStore struct{ dedupe.Store }

func (s remoteStore) Complete(ctx context.Context, c dedupe.Claim) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	default:
		return s.Store.Complete(ctx, c)
	}
}

// A forger who guesses the next ID must not make the receiver drop the real
// delivery.
func TestUnverifiedRequest_ClaimsNothing(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	memory := newMemory(t)
	store := receivertest.WrapStore(t, memory)
	h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Events(ok)
	require.Equal(t, 401, serve(h, signedRequest(t, newScheme(t), "whk_1", eventBody)).Code)
	require.Equal(t, 400, serve(h, signedRequest(t, scheme, "whk_1", `{"event":"deploy.live"}`)).Code)
	require.Zero(t, store.Calls(receivertest.Claim))
	require.Zero(t, memory.Len())
	require.Equal(t, `{"received":true}`, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Body.String())
}

func TestDedupe_SameIDFromTwoSources(t *testing.T) {
	t.Parallel()
	store := newMemory(t)
	calls := 0
	count := func(context.Context, *payload.Event) error { calls++; return nil }
	one, two := newScheme(t), newScheme(t)
	acme, zeta := newScheme(t, signer.WithPrincipal("acme")), newScheme(t, signer.WithPrincipal("zeta"))
	for i, c := range []struct {
		scheme *signer.Standard
		source string
	}{{one, "one"}, {two, "two"}, {acme, "tenants"}, {zeta, "tenants"}} {
		h := newReceiver(t, c.scheme, receiver.WithDedupe(store, c.source)).Events(count)
		for range 2 {
			require.Equal(t, 200, serve(h, signedRequest(t, c.scheme, "whk_1", eventBody)).Code)
		}
		require.Equal(t, i+1, calls, "source %s", c.source)
	}
}

// Rotating a key must not make earlier deliveries look new.
func TestDedupeSurvivesKeyRotation(t *testing.T) {
	t.Parallel()
	store := newMemory(t)
	older, newer := signer.GenerateSecret(), signer.GenerateSecret()
	oldScheme, err := signer.NewStandard(older)
	require.NoError(t, err)
	newScheme, err := signer.NewStandard(newer)
	require.NoError(t, err)
	both, err := signer.NewStandard(newer, signer.WithKey(older))
	require.NoError(t, err)
	h := newReceiver(t, both, receiver.WithDedupe(store, "test")).Events(ok)
	require.Equal(t, `{"received":true}`, serve(h, signedRequest(t, oldScheme, "whk_1", eventBody)).Body.String())
	require.Equal(t, `{"received":true,"duplicate":true}`, serve(h, signedRequest(t, newScheme, "whk_1", eventBody)).Body.String())
}

// An unsigned ID proves nothing, so the body's hash identifies the delivery.
func TestDedupe_IgnoresUnsignedIDs(t *testing.T) {
	t.Parallel()
	scheme, err := signer.NewTimestamped(signer.GenerateLiteralSecret())
	require.NoError(t, err)
	calls := 0
	h := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "test")).Events(func(ctx context.Context, _ *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		require.Empty(t, d.ID)
		calls++
		return nil
	})
	require.Equal(t, 200, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
	require.Contains(t, serve(h, signedRequest(t, scheme, "whk_2", eventBody)).Body.String(), "duplicate", "another ID on the same body")
	require.Equal(t, `{"received":true}`, serve(h, signedRequest(t, scheme, "whk_1", eventBody+" ")).Body.String(), "the same ID on another body")
	require.Equal(t, 2, calls)
}

func TestFromContext(t *testing.T) {
	t.Parallel()
	_, found := receiver.FromContext(t.Context())
	require.False(t, found)

	scheme := newScheme(t, signer.WithPrincipal("acme"))
	h := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "platform")).Events(func(ctx context.Context, e *payload.Event) error {
		d, ok := receiver.FromContext(ctx)
		require.True(t, ok)
		require.Equal(t, "whk_1", d.ID)
		require.Equal(t, "acme", d.Principal)
		require.Equal(t, "platform", d.Source)
		require.Equal(t, "key-1", d.Key)
		require.Equal(t, eventBody, string(d.Body))
		require.Same(t, e, d.Event)
		require.Equal(t, dedupe.Claimed, d.Claim.State)
		require.WithinDuration(t, time.Now(), d.Timestamp, time.Minute)
		return nil
	})
	require.Equal(t, 200, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
}

func TestInsecureNoDedupeRunsEveryCopy(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	calls := 0
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(func(context.Context, *payload.Event) error { calls++; return nil })
	for range 3 {
		require.Equal(t, 200, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
	}
	require.Equal(t, 3, calls)
}

// A store that panics counts as down, on any goroutine.
func TestStore_PanicCountsAsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		boom := func(context.Context, func(context.Context) error) error { panic("store: nil map") }
		for method, status := range map[receivertest.Method]int{
			receivertest.Claim: 503, receivertest.Complete: 503, receivertest.Renew: 500, // the handler loses its lease
		} {
			scheme := newScheme(t)
			h := newReceiver(t, scheme, receiver.WithDedupe(receivertest.NewStore(t).Every(method, boom), "test")).Events(func(ctx context.Context, _ *payload.Event) error {
				time.Sleep(time.Minute)
				return context.Cause(ctx)
			})
			require.Equal(t, status, serve(h, signedRequest(t, scheme, "", eventBody)).Code, method)
		}
	})
}

// The refusals must not reveal which tenants exist.
func TestPerRequest_APIKeyAnswersAreEqual(t *testing.T) {
	t.Parallel()
	key, err := signer.GenerateAPIKey("test")
	require.NoError(t, err)
	hash, err := signer.HashAPIKey(key.Reveal())
	require.NoError(t, err)
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	require.NoError(t, err)
	lookup := receiver.PerRequest(func(r *http.Request) (string, signer.Verifier, error) {
		if r.Header.Get("X-Tenant") == "acme" {
			return "acme", keys, nil
		}
		return "", nil, receiver.ErrUnknownTenant
	})
	h := newReceiver(t, lookup, receiver.WithDedupe(newMemory(t), "test")).Events(ok)
	var bodies []string
	for _, tenant := range []string{"acme", "nobody"} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(eventBody))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Tenant", tenant)
		w := serve(h, r)
		require.Equal(t, 401, w.Code)
		bodies = append(bodies, w.Body.String())
	}
	require.Equal(t, bodies[0], bodies[1])
}
