package inbox

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// Prune removes deliveries whose retention ends within the given time.
func (in *Inbox) Prune(ctx context.Context, ahead time.Duration) { in.prune(ctx, ahead) }

// Positions counts the deployments with a known position.
func (in *Inbox) Positions(ctx context.Context) (n int) {
	if err := in.db.QueryRow(ctx, "SELECT count(*) FROM {schema}inbox_deployment").Scan(&n); err != nil {
		panic(err)
	}
	return n
}

// TakeLease takes the lease of a delivery's deployment and keeps it, like a
// process that then dies.
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

// StealLeases makes another process take all deployments for one second.
func (in *Inbox) StealLeases(ctx context.Context) {
	_, err := in.db.Exec(ctx, "UPDATE {schema}inbox_deployment SET claim = 1, until = {now} + 1000000")
	if err != nil {
		panic(err)
	}
}

// EndLeases makes all leases end after the given time.
func (in *Inbox) EndLeases(ctx context.Context, after time.Duration) {
	_, err := in.db.Exec(ctx, "UPDATE {schema}inbox_deployment SET until = {now} + ?", after.Microseconds())
	if err != nil {
		panic(err)
	}
}

// Abandon ends the leases of claimed jobs and of deployments, as if their
// processes had died long ago.
func (in *Inbox) Abandon(ctx context.Context) {
	if _, err := in.db.Exec(ctx, "UPDATE {schema}inbox_job SET claimed_until = {now} WHERE claimed_until > {now}"); err != nil {
		panic(err)
	}
	in.EndLeases(ctx, 0)
}

// LoseClaims makes all jobs those of deliveries that n processes have died
// with.
func (in *Inbox) LoseClaims(ctx context.Context, n int) {
	if _, err := in.db.Exec(ctx, "UPDATE {schema}inbox_job SET claims = ?", n); err != nil {
		panic(err)
	}
}

// InsertJob inserts a job with a reference that the inbox never writes.
func (in *Inbox) InsertJob(ctx context.Context, ref string) {
	err := in.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		_, err := in.queue.Insert(ctx, tx, []jobdb.NewJob{{Ref: ref}})
		return err
	})
	if err != nil {
		panic(err)
	}
}

// Jobs counts the jobs.
func (in *Inbox) Jobs(ctx context.Context) (n int) {
	if err := in.db.QueryRow(ctx, "SELECT count(*) FROM {schema}inbox_job").Scan(&n); err != nil {
		panic(err)
	}
	return n
}

// JobTimes returns the timeout and the lease of jobs under the options.
func JobTimes(opts ...Option) (timeout, lease time.Duration) {
	c, err := newConfig(opts)
	if err != nil {
		panic(err)
	}
	return c.jobTimeout(), c.jobLease()
}

// RunAgain runs a delivery's job again, as after a crash before the queue
// stored its end. It waits for the worker that handled it, which may still be
// running when the result is visible. A second worker would be put off.
func (in *Inbox) RunAgain(ctx context.Context, id int64) jobdb.Next {
	for !in.running.enter(id) {
		select {
		case <-ctx.Done():
			panic(ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	in.running.leave(id)
	return in.Work(ctx, id, 1)
}

// Work runs the job of a delivery's first round. lost is how many processes
// have died with it.
func (in *Inbox) Work(ctx context.Context, id int64, lost int) jobdb.Next {
	return in.WorkRound(ctx, id, lost, 1)
}

// WorkRound runs the job of the given round.
func (in *Inbox) WorkRound(ctx context.Context, id int64, lost int, round int64) jobdb.Next {
	return in.runJob(ctx, jobdb.Claim{Ref: jobRef{id, round}.String(), Lost: lost})
}

// WithScheduleLimit sets how long a schedule may take.
func WithScheduleLimit(d time.Duration) Option {
	return optionFunc(func(c *config) { c.scheduleLimit = d })
}

// Fill stores n deliveries. Every fiftieth is dead, with one of ten errors.
func (in *Inbox) Fill(ctx context.Context, n int) {
	series, key := "generate_series(1, ?) AS n", "convert_to('k' || n, 'UTF8')"
	if in.db.Dialect() == jobdb.SQLite {
		series, key = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?) SELECT n FROM c) AS c", "CAST('k' || n AS BLOB)"
	}
	for _, statement := range []string{
		`INSERT INTO {schema}inbox_delivery (delivery_key, ordering_key, source, principal, delivery_id, signing_key, signed_at, type,
			deployment_id, event_at, received_at, body, state, round, attempts, retry_at, finished_at, last_error, dead_error, trace)
		SELECT ` + key + `, ` + key + `, 'platform', '', 'whk_' || n, '', n, 'deploy.live', 'dep_' || (n % 200), n, n, ` + key + `,
			CASE WHEN n % 50 = 0 THEN 'dead' ELSE 'handled' END, 1, 1, 0, n, CASE WHEN n % 50 = 0 THEN 'error ' || (n / 50 % 10) ELSE '' END,
			CASE WHEN n % 50 = 0 THEN 'error ' || (n / 50 % 10) ELSE '' END, '' FROM ` + series,
		`ANALYZE {schema}inbox_delivery`,
	} {
		args := []any{n}
		if statement[0] == 'A' {
			args = nil
		}
		if _, err := in.db.Exec(ctx, statement, args...); err != nil {
			panic(err)
		}
	}
}

// Plan returns how the database lists what a filter selects.
func (in *Inbox) Plan(ctx context.Context, f Filter) string {
	where, args := f.where()
	statement := "SELECT " + deliveryColumns + " FROM {schema}inbox_delivery WHERE " + where + " ORDER BY id DESC LIMIT 51"
	explain, columns := "EXPLAIN ", 1
	if in.db.Dialect() == jobdb.SQLite {
		explain, columns = "EXPLAIN QUERY PLAN ", 4
	}
	lines, err := jobdb.Collect(ctx, in.db, func(row jobdb.Row) (string, error) {
		values := make([]any, columns)
		for i := range values {
			values[i] = new(sql.NullString)
		}
		err := row.Scan(values...)
		return values[columns-1].(*sql.NullString).String, err
	}, explain+statement, args...)
	if err != nil {
		panic(err)
	}
	return strings.Join(lines, "\n")
}
