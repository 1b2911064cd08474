package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// Start begins to handle deliveries, including those stored before. It returns
// when the workers run. They stop when ctx ends, as with [Inbox.Stop]. Starting
// twice is an error. Start may be called again after Stop.
//
// A process that does not call Start only stores deliveries, and other
// processes handle them.
func (in *Inbox) Start(ctx context.Context) error {
	if err := in.open(); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.closed.Load():
		return ErrClosed
	case in.upkeep != nil:
		return errors.New("inbox: Start: the inbox is already started; call Stop first")
	}
	if err := in.queue.Start(ctx, in.jobs()); err != nil {
		return fmt.Errorf("inbox: Start: %w", err)
	}
	in.upkeep = in.startUpkeep(ctx)
	return nil
}

// Stop stops handling deliveries and returns when no handler runs. Handlers may
// finish until [WithStopTimeout] or ctx ends. Then their contexts end and their
// deliveries return to the queue, and the attempt does not count. Deliveries
// are still accepted. Stop does nothing if the inbox is not started.
func (in *Inbox) Stop(ctx context.Context) error {
	if in == nil || in.db == nil {
		return errNotMade
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stop(ctx)
}

func (in *Inbox) stop(ctx context.Context) error {
	if in.upkeep == nil {
		return nil
	}
	err := in.queue.Stop(ctx)
	if err != nil && ctx.Err() != nil {
		// ctx has ended, so do not wait for handlers any longer. Only wait
		// until their jobs are back in the queue.
		in.queue.Interrupt()
		hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.storeTimeout)
		defer cancel()
		err = in.queue.Stop(hard)
	}
	if err != nil {
		return fmt.Errorf("inbox: Stop: %w", err)
	}
	in.upkeep.end() // last, because it renews the leases of running handlers
	in.upkeep = nil
	return nil
}

// Close stops handling deliveries as [Inbox.Stop] does. It waits for handlers,
// at most for [WithStopTimeout] and [WithStoreTimeout]. It closes the file that
// [OpenSQLite] opened, and leaves the pool of [NewPostgres] open. Further calls
// return [ErrClosed], and deliveries are answered with 503.
//
// Closing again, or closing a nil or zero Inbox, does nothing.
func (in *Inbox) Close() error {
	if in == nil || in.db == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), in.stopTimeout+in.storeTimeout)
	defer cancel()
	err := in.stop(ctx)
	if in.upkeep != nil { // the workers do not end; nothing else may use a closed database
		in.upkeep.end()
		in.upkeep = nil
	}
	return errors.Join(err, in.closeTelemetry(), in.db.Close())
}

var errNotMade = fmt.Errorf("%w: the Inbox is nil or zero; make it with OpenSQLite or NewPostgres and check its error", ErrConfig)

// open returns an error if the inbox was closed, or was not made.
func (in *Inbox) open() error {
	switch {
	case in == nil || in.db == nil:
		return errNotMade
	case in.closed.Load():
		return ErrClosed
	}
	return nil
}

// upkeep runs the goroutines of a started inbox that are not the queue's.
type upkeep struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
}

// startUpkeep renews leases and removes deliveries past their retention until
// it is ended. Handlers may outlive Start's context, so it does too. It stops
// the queue when Start's context ends.
func (in *Inbox) startUpkeep(started context.Context) *upkeep {
	ctx, cancel := context.WithCancel(context.WithoutCancel(started))
	u := &upkeep{cancel: cancel}
	u.all.Go(func() {
		select {
		case <-ctx.Done():
		case <-started.Done():
			_ = in.queue.Stop(ctx) // fails only when upkeep is ended
		}
	})
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

// every does the work at each interval until ctx ends, even after a fault.
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

// pruneBatch keeps transactions short, because on SQLite all writers wait for
// them.
const pruneBatch = 500

// prune removes deliveries whose retention ends within the time ahead.
func (in *Inbox) prune(ctx context.Context, ahead time.Duration) {
	err := in.pruneState(ctx, "state IN ('handled', 'superseded')", in.retention-ahead)
	if err == nil && in.deadRetention > 0 {
		err = in.pruneState(ctx, "state = 'dead'", in.deadRetention-ahead)
	}
	if err == nil {
		// Keep a deployment's position while an older event can still arrive.
		// That event is either still in the table, or a copy that the table no
		// longer recognises.
		err = in.pruneBatches(ctx, `DELETE FROM {schema}inbox_deployment WHERE ordering_key IN (SELECT p.ordering_key
			FROM {schema}inbox_deployment p WHERE p.used_at < {now} - ? AND p.until < {now} AND NOT EXISTS (SELECT 1
			FROM {schema}inbox_delivery d WHERE d.ordering_key = p.ordering_key AND d.state IN ('pending', 'dead')) LIMIT ?) AND until < {now}`,
			max(positionRetention, in.retention)-ahead)
	}
	if err != nil && ctx.Err() == nil {
		in.logger.WarnContext(ctx, "inbox: old deliveries could not be removed; it will be tried again", slog.String("error", sqldb.Explain(err).Error()))
	}
}

// positionRetention is longer than the retries of any sender.
const positionRetention = 30 * 24 * time.Hour

func (in *Inbox) pruneState(ctx context.Context, states string, retention time.Duration) error {
	return in.pruneBatches(ctx, `DELETE FROM {schema}inbox_delivery WHERE id IN (SELECT id FROM {schema}inbox_delivery
		WHERE state <> 'pending' AND `+states+` AND finished_at < {now} - ? ORDER BY finished_at LIMIT ?)
		AND `+states, retention)
}

func (in *Inbox) pruneBatches(ctx context.Context, statement string, retention time.Duration) error {
	for {
		var n int64
		err := in.write(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			n, err = tx.Exec(ctx, statement, retention.Microseconds(), pruneBatch)
			return err
		})
		if err != nil || n < pruneBatch {
			return err
		}
	}
}
