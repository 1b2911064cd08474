package sqldedupe

import (
	"context"
	"sync"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// fullFor is how long a store that is full believes it without counting again.
const fullFor = time.Second

// room is how many keys this instance may still claim before it counts again. Counting reads the whole table, so it is not
// done for every claim.
type room struct {
	capacity int64
	turn     chan struct{} // a mutex that is waited for with a context; held while counting

	mu      sync.Mutex
	left    int64
	pending int64     // claims that have taken room and have no answer yet
	full    time.Time // until then there is no room
}

func newRoom(capacity int64) *room {
	return &room{capacity: capacity, turn: make(chan struct{}, 1)}
}

// take takes the room for one key, or returns ErrFull. After nil the caller owes a call of settle.
func (r *room) take(ctx context.Context, count func(context.Context) (held int64, next time.Duration, err error)) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.turn }()
	if taken, full := r.takeLeft(); taken || full {
		if full {
			return dedupe.ErrFull
		}
		return nil
	}
	r.mu.Lock()
	pending := r.pending // the rows of these are there already when we count, or are not; nobody adds to them before we are done
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
			// Not beyond the moment at which the first key is over.
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

// settle says what became of a claim that room was taken for.
func (r *room) settle(claimed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending--
	if !claimed {
		r.left++
	}
}

// released has the next claim count again.
func (r *room) released() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = time.Time{}
}

// count is how many keys are in force, and how long it is until the first of them isn't.
func (s *Store) count(ctx context.Context) (held int64, next time.Duration, err error) {
	var rest int64
	err = s.engine.auto(ctx, s.db, func(r runner) error {
		_, err := r.one(ctx, &s.stmts.count, nil, &held, &rest)
		return err
	})
	return held, time.Duration(rest) * s.engine.unit(), err
}

// isFree says whether nobody holds the key and it is not completed.
func (s *Store) isFree(ctx context.Context, key dedupe.Key) (bool, error) {
	var by int64
	var inForce bool
	err := s.engine.auto(ctx, s.db, func(r runner) error {
		_, err := r.one(ctx, &s.stmts.standing, []any{key[:]}, &by, &inForce)
		return err
	})
	return !inForce, err
}
