package sqldedupe

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// pruneTimeout limits the time that pruning adds to a Claim with a known
// result.
const pruneTimeout = time.Second

// inPruneHook is the name under which [Store.Faults] counts faults.
const inPruneHook = "WithPruneHook"

// Faults returns how often the function of [WithPruneHook] has panicked or
// ended its goroutine (runtime.Goexit), by the name of the option. Both faults
// are contained. Without a fault the map is empty.
func (s *Store) Faults() map[string]uint64 {
	if s.empty() {
		return map[string]uint64{}
	}
	return s.faults.Counts()
}

// pruner records when Claim prunes next.
type pruner struct {
	next    atomic.Pointer[time.Time] // nil means at once
	running atomic.Bool
}

// Prune deletes at most one batch of expired rows (see [WithPruneBatch]) and
// returns how many. It never deletes a row that is still valid. It keeps the
// rows of released claims for a TTL, so that later tokens are greater. Any
// number of callers may prune concurrently with all other calls. In PostgreSQL
// they share the work.
//
// Errors are [dedupe.ErrClosed], the context's error, and failures of the
// database.
func (s *Store) Prune(ctx context.Context) (deleted int64, err error) {
	if s.empty() {
		return 0, fmt.Errorf("sqldedupe: Prune: %w", errEmpty)
	}
	deleted, _, err = s.prune(ctx)
	return deleted, err
}

// prune deletes one batch and reports the result to the hook.
func (s *Store) prune(ctx context.Context) (deleted int64, more bool, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, false, fmt.Errorf("sqldedupe: Prune: %w", err)
	}
	deleted, later, err := s.engine.prune(ctx, s.db, s.config.pruneBatch)
	if err != nil {
		deleted, later = 0, 0
		err = s.fail(ctx, "Prune", err)
	}
	if hook := s.config.onPrune; hook != nil {
		s.faults.Call(ctx, inPruneHook, func() { hook(deleted, err) })
	}
	return deleted, deleted+later >= int64(s.config.pruneBatch), err
}

// RunPruner prunes until ctx ends, and returns its error. It prunes without a
// pause while there are many expired rows, and then once per interval. Zero
// means the interval of [WithPruneInterval]. A negative interval gives an error
// that wraps [dedupe.ErrInvalid]. RunPruner reports a failure to the hook of
// [WithPruneHook] and retries in the next round. It runs on the caller's
// goroutine, and returns early only if the store is closed.
func (s *Store) RunPruner(ctx context.Context, every time.Duration) error {
	if s.empty() {
		return fmt.Errorf("sqldedupe: RunPruner: %w", errEmpty)
	}
	if every < 0 {
		return fmt.Errorf("%w: sqldedupe: RunPruner: the interval is %v; use 0 for the store's own of %v", dedupe.ErrInvalid, every, s.config.pruneInterval)
	}
	if every == 0 {
		every = s.config.pruneInterval
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		_, more, err := s.prune(ctx)
		switch {
		case s.closed.Load():
			return fmt.Errorf("sqldedupe: RunPruner: %w", dedupe.ErrClosed)
		case more && err == nil:
			timer.Reset(0)
		default:
			timer.Reset(every)
		}
	}
}

// pruneIfDue prunes at most one batch on the goroutine of a Claim. The result
// of the Claim is already known, so pruning cannot change it.
func (s *Store) pruneIfDue(ctx context.Context) {
	p := &s.pruner
	if s.config.noPruning {
		return
	}
	if next := p.next.Load(); next != nil && time.Now().Before(*next) || !p.running.CompareAndSwap(false, true) {
		return
	}
	defer p.running.Store(false)
	ctx, cancel := context.WithTimeout(ctx, pruneTimeout)
	defer cancel()
	_, more, err := s.prune(ctx)
	next := time.Now()
	if !more || err != nil {
		next = next.Add(s.config.pruneInterval)
	}
	p.next.Store(&next)
}
