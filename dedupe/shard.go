package dedupe

import (
	"math"
	"sync"
	"time"
)

// shard is the part of a Memory that one lock guards. All its methods want the lock held.
type shard struct {
	mu      sync.Mutex
	index   index
	entries slab
	leases  leases
	// soonest is no later than the first deadline of any entry. While it lies ahead there is nothing to prune, and
	// no entry needs to be looked at to know that.
	soonest time.Duration
	// token is the latest one given out. It is the shard's and not the entry's, for it must go on rising when the
	// entry has been freed; a key is always in the same shard.
	token  Token
	hasher *hasher
	closed bool
	// All this fills two cache lines, so that shards next to each other do not slow each other down.
	_ [7]byte
}

// pruneLimit is how many expired entries of each kind one Claim frees. It adds one entry at most, so two
// are enough to catch up with any backlog, and the work is the same for a call that finds a million of them.
const pruneLimit = 2

// prune frees up to limit expired entries of each kind, and returns how many it freed. Their room still counts as used.
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

// insert makes an entry for a key that has none. It belongs to neither order of expiry yet.
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

// detach takes an entry out of the order of expiry that it is in.
func (s *shard) detach(r ref) {
	if s.entries.at(r).completed() {
		s.unlink(r)
	} else {
		s.removeLease(r)
	}
}

// lease makes a detached entry a claimed one, with the next token.
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

// complete makes a detached entry a completed one.
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
