package signer

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

const macSize = sha256.Size

// macKey is an HMAC key in use, as a pool of keyed hashes. Keying a hash costs
// two compressions and several allocations. Resetting a keyed hash costs
// neither.
type macKey struct{ pool sync.Pool } // of *macState

// macState is the scratch space of one computation. It holds everything that
// the hash gets, because arguments of the hash.Hash interface escape to the
// heap.
type macState struct {
	hash   hash.Hash
	prefix []byte
	sum    [macSize]byte
}

// newMACKey keys an HMAC over a hash of at most macSize bytes.
func newMACKey(newHash func() hash.Hash, key []byte) *macKey {
	k := &macKey{}
	k.pool.New = func() any {
		return &macState{hash: hmac.New(newHash, key), prefix: make([]byte, 0, 300)}
	}
	return k
}

// get returns a state for one MAC. The caller fills prefix, calls compute, and
// puts the state back.
func (k *macKey) get() *macState {
	s := k.pool.Get().(*macState)
	s.prefix = s.prefix[:0]
	return s
}

func (k *macKey) put(s *macState) { k.pool.Put(s) }

// compute returns the MAC of prefix and body, which is valid until the next
// call.
func (s *macState) compute(body []byte) []byte {
	s.hash.Reset()
	s.hash.Write(s.prefix)
	s.hash.Write(body)
	return s.hash.Sum(s.sum[:0])
}

// matches reports whether mac is among the signatures. It compares all of them,
// so that its time does not tell which one matched.
func matches(mac []byte, signatures [][macSize]byte) bool {
	found := false
	for i := range signatures {
		if hmac.Equal(mac, signatures[i][:len(mac)]) {
			found = true
		}
	}
	return found
}
