package dedupe

import "time"

// entry is the record of one key in a Memory. It and everything that refers to
// it contain no pointers, so that the garbage collector never scans the
// contents of a store.
type entry struct {
	key Key
	// deadline is the end of the lease or of the TTL on the store's clock.
	deadline time.Duration
	// mark is the token of an active claim, or the negated token of a completed
	// one.
	mark Token
	// prev and next link completed entries from the oldest to the newest. In a
	// leased entry, prev is its position in the heap of leases. In an unused
	// entry, next is the next unused one.
	prev, next ref
}

func (e *entry) completed() bool { return e.mark < 0 }

// liveAt reports whether the lease or the TTL is still running. Both end
// exactly at the deadline.
func (e *entry) liveAt(now time.Duration) bool { return now < e.deadline }

// ref is the number of an entry in its slab. The zero ref means no entry.
type ref uint32

const none ref = 0

const (
	// A chunk of 512 entries has 28 KiB. That is a size class of the allocator,
	// so no memory is lost to rounding.
	chunkBits = 9
	chunkLen  = 1 << chunkBits
	// The first chunk starts small and doubles, so that a store with few keys
	// stays small.
	firstLen = 8
)

// slab holds the entries of a shard. It grows by chunks, so growing never moves
// more than one chunk and costs the same at every size. It reuses freed
// entries, the latest first, while they are still in the CPU cache. Entry 0 is
// the root of the list of completed entries and is never allocated.
type slab struct {
	chunks [][]entry
	// used is the number of allocated entries, including the root.
	used ref
	free ref
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
