package signer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/deployhook/deployhook/signer"
)

var sizes = []struct {
	name string
	n    int
}{{"512B", 512}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}}

// BenchmarkVerify compares each scheme with its baselines. One is the bare HMAC
// or Ed25519 verification of the same bytes. The other is a hand-written
// verifier of the Standard headers with a pooled HMAC, which checks less than a
// scheme does.
func BenchmarkVerify(b *testing.B) {
	for _, size := range sizes {
		body := bytes.Repeat([]byte("x"), size.n)
		b.Run(size.name+"/floor=bare-hmac", func(b *testing.B) { benchBareHMAC(b, sha256.New, body) })
		b.Run(size.name+"/floor=bare-hmac-sha1", func(b *testing.B) { benchBareHMAC(b, sha1.New, body) })
		b.Run(size.name+"/floor=bare-ed25519", func(b *testing.B) { benchBareEd25519Verify(b, body) })
		b.Run(size.name+"/floor=hand-written", func(b *testing.B) { benchHandWritten(b, body) })
		for _, s := range everyScheme(b) {
			b.Run(size.name+"/"+s.name, func(b *testing.B) { benchVerify(b, s, body) })
		}
	}
}

// BenchmarkSign compares each scheme that signs with the bare HMAC or Ed25519
// signature of the same bytes.
func BenchmarkSign(b *testing.B) {
	for _, size := range sizes {
		body := bytes.Repeat([]byte("x"), size.n)
		b.Run(size.name+"/floor=bare-hmac", func(b *testing.B) { benchBareHMAC(b, sha256.New, body) })
		b.Run(size.name+"/floor=bare-ed25519", func(b *testing.B) { benchBareEd25519Sign(b, body) })
		for _, s := range everyScheme(b) {
			if _, peer := s.signer.(handSigner); peer {
				continue // verified only
			}
			b.Run(size.name+"/"+s.name, func(b *testing.B) { benchSign(b, s.signer, body) })
		}
	}
}

const benchID = "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10"

func benchSign(b *testing.B, s signer.Signer, body []byte) {
	now := time.Now()
	r := request(body)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := s.Sign(r.Context(), r, benchID, now, body); err != nil {
			b.Fatal(err)
		}
	}
}

func benchVerify(b *testing.B, s subject, body []byte) {
	r := signed(b, s.signer, benchID, time.Now(), body)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := s.verifier.Verify(r, body); err != nil {
			b.Fatal(err)
		}
	}
}

func benchBareEd25519Verify(b *testing.B, body []byte) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public, signature := private.Public().(ed25519.PublicKey), ed25519.Sign(private, body)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if !ed25519.Verify(public, body, signature) {
			b.Fatal("refused")
		}
	}
}

func benchBareEd25519Sign(b *testing.B, body []byte) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		ed25519.Sign(private, body)
	}
}

func benchBareHMAC(b *testing.B, newHash func() hash.Hash, body []byte) {
	h := hmac.New(newHash, make([]byte, 32))
	sum := make([]byte, 0, sha256.Size)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		h.Reset()
		h.Write(body)
		sum = h.Sum(sum[:0])
	}
}

func benchHandWritten(b *testing.B, body []byte) {
	key := signer.GenerateSecret()
	raw, err := base64.StdEncoding.DecodeString(key.Reveal()[len("whsec_"):])
	if err != nil {
		b.Fatal(err)
	}
	v := handWritten{pool: sync.Pool{New: func() any { return &handState{h: hmac.New(sha256.New, raw)} }}}
	r := signed(b, standard(b, key), benchID, time.Now(), body)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if !v.verify(r, body) {
			b.Fatal("refused")
		}
	}
}

// handWritten is what a careful engineer would write for one service with one
// key. It has no list, no rotation and no strict forms.
type handWritten struct{ pool sync.Pool }

type handState struct {
	h        hash.Hash
	buf, sum []byte
	sig      [64]byte
}

func (v *handWritten) verify(r *http.Request, body []byte) bool {
	id, stamp, signature := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || len(signature) < 3 || signature[:3] != "v1," {
		return false
	}
	if age := time.Since(time.Unix(seconds, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return false
	}
	s := v.pool.Get().(*handState)
	defer v.pool.Put(s)
	s.h.Reset()
	s.buf = append(append(append(append(s.buf[:0], id...), '.'), stamp...), '.')
	s.h.Write(s.buf)
	s.h.Write(body)
	s.sum = s.h.Sum(s.sum[:0])
	s.buf = append(s.buf[:0], signature[3:]...)
	n, err := base64.StdEncoding.Decode(s.sig[:], s.buf)
	return err == nil && hmac.Equal(s.sig[:n], s.sum)
}

// The hand-written verifier must be correct to be a baseline.
func TestHandWrittenFloorVerifies(t *testing.T) {
	t.Parallel()
	key := signer.GenerateSecret()
	raw, err := base64.StdEncoding.DecodeString(key.Reveal()[len("whsec_"):])
	if err != nil {
		t.Fatal(err)
	}
	v := handWritten{pool: sync.Pool{New: func() any { return &handState{h: hmac.New(sha256.New, raw)} }}}
	r := signed(t, standard(t, key), "whk_1", time.Now(), []byte("x"))
	if !v.verify(r, []byte("x")) || v.verify(r, []byte("y")) {
		t.Fatal("the floor does not verify")
	}
}
