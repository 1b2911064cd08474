package signer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// BenchmarkForged measures what one forged request of 1 MiB with 16 signatures
// costs a verifier that holds the most keys. The ratio is to one verification
// of the same bytes, which is measured in turn with it.
func BenchmarkForged(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	pairs := []signer.Key{signer.GenerateSigningKey().VerifyingKey(), signer.GenerateSigningKey().VerifyingKey()}
	var secrets []signer.Key
	for range 8 {
		secrets = append(secrets, signer.GenerateSecret())
	}
	for _, c := range []struct {
		name string
		keys []signer.Key
		v1   int
		one  func([]byte)
	}{
		{"ed25519", pairs, 0, oneVerification()},
		{"ed25519-and-one-secret", append(secrets[:1:1], pairs...), 1, oneVerification()},
		{"ed25519-and-six-secrets", append(secrets[:6:6], pairs...), 1, oneVerification()},
		{"hmac", secrets, 16, oneMAC()},
	} {
		b.Run(c.name, func(b *testing.B) { benchForged(b, c.keys, c.v1, body, c.one) })
	}
}

func benchForged(b *testing.B, keys []signer.Key, v1 int, body []byte, one func([]byte)) {
	var opts []signer.Option
	for _, key := range keys[1:] {
		opts = append(opts, signer.WithKey(key))
	}
	scheme := standard(b, keys[0], opts...)
	r := signed(b, standard(b, signer.GenerateSecret()), benchID, time.Now(), nil)
	r.Header["Webhook-Signature"] = []string{forgedList(v1)}
	var forged, single time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := scheme.Verify(r, body); !errors.Is(err, signer.ErrNoMatch) {
			b.Fatal(err)
		}
		between := time.Now()
		one(body)
		forged, single = forged+between.Sub(began), single+time.Since(between)
	}
	b.ReportMetric(float64(forged)/float64(single), "x-one-verification")
	b.ReportMetric(float64(forged.Microseconds())/1000/float64(b.N), "ms/request")
}

// forgedList is 16 signatures, of which v1 are HMACs.
func forgedList(v1 int) string {
	entries := make([]string, 16)
	for i := range entries {
		version, size := "v1a,", ed25519.SignatureSize
		if i < v1 {
			version, size = "v1,", sha256.Size
		}
		raw := make([]byte, size)
		rand.Read(raw)
		if size == ed25519.SignatureSize {
			raw[size-1] &= 0x0f // a scalar that is in range is not refused before the body is hashed
		}
		entries[i] = version + base64.StdEncoding.EncodeToString(raw)
	}
	return strings.Join(entries, " ")
}

func oneVerification() func([]byte) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public, forged := private.Public().(ed25519.PublicKey), make([]byte, ed25519.SignatureSize)
	return func(body []byte) { ed25519.Verify(public, body, forged) }
}

func oneMAC() func([]byte) {
	mac := hmac.New(sha256.New, make([]byte, 32))
	return func(body []byte) {
		mac.Reset()
		mac.Write(body)
		mac.Sum(nil)
	}
}
