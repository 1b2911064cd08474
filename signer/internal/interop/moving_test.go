package interop

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	playground "github.com/go-playground/webhooks/v6/github"
	"github.com/google/go-github/v84/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// The functions below have the snippets of examples/guides/pages/MOVING.md.

type workFunc func(context.Context, []byte) error

func stripeBefore(mux *http.ServeMux, secret string, work workFunc) {
	mux.HandleFunc("POST /hooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 65536))
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := webhook.ValidatePayload(body, r.Header.Get("Stripe-Signature"), secret); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if err := work(r.Context(), body); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

func stripeScheme(secret string) (signer.Scheme, error) {
	key, err := signer.NewLiteralSecret(secret) // the whole text is the key, whsec_ included
	if err != nil {
		return nil, err
	}
	return signer.NewStripe(key)
}

func standardBefore(mux *http.ServeMux, secret string, work workFunc) error {
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	mux.HandleFunc("POST /hooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || wh.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if err := work(r.Context(), body); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	return nil
}

func standardScheme(secret string) (signer.Scheme, error) {
	key, err := signer.ParseSecret(secret) // whsec_ and base64
	if err != nil {
		return nil, err
	}
	return signer.NewStandard(key)
}

func svixBefore(mux *http.ServeMux, secret string, work workFunc) error {
	wh, err := svix.NewWebhook(secret)
	if err != nil {
		return err
	}
	mux.HandleFunc("POST /hooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || wh.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if err := work(r.Context(), body); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	return nil
}

func svixScheme(secret string) (signer.Scheme, error) {
	key, err := signer.ParseSecret(secret)
	if err != nil {
		return nil, err
	}
	fromSvix, err := signer.NewStandard(key, signer.WithHeaderPrefix("Svix")) // Svix-Id, Svix-Timestamp, Svix-Signature
	if err != nil {
		return nil, err
	}
	standard, err := signer.NewStandard(key) // Webhook-Id, Webhook-Timestamp, Webhook-Signature
	if err != nil {
		return nil, err
	}
	return signer.AnyOf(fromSvix, standard)
}

func goGitHubBefore(mux *http.ServeMux, secret string, work workFunc) {
	mux.HandleFunc("POST /hooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := github.ValidatePayload(r, []byte(secret))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		event, err := github.ParseWebHook(github.WebHookType(r), body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if _, ok := event.(*github.DeploymentStatusEvent); ok && work(r.Context(), body) != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

func playgroundBefore(mux *http.ServeMux, secret string, work workFunc) error {
	hook, err := playground.New(playground.Options.Secret(secret))
	if err != nil {
		return err
	}
	mux.HandleFunc("POST /hooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := hook.Parse(r, playground.DeploymentStatusEvent)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if status, ok := body.(playground.DeploymentStatusPayload); ok && work(r.Context(), []byte(status.DeploymentStatus.State)) != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	return nil
}

func gitHubScheme(secret string) (signer.Verifier, error) {
	key, err := signer.NewLiteralSecret(secret)
	if err != nil {
		return nil, err
	}
	return signer.NewGitHub(key)
}

func playgroundAfter(mux *http.ServeMux, rcv *receiver.Receiver, work workFunc) error {
	hook, err := playground.New() // Wrap has verified the body that Parse reads
	if err != nil {
		return err
	}
	mux.Handle("POST /hooks", rcv.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := hook.Parse(r, playground.DeploymentStatusEvent)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if status, ok := body.(playground.DeploymentStatusPayload); ok && work(r.Context(), []byte(status.DeploymentStatus.State)) != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})))
	return nil
}

func ownBefore(mux *http.ServeMux, secret string, work workFunc) {
	mux.HandleFunc("POST /hooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(r.Header.Get("X-Webhook-Timestamp") + "."))
		mac.Write(body)
		given, err := hex.DecodeString(r.Header.Get("X-Webhook-Signature"))
		if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err := work(r.Context(), body); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

func ownScheme(secret string) (signer.Scheme, error) {
	key, err := signer.NewLiteralSecret(secret)
	if err != nil {
		return nil, err
	}
	return signer.NewTimestamped(key) // HMAC of timestamp.body, in X-Webhook-Timestamp and X-Webhook-Signature
}

func ownBodyScheme(secret string) (signer.Verifier, error) {
	key, err := signer.NewLiteralSecret(secret)
	if err != nil {
		return nil, err
	}
	return signer.NewBodyOnly(key, signer.WithHeader("X-Signature"), signer.WithSignaturePrefix("sha256=")) // HMAC of the body
}

// after is the part that all of them share.
func after(mux *http.ServeMux, scheme signer.Verifier, work workFunc) error {
	store, err := dedupe.NewMemory() // several instances share one in Redis or SQL
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"))
	if err != nil {
		return err
	}
	mux.Handle("POST /hooks", rcv.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		delivery, _ := receiver.FromContext(r.Context()) // its ID, time and exact bytes
		if err := work(r.Context(), delivery.Body); err != nil {
			w.WriteHeader(http.StatusInternalServerError) // the sender tries again
		}
	})))
	return nil
}

// move is a receiver before and after. sign returns the headers of a message as
// the library's own sender makes them.
type move struct {
	secret string
	before func(*http.ServeMux, string, workFunc) error
	scheme func(string) (signer.Verifier, error)
	after  func(*http.ServeMux, signer.Verifier, workFunc) error
	sign   func(t *testing.T, secret string, body []byte) http.Header
	seen   string // what work gets, if not the body
}

const statusBody = `{"action":"created","deployment_status":{"id":1,"state":"success"},"deployment":{"id":2}}`

func fails(f func(*http.ServeMux, string, workFunc)) func(*http.ServeMux, string, workFunc) error {
	return func(mux *http.ServeMux, secret string, work workFunc) error { f(mux, secret, work); return nil }
}

func verifier[S signer.Verifier](f func(string) (S, error)) func(string) (signer.Verifier, error) {
	return func(secret string) (signer.Verifier, error) { return f(secret) }
}

func theirStandard(prefix string) func(*testing.T, string, []byte) http.Header {
	return func(t *testing.T, secret string, body []byte) http.Header {
		w, err := svix.NewWebhook(secret)
		require.NoError(t, err)
		now := time.Now()
		made, err := w.Sign(testID, now, body)
		require.NoError(t, err)
		return http.Header{prefix + "-Id": {testID}, prefix + "-Timestamp": {seconds(now)}, prefix + "-Signature": {made}}
	}
}

func theirGitHub(_ *testing.T, secret string, body []byte) http.Header {
	return http.Header{"X-Github-Event": {"deployment_status"}, "X-Hub-Signature-256": {"sha256=" + hexMAC(secret, string(body))}}
}

func theirOwn(_ *testing.T, secret string, body []byte) http.Header {
	now := seconds(time.Now())
	return http.Header{"X-Webhook-Timestamp": {now}, "X-Webhook-Signature": {hexMAC(secret, now, ".", string(body))}}
}

var moves = map[string]move{
	"stripe-go": {"whsec_" + literal, fails(stripeBefore), verifier(stripeScheme), after, func(_ *testing.T, secret string, body []byte) http.Header {
		made := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: time.Now()})
		return http.Header{"Stripe-Signature": {made.Header}}
	}, ""},
	"standard-webhooks": {goodSecret, standardBefore, verifier(standardScheme), after, theirStandard("Webhook"), ""},
	"svix":              {goodSecret, svixBefore, verifier(svixScheme), after, theirStandard("Svix"), ""},
	"svix, webhook-":    {goodSecret, svixBefore, verifier(svixScheme), after, theirStandard("Webhook"), ""},
	"go-github":         {literal, fails(goGitHubBefore), verifier(gitHubScheme), after, theirGitHub, ""},
	"go-playground":     {literal, playgroundBefore, verifier(gitHubScheme), afterPlayground, theirGitHub, "success"},
	"own code":          {literal, fails(ownBefore), verifier(ownScheme), after, theirOwn, ""},
	"own code, the body": {literal, nil, verifier(ownBodyScheme), after, func(_ *testing.T, secret string, body []byte) http.Header {
		return http.Header{"X-Signature": {"sha256=" + hexMAC(secret, string(body))}}
	}, ""},
}

func afterPlayground(mux *http.ServeMux, scheme signer.Verifier, work workFunc) error {
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "github"))
	if err != nil {
		return err
	}
	return playgroundAfter(mux, rcv, work)
}

// post returns the status of the answer to a request with these headers.
func post(h http.Handler, header http.Header, body string) int {
	r := httptest.NewRequest(http.MethodPost, "/hooks", bytes.NewReader([]byte(body)))
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// The same requests pass before and after. The handler sees the same bytes. A
// changed body is refused by both. A copy is handled once more before, and not
// after.
func TestMoves_NothingChangesOnTheWire(t *testing.T) {
	t.Parallel()
	for name, m := range moves {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen []string
			work := func(_ context.Context, body []byte) error { seen = append(seen, string(body)); return nil }
			scheme, err := m.scheme(m.secret)
			require.NoError(t, err)
			header, want := m.sign(t, m.secret, []byte(statusBody)), statusBody
			if m.seen != "" {
				want = m.seen
			}

			now := http.NewServeMux()
			require.NoError(t, m.after(now, scheme, work))
			require.Equal(t, 401, post(now, header, statusBody+" "))
			require.Equal(t, 200, post(now, header, statusBody))
			require.Equal(t, 200, post(now, header, statusBody), "the copy")
			require.Equal(t, []string{want}, seen, "the copy is not handled")

			if m.before == nil {
				return
			}
			old := http.NewServeMux()
			require.NoError(t, m.before(old, m.secret, work))
			require.Contains(t, []int{400, 401}, post(old, header, statusBody+" "))
			require.Equal(t, 200, post(old, header, statusBody))
			require.Equal(t, 200, post(old, header, statusBody))
			require.Equal(t, []string{want, want, want}, seen, "the copy is handled again")
		})
	}
}

// Where our scheme can sign, receivers that have not moved accept it.
func TestMoves_OldReceiversAcceptOurs(t *testing.T) {
	t.Parallel()
	signers := 0
	for name, m := range moves {
		scheme, err := m.scheme(m.secret)
		require.NoError(t, err)
		s, ok := scheme.(signer.Signer)
		if !ok {
			continue
		}
		signers++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handled := 0
			old := http.NewServeMux()
			require.NoError(t, m.before(old, m.secret, func(context.Context, []byte) error { handled++; return nil }))
			require.Equal(t, 200, post(old, sign(t, s, time.Now(), []byte(statusBody)), statusBody))
			require.Equal(t, 1, handled)
		})
	}
	require.Equal(t, 3, signers)
}
