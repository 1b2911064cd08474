package receivertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// Method is a method of a [dedupe.Store].
type Method string

// The methods that can have faults.
const (
	Claim    Method = "Claim"
	Renew    Method = "Renew"
	Complete Method = "Complete"
	Release  Method = "Release"
)

// Errors of a [Store] with faults.
var (
	ErrDown = errors.New("receivertest: the store is down")
	ErrLost = errors.New("receivertest: the store's answer was lost")
)

// A Fault replaces one call of a store. It may make the call with call, whose
// error is that of the store. Write your own for faults that this package does
// not have.
type Fault func(ctx context.Context, call func(context.Context) error) error

// Works is no fault. It is for scripts in which a later call fails.
func Works() Fault {
	return func(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
}

// Fails returns err. The store is not called.
func Fails(err error) Fault {
	return func(context.Context, func(context.Context) error) error { return err }
}

// Lost makes the call, and returns [ErrLost] instead of its result. So does a
// store whose connection ends before the answer.
func Lost() Fault {
	return func(ctx context.Context, call func(context.Context) error) error {
		return errors.Join(ErrLost, call(ctx))
	}
}

// Slow makes the call after a while. If the context ends meanwhile, the store
// is not called.
func Slow(by time.Duration) Fault {
	return func(ctx context.Context, call func(context.Context) error) error {
		if err := pause(ctx, by); err != nil {
			return err
		}
		return call(ctx)
	}
}

// Late makes the call at once, and returns its result after a while. If the
// context ends meanwhile, the result comes then.
func Late(by time.Duration) Fault {
	return func(ctx context.Context, call func(context.Context) error) error {
		err := call(ctx)
		_ = pause(ctx, by) // the call has had its effect
		return err
	}
}

// Hangs waits for the end of the context. The store is not called.
func Hangs() Fault {
	return func(ctx context.Context, _ func(context.Context) error) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
}

// pause waits. It returns the cause of the context's end.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Store is a [dedupe.Store] that counts its calls and has faults when it is
// told to. All methods are safe for concurrent use.
type Store struct {
	t     testing.TB
	inner dedupe.Store

	mu     sync.Mutex
	down   bool
	every  map[Method]Fault
	next   map[Method][]Fault
	counts map[Method]int
}

var _ dedupe.Store = (*Store)(nil)

// NewStore returns a store in memory, which the end of the test closes. In a
// testing/synctest bubble its leases and TTL are in the bubble's time.
func NewStore(t testing.TB, opts ...dedupe.MemoryOption) *Store {
	t.Helper()
	memory := must(dedupe.NewMemory(opts...))(t, "NewStore")
	t.Cleanup(func() { _ = memory.Close() }) // it never fails
	return WrapStore(t, memory)
}

// WrapStore gives faults to another store. The caller closes that one.
func WrapStore(t testing.TB, store dedupe.Store) *Store {
	return &Store{t: t, inner: store, every: map[Method]Fault{}, next: map[Method][]Fault{}, counts: map[Method]int{}}
}

// Down makes every call fail with [ErrDown] until [Store.Up].
func (s *Store) Down() { s.set(true) }

// Up ends what [Store.Down] has begun.
func (s *Store) Up() { s.set(false) }

func (s *Store) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Next gives the next calls of the method these faults, in this order, after
// those that were given before. Later calls have that of [Store.Every], or
// none.
func (s *Store) Next(m Method, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next[m] = append(s.next[m], faults...)
}

// Every gives all calls of the method this fault, in place of an earlier one.
// It returns the store. To end the fault, give [Works].
func (s *Store) Every(m Method, fault Fault) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.every[m] = fault
	return s
}

// Calls returns how often the method was called, faults included.
func (s *Store) Calls(m Method) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[m]
}

// WantCalls fails the test if the method was not called n times.
func (s *Store) WantCalls(m Method, n int) {
	s.t.Helper()
	if got := s.Calls(m); got != n {
		s.t.Errorf("receivertest: the store's %s was called %s, want %s", m, times(got), times(n))
	}
}

// do counts a call, and makes it with its fault.
func (s *Store) do(ctx context.Context, m Method, call func(context.Context) error) error {
	return s.fault(m)(ctx, call)
}

func (s *Store) fault(m Method) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[m]++
	if s.down {
		return Fails(ErrDown)
	}
	if queue := s.next[m]; len(queue) > 0 {
		s.next[m] = queue[1:]
		return queue[0]
	}
	if fault := s.every[m]; fault != nil {
		return fault
	}
	return Works()
}

// Claim implements [dedupe.Store].
func (s *Store) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	var claim dedupe.Claim
	err := s.do(ctx, Claim, func(ctx context.Context) (err error) {
		claim, err = s.inner.Claim(ctx, key, lease)
		return err
	})
	if err != nil {
		return dedupe.Claim{}, err
	}
	return claim, nil
}

// Renew implements [dedupe.Store].
func (s *Store) Renew(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	return s.do(ctx, Renew, func(ctx context.Context) error { return s.inner.Renew(ctx, c, lease) })
}

// Complete implements [dedupe.Store].
func (s *Store) Complete(ctx context.Context, c dedupe.Claim) error {
	return s.do(ctx, Complete, func(ctx context.Context) error { return s.inner.Complete(ctx, c) })
}

// Release implements [dedupe.Store].
func (s *Store) Release(ctx context.Context, c dedupe.Claim) error {
	return s.do(ctx, Release, func(ctx context.Context) error { return s.inner.Release(ctx, c) })
}

// TTL implements [dedupe.Store].
func (s *Store) TTL() time.Duration { return s.inner.TTL() }
