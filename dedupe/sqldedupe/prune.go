package sqldedupe

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// pruneTimeout bounds what pruning adds to a Claim that has been answered.
const pruneTimeout = time.Second

// inPruneHook is the name under which [Store.Faults] counts faults.
const inPruneHook = "WithPruneHook"

// Faults returns how often the function of [WithPruneHook] has panicked or ended its
// goroutine (runtime.Goexit), under the name of the option. Both are contained. The
// map is empty if there was no fault.
func (s *Store) Faults() map[string]uint64 {
	if s.empty() {
		return map[string]uint64{}
	}
	return s.faults.Counts()
}

// pruner knows when Claim prunes next.
type pruner struct {
	next    atomic.Pointer[time.Time] // nil: at once
	running atomic.Bool
}

// Prune deletes expired rows, at most one batch of them (see [WithPruneBatch]), and returns how many. It never deletes what is
// still remembered. Rows of claims that were given up are kept for a TTL, so that their tokens stay behind later ones. Any
// number of callers may prune at the same time, besides any other calls; with PostgreSQL they share the work.
//
// Errors: [dedupe.ErrClosed], the context's error, failures of the database.
func (s *Store) Prune(ctx context.Context) (deleted int64, err error) {
	if s.empty() {
		return 0, fmt.Errorf("sqldedupe: Prune: %w", errEmpty)
	}
	deleted, _, err = s.prune(ctx)
	return deleted, err
}

// prune reports to the hook.
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

// RunPruner prunes until ctx ends, and returns its error: at once while there is much to delete, and then whenever every has
// passed; zero stands for the interval of [WithPruneInterval], and negative durations for an error that wraps
// [dedupe.ErrInvalid]. A failure is reported to the hook of [WithPruneHook], and the next round is the next try. It runs
// on the caller's goroutine, and returns early only if the store is closed.
func (s *Store) RunPruner(ctx context.Context, every time.Duration) error {
	if s.empty() {
		return fmt.Errorf("sqldedupe: RunPruner: %w", errEmpty)
	}
	if every < 0 {
		return fmt.Errorf("%w: sqldedupe: RunPruner: an interval of %v; give 0 for the store's own of %v", dedupe.ErrInvalid, every, s.config.pruneInterval)
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

// pruneIfDue prunes one batch at most, on one of the goroutines that claim. The claim has been answered already, so whatever
// happens here does not change it.
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
