package dedupe

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newTestMemory creates a store with so few shards that keys collide.
func newTestMemory(t testing.TB, ttl time.Duration, capacity, shards int) *Memory {
	t.Helper()
	c, err := newMemoryConfig([]MemoryOption{WithTTL(ttl), WithCapacity(capacity)})
	require.NoError(t, err)
	return newMemory(c, shards)
}

// elapse moves a store's clock forward without waiting.
func (m *Memory) elapse(d time.Duration) { m.base = m.base.Add(-d) }

// audit checks the invariants between the parts of an idle store.
func (m *Memory) audit() error {
	used := 0
	for i := range m.shards {
		s := &m.shards[i]
		if err := s.audit(); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		used += int(s.index.count)
	}
	if used != m.Len() || used > m.Capacity() {
		return fmt.Errorf("%d keys, %d counted, capacity %d", used, m.Len(), m.Capacity())
	}
	return nil
}

func (s *shard) audit() error {
	found := 0
	for _, slot := range s.index.slots {
		if slot == emptySlot {
			continue
		}
		found++
		r := slotRef(slot)
		k := s.entries.at(r).key
		if h := uint32(s.hasher.hash(&k)); h != slotHash(slot) || s.index.find(h, &k, &s.entries) != r {
			return fmt.Errorf("entry %d is not where its key leads", r)
		}
	}
	completed, err := s.auditCompleted()
	if err != nil {
		return err
	}
	if err := s.auditLeases(); err != nil {
		return err
	}
	if found != int(s.index.count) || found != completed+len(s.leases) {
		return fmt.Errorf("%d slots in use, %d counted, %d completed, %d leased", found, s.index.count, completed, len(s.leases))
	}
	if unused := s.unused(); found > 0 && found+unused != int(s.entries.used)-1 {
		return fmt.Errorf("%d in use and %d free of %d entries", found, unused, s.entries.used-1)
	}
	if s.soonest > s.firstDeadline() {
		return fmt.Errorf("soonest %v, first deadline %v", s.soonest, s.firstDeadline())
	}
	return nil
}

func (s *shard) auditCompleted() (n int, err error) {
	before, deadline := none, time.Duration(math.MinInt64)
	for r := s.oldest(); r != none; r = s.entries.at(r).next {
		e := s.entries.at(r)
		if !e.completed() || e.prev != before || e.deadline < deadline {
			return n, fmt.Errorf("entry %d does not belong after %d in the order of completion", r, before)
		}
		before, deadline = r, e.deadline
		n++
	}
	return n, nil
}

func (s *shard) auditLeases() error {
	for i, r := range s.leases {
		e := s.entries.at(r)
		if e.completed() || e.mark == 0 || int(e.prev) != i {
			return fmt.Errorf("entry %d does not belong at %d in the heap", r, i)
		}
		if s.entries.at(s.leases[max(i-1, 0)/2]).deadline > e.deadline {
			return fmt.Errorf("entry %d ends before its parent in the heap", r)
		}
	}
	return nil
}

func (s *shard) unused() (n int) {
	for r := s.entries.free; r != none; r = s.entries.at(r).next {
		n++
	}
	return n
}
