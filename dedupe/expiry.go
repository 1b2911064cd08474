package dedupe

// Entries expire in two orders. Completed entries all have the same TTL, so
// they expire in the order of their completion, and a list is enough. Leases
// have different lengths and are renewed, so they need a heap. The heap is
// small, because it holds only deliveries in flight. The next entry to expire
// is therefore always known without a search.

// push appends an entry to the list of completed entries.
func (s *shard) push(r ref) {
	root, e := s.entries.at(none), s.entries.at(r)
	last := root.prev
	e.prev, e.next = last, none
	s.entries.at(last).next = r
	root.prev = r
}

// unlink removes an entry from any position in the list of completed entries.
func (s *shard) unlink(r ref) {
	e := s.entries.at(r)
	s.entries.at(e.prev).next = e.next
	s.entries.at(e.next).prev = e.prev
}

// oldest returns the completed entry that expires first, or 0.
func (s *shard) oldest() ref {
	if len(s.entries.chunks) == 0 {
		return none
	}
	return s.entries.at(none).next
}

// leases is a binary heap of the leased entries. The lease at the top ends
// first. Each entry knows its position in the heap, so that completing or
// renewing it needs no search.
type leases []ref

func (s *shard) addLease(r ref) {
	s.leases = append(s.leases, r)
	s.liftLease(len(s.leases) - 1)
}

func (s *shard) removeLease(r ref) {
	i, last := int(s.entries.at(r).prev), len(s.leases)-1
	moved := s.leases[last]
	s.leases = s.leases[:last]
	if i < last {
		s.leases[i] = moved
		s.entries.at(moved).prev = ref(i)
		s.fixLease(moved)
	}
}

// fixLease restores the order after the deadline of one entry has changed.
func (s *shard) fixLease(r ref) {
	i := int(s.entries.at(r).prev)
	if s.liftLease(i) == i {
		s.sinkLease(i)
	}
}

func (s *shard) liftLease(i int) int {
	r := s.leases[i]
	e := s.entries.at(r)
	for i > 0 {
		up := (i - 1) / 2
		parent := s.entries.at(s.leases[up])
		if parent.deadline <= e.deadline {
			break
		}
		s.leases[i], parent.prev = s.leases[up], ref(i)
		i = up
	}
	s.leases[i], e.prev = r, ref(i)
	return i
}

func (s *shard) sinkLease(i int) {
	r := s.leases[i]
	e := s.entries.at(r)
	for {
		down := 2*i + 1
		if down >= len(s.leases) {
			break
		}
		child := s.entries.at(s.leases[down])
		if right := down + 1; right < len(s.leases) {
			if other := s.entries.at(s.leases[right]); other.deadline < child.deadline {
				down, child = right, other
			}
		}
		if e.deadline <= child.deadline {
			break
		}
		s.leases[i], child.prev = s.leases[down], ref(i)
		i = down
	}
	s.leases[i], e.prev = r, ref(i)
}
