package interop

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-github/v84/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	stripe "github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/deployhook/deployhook/signer"
)

var sizes = []struct {
	name string
	n    int
}{{"512B", 512}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}}

func loop(b *testing.B, name string, body []byte, do func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func must[T any](b *testing.B) func(v T, err error) T {
	return func(v T, err error) T {
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}

func benchBareHMAC(b *testing.B, size string, body []byte) {
	h, sum := hmac.New(sha256.New, make([]byte, 32)), make([]byte, 0, sha256.Size)
	loop(b, size+"/floor=bare-hmac", body, func() error {
		h.Reset()
		h.Write(body)
		sum = h.Sum(sum[:0])
		return nil
	})
}

// BenchmarkVerify compares each of our schemes with the peer that verifies the
// same request, and with the bare HMAC of the body.
func BenchmarkVerify(b *testing.B) {
	secret, plain := signer.GenerateSecret(), signer.GenerateLiteralSecret()
	sw := must[*standardwebhooks.Webhook](b)(standardwebhooks.NewWebhook(secret.Reveal()))
	sv := must[*svix.Webhook](b)(svix.NewWebhook(secret.Reveal()))
	st := must[*signer.Standard](b)(signer.NewStandard(secret))
	sr := must[*signer.Stripe](b)(signer.NewStripe(plain))
	gh := must[*signer.BodyOnly](b)(signer.NewGitHub(plain))
	for _, size := range sizes {
		body := bytes.Repeat([]byte("x"), size.n)
		now := time.Now()
		r := request(probe{header: sign(b, st, now, body)})
		text := plain.Reveal()
		r.Header["Stripe-Signature"] = sign(b, sr, now, body)["Stripe-Signature"]
		r.Header["X-Hub-Signature-256"] = []string{"sha256=" + hexMAC(text, string(body))}
		verify := func(v signer.Verifier) func() error {
			return func() error { _, err := v.Verify(r, body); return err }
		}
		benchBareHMAC(b, size.name, body)
		loop(b, size.name+"/standard/ours", body, verify(st))
		loop(b, size.name+"/standard/standard-webhooks", body, func() error { return sw.Verify(body, r.Header) })
		loop(b, size.name+"/standard/svix", body, func() error { return sv.Verify(body, r.Header) })
		loop(b, size.name+"/stripe/ours", body, verify(sr))
		loop(b, size.name+"/stripe/stripe-go", body, func() error {
			return stripe.ValidatePayload(body, r.Header.Get("Stripe-Signature"), text)
		})
		loop(b, size.name+"/github/ours", body, verify(gh))
		loop(b, size.name+"/github/go-github", body, func() error {
			return github.ValidateSignature(r.Header.Get("X-Hub-Signature-256"), body, []byte(text))
		})
	}
}

// BenchmarkSign does the same for signing. The peers return the signature. Our
// schemes set the headers, and so do the loops for the peers.
func BenchmarkSign(b *testing.B) {
	secret, plain := signer.GenerateSecret(), signer.GenerateLiteralSecret()
	sw := must[*standardwebhooks.Webhook](b)(standardwebhooks.NewWebhook(secret.Reveal()))
	sv := must[*svix.Webhook](b)(svix.NewWebhook(secret.Reveal()))
	st := must[*signer.Standard](b)(signer.NewStandard(secret))
	sr := must[*signer.Stripe](b)(signer.NewStripe(plain))
	for _, size := range sizes {
		body := bytes.Repeat([]byte("x"), size.n)
		r, now, text := request(probe{header: http.Header{}}), time.Now(), plain.Reveal()
		headers := func(signature string, err error) error {
			r.Header.Set("Webhook-Id", testID)
			r.Header.Set("Webhook-Timestamp", seconds(now))
			r.Header.Set("Webhook-Signature", signature)
			return err
		}
		benchBareHMAC(b, size.name, body)
		loop(b, size.name+"/standard/ours", body, func() error { return st.Sign(r.Context(), r, testID, now, body) })
		loop(b, size.name+"/standard/standard-webhooks", body, func() error { return headers(sw.Sign(testID, now, body)) })
		loop(b, size.name+"/standard/svix", body, func() error { return headers(sv.Sign(testID, now, body)) })
		loop(b, size.name+"/stripe/ours", body, func() error { return sr.Sign(r.Context(), r, testID, now, body) })
		loop(b, size.name+"/stripe/stripe-go", body, func() error {
			signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: body, Secret: text, Timestamp: now})
			r.Header.Set("Stripe-Signature", signed.Header)
			return nil
		})
	}
}
