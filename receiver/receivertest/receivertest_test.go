package receivertest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/tbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// row is a scheme. It is untimed if it signs no time, and open if it does not
// cover the body.
type row struct {
	scheme        *receivertest.Scheme
	untimed, open bool
}

// schemes are all that the package has.
func schemes(t testing.TB) map[string]row {
	literal := signer.GenerateLiteralSecret
	return map[string]row{
		"standard":    {scheme: receivertest.Standard(t, signer.GenerateSecret(), signer.WithTolerance(3*time.Hour))},
		"ed25519":     {scheme: receivertest.Standard(t, signer.GenerateSigningKey())},
		"timestamped": {scheme: receivertest.Timestamped(t, literal(), signer.WithHeaderPrefix("X-Temps"))},
		"stripe":      {scheme: receivertest.Stripe(t, literal(), signer.WithFieldNames("timestamp", "signature"))},
		"github":      {scheme: receivertest.GitHub(t, literal()), untimed: true},
		"vercel":      {scheme: receivertest.BodyOnly(t, literal(), receivertest.BodyOnlyForm{Header: "X-Vercel-Signature", SHA1: true}), untimed: true},
		"heroku":      {scheme: receivertest.BodyOnly(t, literal(), receivertest.BodyOnlyForm{Header: "Heroku-Webhook-Hmac-Sha256", Base64: true}), untimed: true},
		"circleci":    {scheme: receivertest.BodyOnly(t, literal(), receivertest.BodyOnlyForm{Header: "Circleci-Signature", Prefix: "v1="}), untimed: true},
		"bearer":      {scheme: receivertest.APIKey(t, literal(), "acme"), untimed: true, open: true},
		"gitlab":      {scheme: receivertest.APIKey(t, literal(), "acme", signer.WithHeader("X-Gitlab-Token")), untimed: true, open: true},
	}
}

// Every scheme makes every kind of request, or says why it can't.
func TestRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, c := range schemes(t) {
			refused := receiver.Unauthenticated
			handler := receivertest.NewRecorder(t)
			post := receivertest.Direct(t, receivertest.New(t, c.scheme.Verifier(), receivertest.NewStore(t)).Events(handler.Event)).Post
			d := c.scheme.Event(receivertest.Event(payload.DeployFailed))
			post(d.Unsigned()).Want(refused)
			post(d.Forged()).Want(refused)
			if !c.open {
				post(d.Tampered()).Want(refused)
			}
			if !c.untimed {
				post(d.Stale()).Want(refused)
				post(d.Future()).Want(refused)
			}
			handler.WantCalls(0)
			post(d.Request()).Want(receiver.Handled)
			post(d.Request()).Want(receiver.Duplicate)
			handler.WantDelivery(d, 1)

			for _, e := range receivertest.Events() {
				post(c.scheme.Event(e).Request()).Want(receiver.Handled)
			}
			require.Len(t, handler.Calls(), 7, name)

			require.Equal(t, c.untimed, fails(t, name, (*receivertest.Delivery).Stale, "it signs no time"), name)
			require.Equal(t, c.untimed, fails(t, name, (*receivertest.Delivery).Future, "it signs no time"), name)
			require.Equal(t, c.open, fails(t, name, (*receivertest.Delivery).Tampered, "it does not cover the body"), name)
		}
	})
}

// fails reports whether a kind of request ends the test with this text.
func fails(t *testing.T, name string, kind func(*receivertest.Delivery) *http.Request, text string) bool {
	t.Helper()
	got := tbtest.Failures(t, func(t testing.TB) { kind(schemes(t)[name].scheme.Body([]byte(`{}`))) })
	for _, failure := range got {
		require.Contains(t, failure, text)
	}
	return len(got) > 0
}

// A forger whose key the verifier knows is a mistake in the test.
func TestForged_WithKnownKey(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"Forged":   "Forged: the scheme accepts this request: the key of the forged requests is one of its keys; leave out signer.WithKey",
		"Unsigned": "Unsigned: the scheme accepts this request: it verifies nothing",
	} {
		got := tbtest.Failures(t, func(t testing.TB) {
			key := signer.GenerateSecret()
			s := receivertest.Standard(t, key, signer.WithKey(signer.GenerateSecret()))
			if kind == "Unsigned" {
				receivertest.Custom(t, lax{}, nil, nil).Body(nil).Unsigned()
			}
			s.Body([]byte(`{}`)).Forged()
		})
		require.Equal(t, []string{"receivertest: " + want}, got)
	}
}

type lax struct{}

func (lax) Verify(*http.Request, []byte) (signer.Verified, error) { return signer.Verified{}, nil }

func TestConstructors_Fail(t *testing.T) {
	t.Parallel()
	var zero signer.Secret
	for name, f := range map[string]func(t testing.TB){
		"Standard: ":    func(t testing.TB) { receivertest.Standard(t, zero) },
		"Timestamped: ": func(t testing.TB) { receivertest.Timestamped(t, zero) },
		"Stripe: ":      func(t testing.TB) { receivertest.Stripe(t, zero) },
		"BodyOnly: ":    func(t testing.TB) { receivertest.GitHub(t, zero) },
		"APIKey: ":      func(t testing.TB) { receivertest.APIKey(t, zero, "acme") },
		"NewStore: ":    func(t testing.TB) { receivertest.NewStore(t, nil) },
		"New: ":         func(t testing.TB) { receivertest.New(t, nil, nil) },
		"Event: ": func(t testing.TB) {
			receivertest.Standard(t, signer.GenerateSecret()).Event(&payload.Event{})
		},
		"Deployment: ": func(t testing.TB) {
			receivertest.Standard(t, signer.GenerateSecret()).Deployment(&payload.Deployment{})
		},
		"a signed request can't be signed: ": func(t testing.TB) {
			d := receivertest.Standard(t, signer.GenerateSecret()).Body(nil)
			d.ID = "with.dot"
			d.Request()
		},
	} {
		got := tbtest.Failures(t, f)
		require.Len(t, got, 1, name)
		require.True(t, strings.HasPrefix(got[0], "receivertest: "+name), got[0])
	}
}

// The text of a failure says what was posted and what came back.
func TestWants_Fail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := tbtest.Failures(t, func(t testing.TB) {
			s := receivertest.Standard(t, signer.GenerateSecret())
			e := receivertest.Event(payload.DeployLive)
			e.DeliveryID = "whk_1"
			d := s.Event(e)
			h, store := receivertest.NewRecorder(t), receivertest.NewStore(t)
			c := receivertest.Direct(t, receivertest.New(t, s.Verifier(), store).Events(h.Event))
			c.Post(d.Forged()).Want(receiver.Handled)
			c.Post(d.Request()).WantStatus(202).WantHeader("Content-Type", "text/plain").WantBody("{}")
			h.WantCalls(2)
			h.WantTypes(payload.DeployFailed)
			h.WantDelivery(d, 0)
			store.WantCalls(receivertest.Claim, 3)
			c.PostAll(d.Copies(2)...).Want(receiver.Duplicate, 1).WantOneHandled()
			h.Does(func(context.Context) error { panic(http.ErrAbortHandler) })
			c.Post(s.Deployment(receivertest.Deployment(payload.StatusFailure)).Request()).Want(receiver.Ignored)
			d.ID = "whk_2"
			c.Post(d.Request()).Want(receiver.Handled)
		})
		call := "\n\t1. deploy.live of dep_a1b2c3d4, delivery whk_1"
		copies := "\n\t2 × duplicate (200 {\"received\":true,\"duplicate\":true})"
		require.Equal(t, []string{
			`receivertest: forged delivery whk_1 of deploy.live: got unauthenticated (401 {"error":"Invalid signature"}), want handled`,
			`receivertest: signed delivery whk_1 of deploy.live: got handled (200 {"received":true}), want the status 202 Accepted`,
			`receivertest: signed delivery whk_1 of deploy.live: got the header Content-Type: "application/json", want "text/plain"; the answer is handled (200 {"received":true})`,
			`receivertest: signed delivery whk_1 of deploy.live: got handled (200 {"received":true}), want the body {}`,
			"receivertest: the handler was called once, want 2 times" + call,
			"receivertest: the handler was called for the types [deploy.live], want [deploy.failed]" + call,
			"receivertest: the handler was called once for delivery whk_1 of deploy.live, want never" + call,
			"receivertest: the store's Claim was called once, want 3 times",
			"receivertest: 2 of 2 answers are duplicate, want 1; got" + copies,
			"receivertest: want one copy handled and the others duplicate or in_flight; got" + copies,
			got[10],
			"receivertest: signed delivery whk_2 of deploy.live: got no answer (net/http: abort Handler), want handled",
		}, got)
		require.Contains(t, got[10], "of a record with status failure: got invalid (400 ")
	})
}

// Copies at the same time are handled once, also where their number or the time
// of the handler is not known.
func TestPostAll(t *testing.T) {
	t.Parallel()
	s, h := receivertest.Standard(t, signer.GenerateSecret()), receivertest.NewRecorder(t)
	rcv := receivertest.New(t, s.Verifier(), receivertest.NewStore(t))
	for _, c := range []*receivertest.Client{receivertest.Direct(t, rcv.Events(h.Event)), receivertest.Serve(t, rcv.Events(h.Event))} {
		d := s.Event(receivertest.Event(payload.DeployLive))
		c.PostAll(d.Copies(20)...).WantOneHandled()
		h.WantDelivery(d, 1)
	}
}

// A request that is posted again is a replay, byte for byte.
func TestPost_Replay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, h := receivertest.Standard(t, signer.GenerateSecret()), receivertest.NewRecorder(t)
		mux := http.NewServeMux()
		mux.Handle("POST /webhooks/deploy", receivertest.New(t, s.Verifier(), receivertest.NewStore(t)).Events(h.Event))
		for _, c := range []*receivertest.Client{receivertest.Direct(t, mux), receivertest.Serve(t, mux)} {
			d := s.Event(receivertest.Event(payload.DeployLive))
			r, slow := d.Request(), d.Dripping(time.Millisecond)
			c.Post(r).Want(receiver.Handled)
			c.Post(r).Want(receiver.Duplicate)
			c.Post(slow).Want(receiver.Duplicate)
			c.Post(slow).Want(receiver.Duplicate)
			time.Sleep(signer.DefaultTolerance + time.Second)
			c.Post(r).Want(receiver.Unauthenticated)
		}
		broken := s.Body(nil).Request()
		broken.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("no body") }
		require.EqualError(t, receivertest.Direct(t, mux).Post(broken).Err, "no body")
	})
}

// A served handler that aborts gives no answer either.
func TestServe_Abort(t *testing.T) {
	t.Parallel()
	s := receivertest.GitHub(t, signer.GenerateLiteralSecret())
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	a := receivertest.Serve(t, h).Post(s.Body(nil).Request())
	require.Error(t, a.Err)
	require.Empty(t, a.Outcome())
	require.PanicsWithValue(t, "other", func() {
		receivertest.Direct(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("other") })).Post(s.Body(nil).Request())
	})
}

// The kinds of handler of a receiver all have their recorder.
func TestRecorder_Handlers(t *testing.T) {
	t.Parallel()
	s, h := receivertest.Standard(t, signer.GenerateSecret(), signer.WithPrincipal("acme")).To("/hooks/raw?a=b"), receivertest.NewRecorder(t)
	rcv := receivertest.New(t, s.Verifier(), receivertest.NewStore(t))
	record := receivertest.Deployment(payload.StatusSuccess)
	records := receivertest.Direct(t, rcv.Records(func(_ context.Context, body []byte) (*payload.Deployment, error) {
		return payload.DecodeDeployment(body)
	}, h.Record))
	records.Post(s.Deployment(record).Request()).Want(receiver.Handled)

	mux := http.NewServeMux()
	mux.Handle("POST /hooks/raw", rcv.Wrap(h))
	raw := s.Body([]byte(`{"any":"thing"}`))
	receivertest.Direct(t, mux).Post(raw.Request()).Want(receiver.Handled)
	h.Returns(errors.New("no room"))
	other := s.Body([]byte(`[]`))
	receivertest.Serve(t, mux).Post(other.Request()).WantStatus(500).WantBody("no room\n")

	inner := errors.New("inner")
	around := receivertest.Direct(t, rcv.Events(h.Around(func(context.Context, *payload.Event) error { return inner })))
	around.Post(s.Event(receivertest.Event(payload.BuildCompleted)).Request()).Want(receiver.Failed)
	h.Returns(receiver.ErrDuplicate)
	around.Post(s.Event(receivertest.Event(payload.BuildCompleted)).Request()).Want(receiver.Duplicate)

	calls := h.Calls()
	require.Len(t, calls, 5)
	require.True(t, record.Equal(calls[0].Deployment))
	for _, c := range calls {
		require.Equal(t, "acme", c.Principal)
		require.Equal(t, receivertest.Source, c.Source)
		require.Equal(t, "key-1", c.Key)
	}
	require.Equal(t, raw.ID, calls[1].ID)
	require.Equal(t, "15 bytes, delivery "+raw.ID, calls[1].String())
	require.Contains(t, calls[0].String(), "a record with status success of dep_a1b2c3d4")
}

// The faults of a store, one after the other.
func TestStore_Faults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store, h := receivertest.Standard(t, signer.GenerateSecret()), receivertest.NewStore(t), receivertest.NewRecorder(t)
		c := receivertest.Direct(t, receivertest.New(t, s.Verifier(), store, receiver.WithStoreTimeout(time.Second), receiver.WithLease(3*time.Second)).Events(h.Event))
		d := s.Event(receivertest.Event(payload.DeployLive))

		store.Next(receivertest.Claim, receivertest.Works(), receivertest.Fails(errors.New("disk full")))
		h.Returns(errors.New("once"))
		c.Post(d.Request()).Want(receiver.Failed)
		c.Post(d.Request()).Want(receiver.Unavailable)
		store.WantCalls(receivertest.Release, 1)

		store.Next(receivertest.Claim, receivertest.Slow(time.Minute), receivertest.Slow(time.Millisecond))
		require.Equal(t, time.Second, c.Post(d.Request()).Want(receiver.Unavailable).Took)
		require.Equal(t, time.Millisecond, c.Post(d.Request()).Want(receiver.Handled).Took)

		lost := s.Event(receivertest.Event(payload.DeployLive))
		store.Next(receivertest.Claim, receivertest.Lost())
		c.Post(lost.Request()).Want(receiver.Unavailable)
		c.Post(lost.Request()).Want(receiver.InFlight)
		time.Sleep(3 * time.Second)
		h.Takes(10 * time.Second)
		c.Post(lost.Request()).Want(receiver.Handled)
		require.Greater(t, store.Calls(receivertest.Renew), 5)
		h.WantDelivery(lost, 1)
		h.WantDelivery(d, 2)

		store.Every(receivertest.Claim, receivertest.Late(2*time.Second)).Every(receivertest.Complete, receivertest.Hangs())
		late := s.Event(receivertest.Event(payload.DeployLive))
		require.Equal(t, 12*time.Second, c.Post(late.Request()).Want(receiver.Unavailable).Took, "1 s each, and the handler's 10 s")
		h.WantDelivery(late, 1)
		require.ErrorIs(t, receivertest.Lost()(t.Context(), func(context.Context) error { return nil }), receivertest.ErrLost)
		store.Down()
		_, err := store.Claim(t.Context(), [32]byte{1}, time.Second)
		require.ErrorIs(t, err, receivertest.ErrDown)
	})
}

// A program that is served elsewhere gets the requests under their URL.
func TestRemote(t *testing.T) {
	t.Parallel()
	s, h := receivertest.Standard(t, signer.GenerateSecret()), receivertest.NewRecorder(t)
	server := newServer(t, receivertest.New(t, s.Verifier(), receivertest.NewStore(t)).Events(h.Event))
	d := s.To(server + "/hooks").Event(receivertest.Event(payload.DeployLive))
	receivertest.Remote(t).Post(d.Request()).Want(receiver.Handled)
	receivertest.Remote(t).Post(d.Forged()).Want(receiver.Unauthenticated)
	h.WantDelivery(d, 1)
}

// Answers stand for the outcomes of package receiver.
func TestAnswer_Outcomes(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]receiver.Outcome{
		200: receiver.Handled, 204: receiver.Handled, 202: receiver.Accepted, 401: receiver.Unauthenticated, 400: receiver.Refused,
		405: receiver.Refused, 408: receiver.Refused, 413: receiver.Refused, 415: receiver.Refused, 409: receiver.InFlight,
		500: receiver.Failed, 404: receiver.Failed, 503: receiver.Unavailable, 0: "",
	} {
		require.Equal(t, want, (&receivertest.Answer{Status: status}).Outcome(), status)
	}
	require.Equal(t, receiver.Ignored, (&receivertest.Answer{Status: 200, Body: `{"received":true,"ignored":true}`}).Outcome())
}
