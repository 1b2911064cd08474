package receivertest

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // senders such as Vercel use it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

// DefaultTarget is the URL of requests, see [Scheme.To].
const DefaultTarget = defaultHost + "/webhooks/deploy"

const defaultHost = "http://receiver.test"

// A Scheme makes deliveries that are signed with its key, and forged ones. Make
// it with [Standard] or one of the other functions of this package. Its methods
// end the test if they fail.
type Scheme struct {
	t        testing.TB
	verifier signer.Verifier
	sign     signer.Signer
	forge    signer.Signer // signs with another key
	target   string
}

// Verifier returns the verifier to give to the receiver under test.
func (s *Scheme) Verifier() signer.Verifier { return s.verifier }

// To returns the scheme with another URL for its requests. A path alone keeps
// the host of [DefaultTarget].
func (s *Scheme) To(target string) *Scheme {
	if strings.HasPrefix(target, "/") {
		target = defaultHost + target
	}
	other := *s
	other.target = target
	return &other
}

// Custom is for schemes of other packages, such as RFC 9421 message signatures,
// and for your own. The signer sign has a key that the verifier accepts, and
// forge has another key of the same kind.
func Custom(t testing.TB, v signer.Verifier, sign, forge signer.Signer) *Scheme {
	return &Scheme{t: t, verifier: v, sign: sign, forge: forge, target: DefaultTarget}
}

// Standard returns the scheme of [signer.NewStandard]. The key is a secret of
// [signer.GenerateSecret] or [signer.ParseSecret], or a [signer.SigningKey].
// Forged requests have another key of the same kind.
func Standard(t testing.TB, key signer.Key, opts ...signer.Option) *Scheme {
	t.Helper()
	var other signer.Key = signer.GenerateSecret()
	if _, asymmetric := key.(signer.SigningKey); asymmetric {
		other = signer.GenerateSigningKey()
	}
	scheme := must(signer.NewStandard(key, opts...))(t, "Standard")
	return Custom(t, scheme, scheme, must(signer.NewStandard(other, opts...))(t, "Standard"))
}

// Timestamped returns the scheme of [signer.NewTimestamped] for a secret of
// [signer.GenerateLiteralSecret] or [signer.NewLiteralSecret].
func Timestamped(t testing.TB, key signer.Key, opts ...signer.Option) *Scheme {
	t.Helper()
	scheme := must(signer.NewTimestamped(key, opts...))(t, "Timestamped")
	return Custom(t, scheme, scheme, must(signer.NewTimestamped(signer.GenerateLiteralSecret(), opts...))(t, "Timestamped"))
}

// Stripe returns the scheme of [signer.NewStripe] for a secret of
// [signer.GenerateLiteralSecret] or [signer.NewLiteralSecret].
func Stripe(t testing.TB, key signer.Key, opts ...signer.Option) *Scheme {
	t.Helper()
	scheme := must(signer.NewStripe(key, opts...))(t, "Stripe")
	return Custom(t, scheme, scheme, must(signer.NewStripe(signer.GenerateLiteralSecret(), opts...))(t, "Stripe"))
}

// GitHub returns the scheme of [signer.NewGitHub] for a secret of
// [signer.GenerateLiteralSecret] or [signer.NewLiteralSecret]. It signs no time
// and no ID, so it has no stale requests.
func GitHub(t testing.TB, secret signer.Secret) *Scheme {
	t.Helper()
	return BodyOnly(t, secret, BodyOnlyForm{Header: "X-Hub-Signature-256", Prefix: "sha256="})
}

// BodyOnlyForm is how a sender writes the signature of a body.
type BodyOnlyForm struct {
	// Header is the name of the header. Required.
	Header string
	// Prefix is the text before the signature, such as "v1=". Empty means none.
	Prefix string
	// Base64 is true for padded base64 instead of lower-case hex.
	Base64 bool
	// SHA1 is true for HMAC-SHA1 instead of HMAC-SHA256.
	SHA1 bool
}

// BodyOnly returns the scheme of [signer.NewBodyOnly], whose documentation
// lists the forms of several senders. It signs no time and no ID, so it has no
// stale requests.
func BodyOnly(t testing.TB, secret signer.Secret, form BodyOnlyForm) *Scheme {
	t.Helper()
	opts := []signer.Option{signer.WithHeader(form.Header)}
	if form.Prefix != "" {
		opts = append(opts, signer.WithSignaturePrefix(form.Prefix))
	}
	if form.Base64 {
		opts = append(opts, signer.WithBase64())
	}
	if form.SHA1 {
		opts = append(opts, signer.InsecureSHA1())
	}
	verifier := must(signer.NewBodyOnly(secret, opts...))(t, "BodyOnly")
	return Custom(t, verifier, bodySigner{form, secret}, bodySigner{form, signer.GenerateLiteralSecret()})
}

// bodySigner is the sending side, which package signer does not have.
type bodySigner struct {
	form   BodyOnlyForm
	secret signer.Secret
}

func (s bodySigner) Sign(_ context.Context, r *http.Request, _ string, _ time.Time, body []byte) error {
	sum := sha256.New
	if s.form.SHA1 {
		sum = sha1.New
	}
	mac := hmac.New(sum, []byte(s.secret.Reveal()))
	_, _ = mac.Write(body) // never fails
	text := hex.EncodeToString(mac.Sum(nil))
	if s.form.Base64 {
		text = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	r.Header.Set(s.form.Header, s.form.Prefix+text)
	return nil
}

// APIKey returns the scheme of [signer.NewAPIKeys] with one key, which belongs
// to the principal. The key is one of [signer.GenerateAPIKey] or
// [signer.GenerateLiteralSecret]. The only option is [signer.WithHeader], for
// example for GitLab's plain token in X-Gitlab-Token.
//
// A key covers neither the time nor the body, so the scheme has no stale and no
// tampered requests.
func APIKey(t testing.TB, key signer.Secret, principal string, opts ...signer.Option) *Scheme {
	t.Helper()
	hash := must(signer.HashAPIKey(key.Reveal()))(t, "APIKey")
	verifier := must(signer.NewAPIKeys([]signer.APIKey{{Principal: principal, Hash: hash}}, opts...))(t, "APIKey")
	return Custom(t, verifier, must(signer.NewBearer(key, opts...))(t, "APIKey"),
		must(signer.NewBearer(signer.GenerateLiteralSecret(), opts...))(t, "APIKey"))
}

// must ends the test if a constructor failed.
func must[T any](v T, err error) func(t testing.TB, what string) T {
	return func(t testing.TB, what string) T {
		t.Helper()
		if err != nil {
			t.Fatalf("receivertest: %s: %v", what, err)
		}
		return v
	}
}

// Event returns a delivery of the event. Without a delivery ID the event gets a
// new one. The event is not changed.
func (s *Scheme) Event(e *payload.Event) *Delivery {
	s.t.Helper()
	own := *e
	if own.DeliveryID == "" {
		own.DeliveryID = payload.NewDeliveryID()
	}
	body := must(own.Encode())(s.t, "Event")
	return &Delivery{scheme: s, what: string(own.Type), ID: own.DeliveryID, Body: body}
}

// Deployment returns a delivery of the record, with a new ID.
func (s *Scheme) Deployment(d *payload.Deployment) *Delivery {
	s.t.Helper()
	body := must(d.Encode())(s.t, "Deployment")
	return &Delivery{scheme: s, what: "a record with status " + string(d.Status), ID: payload.NewDeliveryID(), Body: body}
}

// Body returns a delivery of any bytes, with a new ID. Use it for recorded
// webhooks of other systems and for invalid documents.
func (s *Scheme) Body(body []byte) *Delivery {
	return &Delivery{scheme: s, what: "a body", ID: payload.NewDeliveryID(), Body: body}
}
