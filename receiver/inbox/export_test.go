package inbox

import (
	"context"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// Prune removes what will be past its retention after the given time.
func (in *Inbox) Prune(ctx context.Context, ahead time.Duration) { in.prune(ctx, ahead) }

// Positions counts the deployments whose position is known.
func (in *Inbox) Positions(ctx context.Context) (n int) {
	if err := in.db.QueryRow(ctx, "SELECT count(*) FROM {schema}inbox_deployment").Scan(&n); err != nil {
		panic(err)
	}
	return n
}

// TakeLease takes the lease of a delivery's deployment and keeps it, as a process
// does that then dies.
func (in *Inbox) TakeLease(ctx context.Context, id int64) bool {
	r, err := in.load(ctx, id)
	if err != nil {
		panic(err)
	}
	l, err := in.leases.take(ctx, r.orderingKey)
	if err != nil {
		panic(err)
	}
	if l != nil {
		l.timer.Stop()
		in.leases.mu.Lock()
		delete(in.leases.held, l.claim)
		in.leases.mu.Unlock()
	}
	return l != nil
}

// RobLeases has another process take all deployments for a moment.
func (in *Inbox) RobLeases(ctx context.Context) {
	_, err := in.db.Exec(ctx, "UPDATE {schema}inbox_deployment SET claim = 1, until = {now} + 1000000")
	if err != nil {
		panic(err)
	}
}

// EndLeases has the leases of all deployments end after a time.
func (in *Inbox) EndLeases(ctx context.Context, after time.Duration) {
	_, err := in.db.Exec(ctx, "UPDATE {schema}inbox_deployment SET until = {now} + ?", after.Microseconds())
	if err != nil {
		panic(err)
	}
}

// Abandon makes what a process had in hand look as if it had died an hour ago.
func (in *Inbox) Abandon(ctx context.Context) {
	earlier := "attempted_at - interval '1 hour'"
	if in.db.Dialect() == riverdb.SQLite {
		earlier = "strftime('%Y-%m-%d %H:%M:%f', attempted_at, '-1 hour')"
	}
	if _, err := in.db.Exec(ctx, "UPDATE {schema}river_job SET attempted_at = "+earlier+" WHERE state = 'running'"); err != nil {
		panic(err)
	}
	in.EndLeases(ctx, 0)
}

// RunAgain works a delivery's job once more, as after a crash that came before River had noted its end. The worker that handled it
// may still be on its way out when the outcome can be seen; it is waited for, as a second one would be put off.
func (in *Inbox) RunAgain(ctx context.Context, id int64) {
	for !in.running.enter(id) {
		select {
		case <-ctx.Done():
			panic(ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	in.running.leave(id)
	if err := in.Work(ctx, id, 2); err != nil {
		panic(err)
	}
}

// Work works the job of a delivery's first round, which River has fetched so often.
func (in *Inbox) Work(ctx context.Context, id int64, fetched int) error {
	return in.WorkRound(ctx, id, fetched, 1)
}

// WorkRound works the job of a round.
func (in *Inbox) WorkRound(ctx context.Context, id int64, fetched int, round int64) error {
	job := &river.Job[jobArgs]{JobRow: &rivertype.JobRow{Attempt: fetched}, Args: jobArgs{ID: id, Round: round}}
	return (&worker{in: in}).Work(ctx, job)
}

// NextRetry is what the rescuer asks for.
func (in *Inbox) NextRetry() time.Time { return (&worker{in: in}).NextRetry(nil) }

// CancelJobs cancels all jobs that run.
func (in *Inbox) CancelJobs(ctx context.Context) {
	list, err := in.client.JobList(ctx, river.NewJobListParams().States(rivertype.JobStateRunning))
	if err != nil {
		panic(err)
	}
	for _, job := range list.Jobs {
		if _, err := in.client.JobCancel(ctx, job.ID); err != nil {
			panic(err)
		}
	}
}

// ForgetLeader ends the term of River's leader.
func (in *Inbox) ForgetLeader(ctx context.Context) {
	if _, err := in.db.Exec(ctx, "DELETE FROM {schema}river_leader"); err != nil {
		panic(err)
	}
}

// WithScheduleLimit sets how long a schedule may take to answer.
func WithScheduleLimit(d time.Duration) Option {
	return optionFunc(func(c *config) { c.scheduleLimit = d })
}
