package httpsig_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/deployhook/deployhook/signer"
)

var sizes = []struct {
	name string
	n    int
}{{"512B", 512}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}}

// BenchmarkVerify compares verification with the work that no verifier can
// avoid. That is the HMAC of the body, or its digest and one Ed25519
// verification.
func BenchmarkVerify(b *testing.B) { benchmark(b, true) }

// BenchmarkSign: likewise.
func BenchmarkSign(b *testing.B) { benchmark(b, false) }

func benchmark(b *testing.B, verify bool) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	signature := ed25519.Sign(private, make([]byte, sha256.Size))
	keys := map[string]signer.Key{"hmac": signer.GenerateSecret(), "ed25519": signer.GenerateSigningKey()}
	for _, size := range sizes {
		body := bytes.Repeat([]byte("x"), size.n)
		loop := func(name string, do func() error) {
			b.Run(size.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		mac, sum := hmac.New(sha256.New, make([]byte, 32)), make([]byte, 0, sha256.Size)
		loop("floor=bare-hmac", func() error {
			mac.Reset()
			mac.Write(body)
			sum = mac.Sum(sum[:0])
			return nil
		})
		loop("floor=bare-ed25519", func() error {
			digest := sha256.Sum256(body)
			if !verify {
				_ = ed25519.Sign(private, digest[:])
				return nil
			}
			_ = ed25519.Verify(public, digest[:], signature)
			return nil
		})
		for name, key := range keys {
			s := newScheme(b, newKey(b, "2026-11", key))
			now := time.Now()
			out := outgoing(b, testURL)
			if err := s.Sign(out.Context(), out, testID, now, body); err != nil {
				b.Fatal(err)
			}
			in := received(b, out)
			loop(name, func() error {
				if !verify {
					return s.Sign(out.Context(), out, testID, now, body)
				}
				_, err := s.Verify(in, body)
				return err
			})
		}
	}
}
