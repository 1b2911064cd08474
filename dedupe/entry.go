package dedupe

import "time"

// entry is what a Memory keeps of one key. It and everything that refers to it is free of pointers, so that
// the garbage collector never looks at a store's contents, whatever their number.
type entry struct {
	key Key
	// deadline is the end of the lease or of the TTL, on the store's clock.
	deadline time.Duration
	// mark is the token of the claim while it runs, and that number negated once it has been completed.
	mark Token
	// prev and next link completed entries, the oldest first. While the entry is leased, prev is its place in the
	// heap of leases; while it is unused, next is the next unused one.
	prev, next ref
}

func (e *entry) completed() bool { return e.mark < 0 }

// liveAt reports whether the lease or the TTL is still running. Both end at the deadline, not after it.
func (e *entry) liveAt(now time.Duration) bool { return now < e.deadline }

// ref is an entry's number in its slab. The zero ref is none.
type ref uint32

const none ref = 0

const (
	// A chunk of 512 entries is 28 KiB, which is one of the allocator's size classes: nothing is lost to rounding.
	chunkBits = 9
	chunkLen  = 1 << chunkBits
	// The first chunk starts small and doubles, so that a store with few keys stays small.
	firstLen = 8
)

// slab holds the entries of a shard. It grows chunk by chunk, so growing never moves more than one chunk and
// costs the same at every size. Entries that are freed are used again, the latest first, while they are in the cache.
// Entry 0 is never handed out; it is the root of the list of completed entries.
type slab struct {
	chunks [][]entry
	used   ref // entries handed out so far, with the root
	free   ref
}

func (s *slab) at(r ref) *entry {
	return &s.chunks[r>>chunkBits][r%chunkLen]
}

func (s *slab) alloc() ref {
	if r := s.free; r != none {
		s.free = s.at(r).next
		return r
	}
	if last := len(s.chunks) - 1; last < 0 || int(s.used) == last<<chunkBits+len(s.chunks[last]) {
		s.grow()
	}
	r := s.used
	s.used++
	return r
}

func (s *slab) release(r ref) {
	*s.at(r) = entry{next: s.free}
	s.free = r
}

func (s *slab) grow() {
	switch {
	case len(s.chunks) == 0:
		s.chunks = append(s.chunks, make([]entry, firstLen))
		s.used = 1
	case len(s.chunks[0]) < chunkLen:
		larger := make([]entry, 2*len(s.chunks[0]))
		copy(larger, s.chunks[0])
		s.chunks[0] = larger
	default:
		s.chunks = append(s.chunks, make([]entry, chunkLen))
	}
}
