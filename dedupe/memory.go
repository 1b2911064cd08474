package dedupe

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Memory is a [Store] in the memory of one process. It forgets everything when
// the process ends. Run only one instance of the service, or use a store that
// all instances share.
//
// A Memory never forgets a key early. At its capacity, claims of new keys fail
// with [ErrFull] until leases or TTLs end. It still recognizes duplicates of
// the stored keys.
//
// Its clock is monotonic, so changing the machine's clock affects neither
// leases nor TTLs. In a testing/synctest bubble, create the store inside the
// bubble to use its clock.
//
// A Memory has no goroutine. Each Claim frees a few expired keys. An idle store
// keeps its expired keys until it is used again. A store never returns memory
// to the system. In steady state no call allocates.
//
// Tokens start at the time in microseconds when the store is created. They
// therefore also increase across restarts, unless the machine's clock was set
// back in between.
//
// All methods are safe for concurrent use.
type Memory struct {
	ttl      time.Duration
	capacity int64
	// the zero of the store's clock, with a monotonic reading
	base   time.Time
	hasher hasher
	shards []shard
	shift  uint8 // the shard of a hash is its upper bits, hash >> shift

	// The fields above are only read. Keep them out of the cache line that
	// every new key writes.
	_    [64]byte
	used atomic.Int64
}

var _ Store = (*Memory)(nil)

// The number of shards above minShards only keeps them small. The longest
// pause, which is the growth of one shard's index, is then the same for large
// stores. At capacity a shard has about shardLen keys, until there are
// maxShards.
const (
	minShards = 64
	maxShards = 1024
	shardLen  = 1 << 14
)

// NewMemory returns an empty store. By default it remembers up to
// [DefaultCapacity] deliveries for [DefaultTTL]. The error names every invalid
// option and the solution.
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

// newMemory creates a store with the given number of shards, a power of two.
func newMemory(c memoryConfig, shards int) *Memory {
	m := &Memory{
		ttl:      c.ttl,
		capacity: int64(c.capacity),
		base:     time.Now(),
		hasher:   newHasher(),
		shards:   make([]shard, shards),
		shift:    uint8(64 - bits.TrailingZeros(uint(shards))),
	}
	for i := range m.shards {
		m.shards[i].hasher, m.shards[i].token = &m.hasher, tokensFrom(m.base)
	}
	return m
}

// tokensFrom returns the token before the first one of a store that is created
// at a time. After a restart the tokens of the new store are greater than those
// of the old one, because no shard grants a claim in every microsecond for
// long. A clock before 1970 must not lead to a token of zero or less.
func tokensFrom(created time.Time) Token { return Token(max(created.UnixMicro(), 0)) }

// errEmptyMemory is the error of a Memory that was not created with NewMemory.
var errEmptyMemory = fmt.Errorf("%w: the Memory is empty; create it with NewMemory", ErrInvalid)

func (m *Memory) empty() bool { return m == nil || len(m.shards) == 0 }

// TTL implements [Store]. It returns zero for a Memory that was not created
// with [NewMemory].
func (m *Memory) TTL() time.Duration {
	if m.empty() {
		return 0
	}
	return m.ttl
}

// Capacity returns the maximum number of keys.
func (m *Memory) Capacity() int {
	if m.empty() {
		return 0
	}
	return int(m.capacity)
}

// Len returns the number of claimed and completed keys. It includes expired
// keys that were not freed yet, and is never greater than Capacity. Use it for
// metrics.
func (m *Memory) Len() int {
	if m.empty() {
		return 0
	}
	return int(m.used.Load())
}

// Close removes all keys and frees the memory. It does not wait. Later calls
// return [ErrClosed], so that no delivery is handled without protection.
//
// Closing again, or closing a nil or zero Memory, does nothing. The error is
// always nil.
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

// claim implements Claim. If room is 1, room for a new key is already reserved.
// Otherwise claim must find some.
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

// held returns the result of claiming a key that is not free.
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
	err := m.complete(h, c, false)
	if err == ErrFull && m.reclaim(h) {
		err = m.complete(h, c, true)
	}
	return err
}

// complete implements Complete. reserved says that room for a new key is
// already reserved.
func (m *Memory) complete(h uint64, c Claim, reserved bool) error {
	s := m.lock(h)
	defer s.mu.Unlock()
	now := m.now()
	r := s.index.find(uint32(h), &c.Key, &s.entries)
	if reserved && (s.closed || r != none) {
		m.giveBack(1)
	}
	if s.closed {
		return ErrClosed
	}
	if r == none {
		// The claim was released, or its lease has ended and the entry was
		// freed.
		if !reserved && !m.reserve() {
			return ErrFull
		}
		s.complete(s.insert(uint32(h), &c.Key), c.Token, after(now, m.ttl))
		return nil
	}
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

// Ready reports whether the store takes new deliveries. The error is [ErrFull],
// [ErrClosed] or the context's. Ready claims a random key and releases it.
func (m *Memory) Ready(ctx context.Context) error {
	c, err := m.Claim(ctx, NewKey("dedupe", "ready", rand.Text()), time.Second)
	if err != nil {
		return err
	}
	return m.Release(ctx, c)
}

// lock locks the shard of a hash and returns it.
func (m *Memory) lock(h uint64) *shard {
	s := &m.shards[h>>m.shift]
	s.mu.Lock()
	return s
}

// reclaim searches all shards of a full store for an expired entry, frees it,
// and reserves its room for the caller. It starts after the caller's own shard,
// which has none.
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

// reserve reserves room for one key within the capacity.
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

// now returns the time on the store's clock. It is called with the lock held.
// Within a shard the time then never goes backwards, and a caller that waited
// for the lock still gets a full lease or TTL.
func (m *Memory) now() time.Duration { return time.Since(m.base) }

// after adds without overflow. The longest durations never end.
func after(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

func checkLease(ctx context.Context, key Key, lease time.Duration) error {
	switch {
	case lease <= 0:
		return fmt.Errorf("%w: the lease is %v; it must be greater than zero, and longer than the handler takes", ErrInvalid, lease)
	case key == Key{}:
		return fmt.Errorf("%w: the key is zero; create it with NewKey", ErrInvalid)
	}
	return ctx.Err()
}

func checkClaim(ctx context.Context, c Claim) error {
	if c.State != Claimed || c.Token <= 0 || c.Key == (Key{}) {
		return fmt.Errorf("%w: the claim has state %v and token %d, but must be one that Store.Claim returned "+
			"with state claimed", ErrInvalid, c.State, c.Token)
	}
	return ctx.Err()
}
