package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/deployhook/deployhook/internal/riverdb"
)

const (
	callinBatch = 64
	// callinBacklog bounds the jobs that wait to be called back. Those beyond come back at their time.
	callinBacklog = 20_000
)

// callins makes jobs due that were put back, because their endpoint has free slots.
type callins struct {
	o      *Outbox
	signal chan struct{}

	mu   sync.Mutex
	jobs []int64
}

func newCallins(o *Outbox) *callins { return &callins{o: o, signal: make(chan struct{}, 1)} }

// add never blocks.
func (c *callins) add(jobs []int64) {
	if len(jobs) == 0 {
		return
	}
	c.push(jobs)
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

func (c *callins) push(all []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.jobs) < callinBacklog {
		c.jobs = append(c.jobs, all...)
	}
}

func (c *callins) take() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.jobs), callinBatch)
	jobs := c.jobs[:n:n]
	c.jobs = c.jobs[n:]
	return jobs
}

func (c *callins) run(ctx context.Context) {
	tick := time.NewTicker(fetchPollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.signal:
		case <-tick.C: // its own time may be old, after a wait for the database
			c.add(c.o.gate.kick())
		}
		c.push(c.callAll(ctx)) // for the next tick
	}
}

// callAll calls everyone back who is waiting for it, and returns those that are not due yet.
func (c *callins) callAll(ctx context.Context) (again []int64) {
	for jobs := c.take(); len(jobs) > 0 && ctx.Err() == nil; jobs = c.take() {
		waiting, err := c.call(ctx, jobs)
		if err != nil && ctx.Err() == nil {
			c.o.logger.WarnContext(ctx, "outbox: calling deliveries back; it will be tried again", slog.Any("error", err))
			waiting = jobs
		}
		again = append(again, waiting...)
	}
	return again
}

// call makes jobs due. Deleted jobs are skipped. Jobs that are not due afterwards are
// returned, or they would sleep until their own time:
//
//   - A job is still running. River writes only some time later that it was put
//     back.
//   - River was writing that at this moment. On PostgreSQL the statement then waits
//     for the row, sees that the job was running when the statement began, and
//     changes nothing, but returns the row as it is now.
//
// All processes lock the rows in the order of their IDs, so that none waits for
// another that waits for it.
func (c *callins) call(ctx context.Context, jobs []int64) (again []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	slices.Sort(jobs)
	err = c.o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		again = again[:0] // the transaction may run more than once
		for _, job := range jobs {
			row, err := c.o.client.JobRetryTx(ctx, tx, job)
			if err != nil && !errors.Is(err, rivertype.ErrNotFound) {
				return err
			}
			if err == nil && row.State != rivertype.JobStateAvailable {
				again = append(again, job)
			}
		}
		return nil
	})
	return again, err
}
