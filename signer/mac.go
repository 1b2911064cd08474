package signer

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
	"time"
)

const macSize = sha256.Size

// macKey is one HMAC-SHA256 key in use: its name, its end, and a pool of keyed hashes. Keying a hash costs two
// compressions and several allocations; resetting one costs neither.
type macKey struct {
	name     string
	notAfter time.Time // zero: no end
	pool     sync.Pool // of *macState
}

// macState is the scratch space of one computation. Everything that is handed to the hash lives in it, since what goes
// through the hash.Hash interface escapes to the heap.
type macState struct {
	hash   hash.Hash
	prefix []byte
	sum    [macSize]byte
}

func newMACKey(name string, notAfter time.Time, key []byte) *macKey {
	k := &macKey{name: name, notAfter: notAfter}
	k.pool.New = func() any {
		return &macState{hash: hmac.New(sha256.New, key), prefix: make([]byte, 0, 300)}
	}
	return k
}

// active reports whether the key may be used at t: up to and including its end.
func (k *macKey) active(t time.Time) bool { return k.notAfter.IsZero() || !t.After(k.notAfter) }

// get returns a state for one MAC; the caller fills prefix, calls sign, and puts it back.
func (k *macKey) get() *macState {
	s := k.pool.Get().(*macState)
	s.prefix = s.prefix[:0]
	return s
}

func (k *macKey) put(s *macState) { k.pool.Put(s) }

// compute leaves the MAC of prefix and body in s.sum.
func (s *macState) compute(body []byte) {
	s.hash.Reset()
	s.hash.Write(s.prefix)
	s.hash.Write(body)
	s.hash.Sum(s.sum[:0])
}

// matches reports whether s.sum is among the signatures. It looks at each of them, whatever it has found.
func (s *macState) matches(signatures [][macSize]byte) bool {
	found := false
	for i := range signatures {
		if hmac.Equal(s.sum[:], signatures[i][:]) {
			found = true
		}
	}
	return found
}
