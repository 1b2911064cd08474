package signer_test

import (
	"bytes"
	"crypto/ed25519"
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
// costs a verifier that holds the most keys. The ratio compares it with one
// verification of the same bytes. Both are measured in turn. The fastest run of
// each counts, because the others include what else the machine does.
//
// With secrets only, one verification is that of a genuine request. It computes
// one MAC per key as well, since Verify never stops at the first match.
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
	}{
		{"ed25519", pairs, 0},
		{"ed25519-and-one-secret", append(secrets[:1:1], pairs...), 1},
		{"one-ed25519-and-two-secrets", append(secrets[:2:2], pairs[0]), 1},
		{"hmac", secrets, 16},
	} {
		b.Run(c.name, func(b *testing.B) {
			scheme := manyKeys(b, c.keys)
			one := oneVerification()
			if c.name == "hmac" {
				one = genuine(b, scheme, c.keys[len(c.keys)-1], body)
			}
			benchForged(b, scheme, c.v1, body, one)
		})
	}
}

func manyKeys(b *testing.B, keys []signer.Key) *signer.Standard {
	b.Helper()
	var opts []signer.Option
	for _, key := range keys[1:] {
		opts = append(opts, signer.WithKey(key))
	}
	return standard(b, keys[0], opts...)
}

func benchForged(b *testing.B, scheme *signer.Standard, v1 int, body []byte, one func([]byte)) {
	b.Helper()
	r := signed(b, standard(b, signer.GenerateSecret()), benchID, time.Now(), nil)
	r.Header["Webhook-Signature"] = []string{forgedList(v1)}
	forged, single := time.Hour, time.Hour
	for b.Loop() {
		began := time.Now()
		if _, err := scheme.Verify(r, body); !errors.Is(err, signer.ErrNoMatch) {
			b.Fatal(err)
		}
		between := time.Now()
		one(body)
		forged, single = min(forged, between.Sub(began)), min(single, time.Since(between))
	}
	b.ReportMetric(float64(forged)/float64(single), "x-one-verification")
	b.ReportMetric(float64(forged.Microseconds())/1000, "ms/request")
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

// genuine verifies a request that is signed with the key.
func genuine(b *testing.B, scheme *signer.Standard, key signer.Key, body []byte) func([]byte) {
	b.Helper()
	r := signed(b, standard(b, key), benchID, time.Now(), body)
	return func(body []byte) {
		if _, err := scheme.Verify(r, body); err != nil {
			b.Fatal(err)
		}
	}
}
