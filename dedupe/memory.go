package dedupe

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Memory is a [Store] in the memory of one process. It forgets everything when the process ends, and
// nothing else shares it: run one instance of the service, or use a store that all of them reach.
//
// It never forgets early. When it holds as many keys as its capacity allows, claims of further ones fail with [ErrFull]
// until leases or TTLs end, while duplicates of what it holds are still recognised.
//
// Time is monotonic: setting the clock of the machine moves neither leases nor TTLs. In a bubble of testing/synctest it is
// the bubble's; make the store inside.
//
// There is no goroutine behind it. Each Claim frees a few expired keys, so expired keys of an idle store are
// only counted, and their memory reused, when it is busy again. A store keeps the memory that it has grown to.
// In steady state no call allocates.
//
// Tokens begin with the time at which the store is made, in microseconds, so they
// also rise across restarts unless the machine's clock was set back meanwhile.
//
// All methods may be called from any goroutine at any time.
type Memory struct {
	ttl      time.Duration
	capacity int64
	base     time.Time // the zero of the store's clock, with a monotonic reading
	hasher   hasher
	shards   []shard
	shift    uint8 // a hash's shard is its upper bits, hash >> shift

	_    [64]byte // what is above is only read; keep it out of the cache line that every new key writes
	used atomic.Int64
}

var _ Store = (*Memory)(nil)

// More shards than minShards only serve to keep them small, so that the longest pause, growing one shard's index,
// stays the same for large stores: at capacity, a shard has about shardLen keys, until there are maxShards.
const (
	minShards = 64
	maxShards = 1024
	shardLen  = 1 << 14
)

// NewMemory returns an empty store. Without options it remembers up to [DefaultCapacity] deliveries for [DefaultTTL].
// Its error names every option that is wrong, and the way out.
func NewMemory(opts ...MemoryOption) (*Memory, error) {
	c, err := newMemoryConfig(opts)
	if err != nil {
		return nil, err
	}
	n := minShards
	for n < maxShards && c.capacity/n > shardLen {
		n *= 2
	}
	return newMemory(c, n), nil
}

// newMemory makes a store of so many shards, a power of two.
func newMemory(c memoryConfig, shards int) *Memory {
	m := &Memory{
		ttl:      c.ttl,
		capacity: int64(c.capacity),
		base:     time.Now(),
		hasher:   newHasher(),
		shards:   make([]shard, shards),
		shift:    uint8(64 - bits.TrailingZeros(uint(shards))),
	}
	// A store that is made after a restart goes on above the tokens of the one
	// before, because no shard grants a claim each microsecond all the time.
	first := Token(max(m.base.UnixMicro(), 0))
	for i := range m.shards {
		m.shards[i].hasher, m.shards[i].token = &m.hasher, first
	}
	return m
}

// errEmptyMemory is the error of a Memory that no constructor made.
var errEmptyMemory = fmt.Errorf("%w: the Memory is empty; make it with NewMemory", ErrInvalid)

func (m *Memory) empty() bool { return m == nil || len(m.shards) == 0 }

// TTL implements [Store]. It is zero for a Memory that [NewMemory] did not make.
func (m *Memory) TTL() time.Duration {
	if m.empty() {
		return 0
	}
	return m.ttl
}

// Capacity is the greatest number of keys that the store holds.
func (m *Memory) Capacity() int {
	if m.empty() {
		return 0
	}
	return int(m.capacity)
}

// Len is the number of keys that the store holds, claimed and completed, among them keys whose time is over but which
// have not been cleaned up yet. It is meant for metrics, and never greater than Capacity.
func (m *Memory) Len() int {
	if m.empty() {
		return 0
	}
	return int(m.used.Load())
}

// Close forgets everything and frees the memory. It waits for nothing. Further
// calls return [ErrClosed], so that nothing is handled unprotected.
//
// Closing again does nothing, nor does closing a nil or zero Memory. The error
// is always nil.
func (m *Memory) Close() error {
	if m.empty() {
		return nil
	}
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		m.used.Add(-int64(s.index.count))
		s.close()
		s.mu.Unlock()
	}
	return nil
}

// Claim implements [Store].
func (m *Memory) Claim(ctx context.Context, key Key, lease time.Duration) (Claim, error) {
	if m.empty() {
		return Claim{}, errEmptyMemory
	}
	if err := checkLease(ctx, key, lease); err != nil {
		return Claim{}, err
	}
	h := m.hasher.hash(&key)
	c, err := m.claim(h, key, lease, 0)
	if err == ErrFull && m.reclaim(h) {
		c, err = m.claim(h, key, lease, 1)
	}
	return c, err
}

// claim does the work of Claim. It has room for a new key if room is 1; otherwise it needs to find some.
func (m *Memory) claim(h uint64, key Key, lease time.Duration, room int) (Claim, error) {
	s := m.lock(h)
	defer s.mu.Unlock()
	if s.closed {
		m.giveBack(room)
		return Claim{}, ErrClosed
	}
	now := m.now()
	room += s.prune(now, pruneLimit)
	r := s.index.find(uint32(h), &key, &s.entries)
	switch {
	case r == none && room == 0 && !m.reserve():
		return Claim{}, ErrFull
	case r == none:
		room = max(room-1, 0)
		r = s.insert(uint32(h), &key)
	case !s.entries.at(r).liveAt(now):
		s.detach(r)
	default:
		m.giveBack(room)
		return held(s.entries.at(r), now), nil
	}
	m.giveBack(room)
	return Claim{Key: key, State: Claimed, Token: s.lease(r, after(now, lease))}, nil
}

// held answers a claim of a key that is not free.
func held(e *entry, now time.Duration) Claim {
	if e.completed() {
		return Claim{Key: e.key, State: Completed}
	}
	return Claim{Key: e.key, State: InFlight, RetryAfter: e.deadline - now}
}

// Renew implements [Store].
func (m *Memory) Renew(ctx context.Context, c Claim, lease time.Duration) error {
	if m.empty() {
		return errEmptyMemory
	}
	if err := checkClaim(ctx, c); err != nil {
		return err
	}
	if err := checkLease(ctx, c.Key, lease); err != nil {
		return err
	}
	h := m.hasher.hash(&c.Key)
	s := m.lock(h)
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	now := m.now()
	r := s.index.find(uint32(h), &c.Key, &s.entries)
	if r == none {
		return ErrLeaseLost
	}
	e := s.entries.at(r)
	if e.mark != c.Token || !e.liveAt(now) {
		return ErrLeaseLost
	}
	s.renew(r, after(now, lease))
	return nil
}

// Complete implements [Store].
func (m *Memory) Complete(ctx context.Context, c Claim) error {
	if m.empty() {
		return errEmptyMemory
	}
	if err := checkClaim(ctx, c); err != nil {
		return err
	}
	h := m.hasher.hash(&c.Key)
	err := m.complete(h, c, 0)
	if err == ErrFull && m.reclaim(h) {
		err = m.complete(h, c, 1)
	}
	return err
}

// complete does the work of Complete, with room as for claim.
func (m *Memory) complete(h uint64, c Claim, room int) error {
	s := m.lock(h)
	defer s.mu.Unlock()
	if s.closed {
		m.giveBack(room)
		return ErrClosed
	}
	now := m.now()
	r := s.index.find(uint32(h), &c.Key, &s.entries)
	if r == none {
		// The lease has ended and been cleaned up, or been released.
		if room == 0 && !m.reserve() {
			return ErrFull
		}
		s.complete(s.insert(uint32(h), &c.Key), c.Token, after(now, m.ttl))
		return nil
	}
	m.giveBack(room)
	e := s.entries.at(r)
	switch {
	case e.mark == -c.Token && e.liveAt(now):
		return nil
	case e.mark != c.Token && e.liveAt(now):
		return ErrLeaseLost
	}
	s.detach(r)
	s.complete(r, c.Token, after(now, m.ttl))
	return nil
}

// Release implements [Store].
func (m *Memory) Release(ctx context.Context, c Claim) error {
	if m.empty() {
		return errEmptyMemory
	}
	if err := checkClaim(ctx, c); err != nil {
		return err
	}
	h := m.hasher.hash(&c.Key)
	s := m.lock(h)
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	r := s.index.find(uint32(h), &c.Key, &s.entries)
	if r == none {
		return nil
	}
	e := s.entries.at(r)
	if e.mark != c.Token && e.liveAt(m.now()) {
		return ErrLeaseLost
	}
	s.forget(r)
	m.giveBack(1)
	return nil
}

// lock returns the shard of a hash, locked.
func (m *Memory) lock(h uint64) *shard {
	s := &m.shards[h>>m.shift]
	s.mu.Lock()
	return s
}

// reclaim looks in all shards for an expired entry when the store is full, frees it, and keeps its room for the caller.
// It begins after the caller's own shard, which has none.
func (m *Memory) reclaim(h uint64) bool {
	own := int(h >> m.shift)
	for i := range m.shards {
		s := &m.shards[(own+1+i)%len(m.shards)]
		s.mu.Lock()
		freed := s.prune(m.now(), 1)
		s.mu.Unlock()
		if freed > 0 {
			m.giveBack(freed - 1)
			return true
		}
	}
	return false
}

// reserve takes room for one key out of the capacity.
func (m *Memory) reserve() bool {
	for {
		used := m.used.Load()
		if used >= m.capacity {
			return false
		}
		if m.used.CompareAndSwap(used, used+1) {
			return true
		}
	}
}

func (m *Memory) giveBack(room int) {
	if room != 0 {
		m.used.Add(-int64(room))
	}
}

// now is the time on the store's clock. The clock is read with the lock held: within a shard it never
// runs backwards, and a caller who had to wait for the lock is not given less than a whole lease or TTL.
func (m *Memory) now() time.Duration { return time.Since(m.base) }

// after adds without overflow: the longest durations stand for ever.
func after(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

func checkLease(ctx context.Context, key Key, lease time.Duration) error {
	switch {
	case lease <= 0:
		return fmt.Errorf("%w: lease of %v: must be greater than zero, and longer than the handler takes", ErrInvalid, lease)
	case key == Key{}:
		return fmt.Errorf("%w: the key is zero; make it with NewKey", ErrInvalid)
	}
	return ctx.Err()
}

func checkClaim(ctx context.Context, c Claim) error {
	if c.State != Claimed || c.Token <= 0 || c.Key == (Key{}) {
		return fmt.Errorf("%w: a claim in state %v with token %d gives no rights; only one that Store.Claim answered "+
			"as claimed does", ErrInvalid, c.State, c.Token)
	}
	return ctx.Err()
}
