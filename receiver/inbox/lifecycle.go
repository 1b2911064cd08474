package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// Start begins to handle deliveries, those first that were stored before. It returns when the workers run. They stop when
// ctx ends, as after [Inbox.Stop]. Starting twice is an error; after Stop it may be started again.
//
// A process that does not call it only stores, for others to handle.
func (in *Inbox) Start(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.closed.Load():
		return ErrClosed
	case in.upkeep != nil:
		return errors.New("inbox: Start: it is started already; call Stop first")
	}
	if err := in.client.Start(ctx); err != nil {
		return fmt.Errorf("inbox: Start: %w", err)
	}
	in.upkeep = in.startUpkeep(ctx)
	return nil
}

// Stop ends the work and returns when no handler runs any more. Handlers may finish until [WithStopTimeout] or ctx
// is over; then their contexts end, and their deliveries go back to the queue, with that attempt not counted.
// Deliveries are still accepted. Stopping what is not started does nothing.
func (in *Inbox) Stop(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stop(ctx)
}

func (in *Inbox) stop(ctx context.Context) error {
	if in.upkeep == nil {
		return nil
	}
	err := in.client.Stop(ctx)
	if err != nil && ctx.Err() != nil {
		// The caller's patience is at its end: no more waiting for handlers, but for what they leave behind.
		hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.storeTimeout)
		defer cancel()
		err = in.client.StopAndCancel(hard)
	}
	if err != nil {
		return fmt.Errorf("inbox: Stop: %w", err)
	}
	in.upkeep.end() // last: it renews the leases of running handlers
	in.upkeep = nil
	return nil
}

// Close stops the work, as [Inbox.Stop] does, and closes a SQLite file; a PostgreSQL pool stays the caller's. After it
// deliveries are answered with 503.
func (in *Inbox) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), in.stopTimeout+in.storeTimeout)
	defer cancel()
	err := in.stop(ctx)
	return errors.Join(err, in.db.Close())
}

// upkeep is the goroutines of a started inbox that are not River's.
type upkeep struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
}

// startUpkeep renews leases and removes what is past its retention, until it is ended. It outlives the end of Start's context,
// since handlers do.
func (in *Inbox) startUpkeep(ctx context.Context) *upkeep {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	u := &upkeep{cancel: cancel}
	u.all.Go(func() {
		in.every(ctx, min(in.retention/10, time.Minute), inPruning, func(ctx context.Context) { in.prune(ctx, 0) })
	})
	if in.ordering {
		u.all.Go(func() { in.every(ctx, in.rescueAfter/4, inRenewing, in.leases.renew) })
	}
	return u
}

func (u *upkeep) end() {
	u.cancel()
	u.all.Wait()
}

// every does the work at each interval until ctx ends, also after a fault.
func (in *Inbox) every(ctx context.Context, interval time.Duration, name string, work func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			in.faults.Call(ctx, name, func() { work(ctx) })
		}
	}
}

// pruneBatch keeps each transaction short: on SQLite everybody waits for it.
const pruneBatch = 500

// prune removes what is past its retention, or will be after the time that is given.
func (in *Inbox) prune(ctx context.Context, ahead time.Duration) {
	err := in.pruneState(ctx, "state IN ('handled', 'superseded')", in.retention-ahead)
	if err == nil && in.deadRetention > 0 {
		err = in.pruneState(ctx, "state = 'dead'", in.deadRetention-ahead)
	}
	if err == nil {
		// What has landed must be known for as long as an event can come that it makes stale: one that is in the table, or a copy
		// that the table would not recognise any more.
		err = in.pruneBatches(ctx, `DELETE FROM {schema}inbox_deployment WHERE ordering_key IN (SELECT p.ordering_key
			FROM {schema}inbox_deployment p WHERE p.used_at < {now} - ? AND p.until < {now} AND NOT EXISTS (SELECT 1
			FROM {schema}inbox_delivery d WHERE d.ordering_key = p.ordering_key AND d.state IN ('pending', 'dead')) LIMIT ?) AND until < {now}`,
			max(positionRetention, in.retention)-ahead)
	}
	if err != nil && ctx.Err() == nil {
		in.logger.ErrorContext(ctx, "inbox: removing old deliveries", slog.String("error", err.Error()))
	}
}

// positionRetention outlasts the retries of every sender.
const positionRetention = 30 * 24 * time.Hour

func (in *Inbox) pruneState(ctx context.Context, states string, retention time.Duration) error {
	return in.pruneBatches(ctx, `DELETE FROM {schema}inbox_delivery WHERE id IN (SELECT id FROM {schema}inbox_delivery
		WHERE state <> 'pending' AND `+states+` AND finished_at < {now} - ? ORDER BY finished_at LIMIT ?)
		AND `+states, retention)
}

func (in *Inbox) pruneBatches(ctx context.Context, statement string, retention time.Duration) error {
	for {
		var n int64
		err := in.write(ctx, func(ctx context.Context, tx *riverdb.Tx) (err error) {
			n, err = tx.Exec(ctx, statement, retention.Microseconds(), pruneBatch)
			return err
		})
		if err != nil || n < pruneBatch {
			return err
		}
	}
}
