package jobdb

import (
	"context"
	"time"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// Over returns a DB over another one.
func Over(db *sqldb.DB) *DB { return &DB{DB: db, polling: true} }

// NeverPoll has the queue look for due jobs only after a kick. Call it before
// Start.
func (q *Queue) NeverPoll() { q.idle = func(time.Duration) time.Duration { return 24 * time.Hour } }

// ClaimStopped claims jobs as a process does whose timer has ended at the same
// time as it was stopped.
func (q *Queue) ClaimStopped(config QueueConfig) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := &runner{q: q, config: config, work: context.Background(), halting: ctx}
	r.claimOnce(ctx, claimCooldown)
	r.jobs.Wait()
}

// Started reports whether Start has ever succeeded.
func (q *Queue) Started() bool { return q.runner.Load() != nil }
