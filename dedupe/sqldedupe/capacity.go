package sqldedupe

import (
	"context"
	"sync"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// fullFor is how long a full store refuses new keys without counting again.
const fullFor = time.Second

// room is the number of keys that this instance may still claim before it
// counts again. Counting reads the whole table, so the store does not do it for
// every claim.
type room struct {
	capacity int64
	// counting is a mutex whose waiters can stop at the end of a context. It is
	// locked while counting.
	counting chan struct{}

	mu   sync.Mutex
	left int64
	// claims with reserved room whose outcome is not known yet
	pending int64
	full    time.Time // the store is full until then
}

func newRoom(capacity int64) *room {
	return &room{capacity: capacity, counting: make(chan struct{}, 1)}
}

// take reserves room for one key, or returns ErrFull. After nil the caller must
// call settle.
func (r *room) take(ctx context.Context, count func(context.Context) (held int64, next time.Duration, err error)) error {
	select {
	case r.counting <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.counting }()
	if taken, full := r.takeLeft(); taken || full {
		if full {
			return dedupe.ErrFull
		}
		return nil
	}
	r.mu.Lock()
	// The count may or may not include the rows of these claims. No claim can
	// become pending before the count is done.
	pending := r.pending
	r.mu.Unlock()
	held, next, err := count(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	free := r.capacity - held - pending
	if free <= 0 {
		if pending == 0 {
			// Count again when the first key expires, even if that is earlier.
			r.full = time.Now().Add(min(fullFor, next))
		}
		return dedupe.ErrFull
	}
	r.left = max(free/8, 1) - 1
	r.pending++
	return nil
}

func (r *room) takeLeft() (taken, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left > 0 {
		r.left--
		r.pending++
		return true, false
	}
	return false, time.Now().Before(r.full)
}

// settle records the outcome of a claim with reserved room.
func (r *room) settle(claimed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending--
	if !claimed {
		r.left++
	}
}

// released makes the next claim count again.
func (r *room) released() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = time.Time{}
}

// count returns the number of active keys, and the time until the first of them
// expires.
func (s *Store) count(ctx context.Context) (held int64, next time.Duration, err error) {
	var rest int64
	err = s.engine.auto(ctx, s.db, func(r runner) error {
		_, err := r.one(ctx, &s.stmts.count, nil, &held, &rest)
		return err
	})
	return held, time.Duration(rest) * s.engine.unit(), err
}

// isFree reports whether the key is neither claimed nor completed.
func (s *Store) isFree(ctx context.Context, key dedupe.Key) (bool, error) {
	var by int64
	var inForce bool
	err := s.engine.auto(ctx, s.db, func(r runner) error {
		_, err := r.one(ctx, &s.stmts.standing, []any{key[:]}, &by, &inForce)
		return err
	})
	return !inForce, err
}
