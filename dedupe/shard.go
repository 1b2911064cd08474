package dedupe

import (
	"math"
	"sync"
	"time"
)

// shard is the part of a Memory that one lock protects. The caller of a method
// holds the lock.
type shard struct {
	mu      sync.Mutex
	index   index
	entries slab
	leases  leases
	// soonest is not later than the earliest deadline of any entry. Until then
	// there is nothing to prune, and prune need not look at any entry.
	soonest time.Duration
	// token is the latest token. It belongs to the shard instead of the entry,
	// because tokens must increase even after the entry was freed. A key is
	// always in the same shard.
	token  Token
	hasher *hasher
	closed bool
	// The shard fills two cache lines, so that adjacent shards do not slow each
	// other down.
	_ [7]byte
}

// pruneLimit is the number of expired entries of each kind that one Claim
// frees. Claim adds at most one entry, so two are enough to work off any
// backlog. The work per call stays the same even with a million expired
// entries.
const pruneLimit = 2

// prune frees up to limit expired entries of each kind and returns how many.
// Their room still counts as used.
func (s *shard) prune(now time.Duration, limit int) (freed int) {
	if now < s.soonest {
		return 0
	}
	for range limit {
		if r := s.oldest(); r != none && !s.entries.at(r).liveAt(now) {
			s.forget(r)
			freed++
		}
		if len(s.leases) > 0 && !s.entries.at(s.leases[0]).liveAt(now) {
			s.forget(s.leases[0])
			freed++
		}
	}
	s.soonest = s.firstDeadline()
	return freed
}

func (s *shard) firstDeadline() time.Duration {
	first := time.Duration(math.MaxInt64)
	if r := s.oldest(); r != none {
		first = s.entries.at(r).deadline
	}
	if len(s.leases) > 0 {
		first = min(first, s.entries.at(s.leases[0]).deadline)
	}
	return first
}

// insert creates an entry for a key that has none. The entry is not in an order
// of expiry yet.
func (s *shard) insert(h uint32, key *Key) ref {
	r := s.entries.alloc()
	s.entries.at(r).key = *key
	s.index.add(h, r)
	return r
}

// forget frees an entry.
func (s *shard) forget(r ref) {
	s.detach(r)
	s.index.remove(uint32(s.hasher.hash(&s.entries.at(r).key)), r)
	s.entries.release(r)
}

// detach removes an entry from its order of expiry.
func (s *shard) detach(r ref) {
	if s.entries.at(r).completed() {
		s.unlink(r)
	} else {
		s.removeLease(r)
	}
}

// lease claims a detached entry and returns the next token.
func (s *shard) lease(r ref, deadline time.Duration) Token {
	s.token++
	e := s.entries.at(r)
	e.mark, e.deadline = s.token, deadline
	s.soonest = min(s.soonest, deadline)
	s.addLease(r)
	return s.token
}

// renew changes the end of a lease.
func (s *shard) renew(r ref, deadline time.Duration) {
	s.entries.at(r).deadline = deadline
	s.soonest = min(s.soonest, deadline)
	s.fixLease(r)
}

// complete marks a detached entry as completed.
func (s *shard) complete(r ref, t Token, deadline time.Duration) {
	e := s.entries.at(r)
	e.mark, e.deadline = -t, deadline
	s.soonest = min(s.soonest, deadline)
	s.push(r)
}

func (s *shard) close() {
	s.closed = true
	s.index, s.entries, s.leases = index{}, slab{}, nil
}
