package jobdb

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/timemath"
)

// A Queue is a table of jobs. A job says what it is for and when it is to run.
// Any number of processes work on the same table:
//
//   - A process claims a job for a time, the lease. A lease that has ended
//     frees the job. So nobody has to look for the jobs of dead processes.
//   - The end of the lease is also the token of the claim. A process that has
//     lost its claim changes nothing.
//   - A claim changes no column that is in an index. PostgreSQL can update the
//     row in place (HOT), for which the fillfactor leaves room.
//
// All times are those of the database's clock. Call [Queue.Start] to run jobs.
// A Queue is safe for concurrent use.
type Queue struct {
	db       *DB
	name     string
	table    string // with its schema
	settle   *sqldb.Combiner[settlement, struct{}]
	kicked   chan struct{}
	runner   atomic.Pointer[runner]
	notified atomic.Int64                      // the time of the last notification in nanoseconds
	idle     func(time.Duration) time.Duration // the pause after one without a due job
}

// QueueTable returns the statements that create the table of a queue. They
// belong into a [Step].
//
// The column claims counts the claims of a job that were not settled. While a
// process has a claim, that one is among them.
func QueueTable(table string) []string {
	return []string{
		`CREATE TABLE {schema}` + table + ` (
		id {id},
		ref {text} NOT NULL,
		run_at bigint NOT NULL,
		claimed_until bigint NOT NULL DEFAULT 0,
		failures bigint NOT NULL DEFAULT 0,
		claims bigint NOT NULL DEFAULT 0
	){postgres: WITH (fillfactor = 70)}`,
		`CREATE INDEX ` + table + `_due ON {schema}` + table + ` (run_at, id)`,
	}
}

const (
	// maxSettled is the number of jobs that one statement settles.
	maxSettled = 256
	// storeTimeout bounds a statement of the queue itself.
	storeTimeout = 15 * time.Second
	// inQueue is the name under which faults of the queue's own work are counted.
	inQueue = "queue"
)

// NewQueue returns the queue in a table, which [QueueTable] has created. Faults
// count its own and those of its workers.
func NewQueue(db *DB, table string, faults *contain.Faults) *Queue {
	q := &Queue{db: db, name: table, table: `{schema}` + table, kicked: make(chan struct{}, 1)}
	longest := DefaultPollInterval
	if db.Dialect() == SQLite {
		longest = litePollInterval
	}
	q.idle = func(pause time.Duration) time.Duration { return min(2*pause, longest) }
	q.settle = &sqldb.Combiner[settlement, struct{}]{
		Run: q.settleAll, Most: maxSettled, Width: 1, Timeout: storeTimeout, Alone: func(error) bool { return false },
		Faults: faults, In: inQueue,
	}
	return q
}

// NewJob is a job to insert.
type NewJob struct {
	// Ref says what the job is for. A call of Insert has each only once.
	Ref string
	// Wait is the time until the job is to run. Zero or less means at once.
	Wait time.Duration
}

// maxInserted is the number of jobs that one statement inserts. It fits into
// the parameters of any driver.
const maxInserted = 100

// Insert stores jobs in a transaction, also in one of the caller's, and returns
// their IDs in the same order. Call [Queue.Kick] after the commit. Without it
// the jobs are found at the next poll.
func (q *Queue) Insert(ctx context.Context, tx *Tx, jobs []NewJob) ([]int64, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	type inserted struct {
		id  int64
		ref string
	}
	byRef := make(map[string]int64, len(jobs))
	for part := range slices.Chunk(jobs, maxInserted) {
		const row = `(?, {now} + ?)`
		args := make([]any, 0, 2*len(part))
		for _, j := range part {
			args = append(args, j.Ref, max(j.Wait, 0).Microseconds())
		}
		rows, err := Collect(ctx, tx, func(r Row) (i inserted, err error) { return i, r.Scan(&i.id, &i.ref) },
			`INSERT INTO `+q.table+` (ref, run_at) VALUES `+row+strings.Repeat(`, `+row, len(part)-1)+` RETURNING id, ref`, args...)
		if err != nil {
			return nil, fmt.Errorf("inserting jobs: %w", err)
		}
		for _, i := range rows {
			byRef[i.ref] = i.id
		}
	}
	ids := make([]int64, len(jobs))
	for i, j := range jobs {
		ids[i] = byRef[j.Ref]
	}
	return ids, q.notify(ctx, tx)
}

// FinishTx deletes jobs in the transaction that records what they have done. So
// no crash separates the two. The worker then returns [Finished].
func (q *Queue) FinishTx(ctx context.Context, tx *Tx, jobs []int64) error {
	if len(jobs) == 0 {
		return nil
	}
	statement, arg := q.Finish(jobs)
	_, err := tx.Exec(ctx, statement, arg)
	return err
}

// Finish returns the statement of [Queue.FinishTx] and its argument. On
// PostgreSQL it can be part of another statement, as WITH finished AS (...).
func (q *Queue) Finish(jobs []int64) (statement string, arg any) {
	which, arg := q.db.IsAnyOf("id", jobs)
	return `DELETE FROM ` + q.table + ` WHERE ` + q.locked(which, inOrder), arg
}

const (
	// inOrder waits for locks, in an order that rules out a deadlock. A claim can
	// have locked a job that is not free, since it locks the row before it sees the
	// newest version. It does not wait while it has the lock.
	inOrder = ` ORDER BY id FOR UPDATE`
	// skipping leaves out what is locked.
	skipping = ` FOR UPDATE SKIP LOCKED`
)

// locked is the condition that a job fulfills another one. PostgreSQL locks the
// rows in the given way before it changes one.
func (q *Queue) locked(which, how string) string {
	if q.db.Dialect() == SQLite {
		return which
	}
	return `id = ANY(ARRAY(SELECT id FROM ` + q.table + ` WHERE ` + which + how + `))`
}

// asleep is the condition that a job waits for a time to come. One that has
// failed does so for its own reason.
const asleep = ` AND run_at > (SELECT {now}) AND claimed_until <= (SELECT {now}) AND failures = 0`

// Asleep returns those of the jobs that wait for their time, sorted.
func (q *Queue) Asleep(ctx context.Context, from Querier, jobs []int64) ([]int64, error) {
	which, arg := q.db.IsAnyOf("id", jobs)
	return Collect(ctx, from, scanID, `SELECT id FROM `+q.table+` WHERE `+which+asleep+` ORDER BY id`, arg)
}

func scanID(r Row) (id int64, err error) { return id, r.Scan(&id) }

// Wake makes jobs due that wait for their time, and returns how many.
func (q *Queue) Wake(ctx context.Context, jobs []int64) (int, error) {
	if len(jobs) == 0 {
		return 0, nil
	}
	which, arg := q.db.IsAnyOf("id", jobs)
	n, err := q.db.Exec(ctx, `UPDATE `+q.table+` SET run_at = {now} WHERE `+q.locked(which+asleep, skipping), arg)
	if n > 0 {
		q.Kick()
	}
	return int(n), err
}

// Running is a query for the IDs and refs of claimed jobs. Its arguments are
// [RunningArgs]. Jobs are claimed in the order in which they are due. So the
// claimed ones are among the first, of which the query reads a bounded number.
func Running(table string) string {
	return `SELECT id, ref FROM (SELECT id, ref, claimed_until FROM {schema}` + table + ` WHERE run_at <= (SELECT {now})
		ORDER BY run_at, id LIMIT ?) AS due WHERE claimed_until > (SELECT {now}) LIMIT ?`
}

// RunningArgs are the arguments of [Running] for up to most jobs.
func RunningArgs(most int64) []any { return []any{2 * most, most} }

// Claim is a job that a process may work on until its lease ends.
type Claim struct {
	Job int64
	Ref string
	// Failures is the number of times in a row that its worker has failed.
	Failures int
	// Lost is the number of earlier claims that were not settled. Their processes
	// have died, or their workers have outlasted the lease.
	Lost  int
	until int64
	ends  time.Time // when the lease has certainly ended
}

// claim takes due jobs, those first that have been due for the longest time.
func (q *Queue) claim(ctx context.Context, most int, lease time.Duration) ([]Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ends := time.Now().Add(timemath.Add(storeTimeout, lease))
	const due = ` WHERE run_at <= (SELECT {now}) AND claimed_until <= (SELECT {now}) ORDER BY run_at, id LIMIT ?`
	in := `id = ANY(ARRAY(SELECT id FROM ` + q.table + due + skipping + `))`
	if q.db.Dialect() == SQLite {
		// A statement that may write waits for other writers, also if it finds nothing.
		var found int64
		err := q.db.Reader().QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM `+q.table+due+`)`, int64(1)).Scan(&found)
		if err != nil || found == 0 {
			return nil, err
		}
		in = `id IN (SELECT id FROM ` + q.table + due + `)`
	}
	return Collect(ctx, q.db, func(r Row) (c Claim, err error) {
		var failures, claims int64
		err = r.Scan(&c.Job, &c.Ref, &c.until, &failures, &claims)
		c.Failures, c.Lost, c.ends = int(failures), int(claims-1), ends
		return c, err
	}, `UPDATE `+q.table+` SET claimed_until = (SELECT {now}) + ?, claims = claims + 1 WHERE `+in+` RETURNING id, ref, claimed_until, failures, claims`,
		lease.Microseconds(), int64(most))
}

// Next is what a worker decides about its job.
type Next struct {
	kind nextKind
	wait time.Duration
	err  error
}

type nextKind uint8

const (
	nextDone nextKind = iota
	nextFinished
	nextAfter
	nextFailed
	nextReleased // as if it had not been claimed
)

// Done says that nothing is left to do. The queue deletes the job.
func Done() Next { return Next{} }

// Finished says that FinishTx was committed for the job.
func Finished() Next { return Next{kind: nextFinished} }

// After has the job run again after a time, which is no failure.
func After(d time.Duration) Next { return Next{kind: nextAfter, wait: max(d, 0)} }

// Failed says that the worker could not do its work. The job runs again after a
// random pause. It is up to one second long after the first failure, and up to
// twice as long after each further one in a row, to a limit of 32 seconds.
func Failed(err error) Next { return Next{kind: nextFailed, err: err} }

// Waits reports whether the job runs again, and after which time.
func (n Next) Waits() (d time.Duration, ok bool) { return n.wait, n.kind == nextAfter }

// Err returns the error of [Failed].
func (n Next) Err() error { return n.err }

// settlement is the end of a claim.
type settlement struct {
	claim Claim
	next  Next
}

// pause returns the time until a job runs again.
func (s *settlement) pause() time.Duration {
	if s.next.kind == nextFailed {
		return rand.N(time.Second << min(s.claim.Failures, 5))
	}
	return s.next.wait
}

// settleAll stores what becomes of claimed jobs. A claim that was lost
// meanwhile is left out.
func (q *Queue) settleAll(ctx context.Context, all []settlement) ([]struct{}, error) {
	var gone, back []settlement
	for _, s := range all {
		if s.next.kind == nextDone {
			gone = append(gone, s)
		} else {
			back = append(back, s)
		}
	}
	released, failed := strconv.Itoa(int(nextReleased)), strconv.Itoa(int(nextFailed))
	return make([]struct{}, len(all)), q.db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := q.apply(ctx, tx, gone, `DELETE FROM `+q.table+` AS j`, ` USING v`); err != nil {
			return err
		}
		return q.apply(ctx, tx, back, `UPDATE `+q.table+` AS j SET claimed_until = 0, claims = j.claims - 1,
			run_at = CASE WHEN v.kind = `+released+` THEN j.run_at ELSE {now} + v.wait END,
			failures = CASE WHEN v.kind = `+released+` THEN j.failures WHEN v.kind = `+failed+` THEN j.failures + 1 ELSE 0 END`, ` FROM v`)
	})
}

// apply does something to each job that has its claim in a table v.
func (q *Queue) apply(ctx context.Context, tx *Tx, all []settlement, statement, from string) error {
	if len(all) == 0 {
		return nil
	}
	rows := make([][4]int64, len(all))
	for i, s := range all {
		rows[i] = [4]int64{s.claim.Job, s.claim.until, s.pause().Microseconds(), int64(s.next.kind)}
	}
	if q.db.Dialect() == SQLite {
		list, _ := json.Marshal(rows) // numbers always have a JSON form
		where := ` WHERE j.id = v.id AND j.claimed_until = v.until`
		if from == ` USING v` { // which SQLite does not know
			from, where = ``, ` WHERE (id, claimed_until) IN (SELECT id, until FROM v)`
		}
		_, err := tx.Exec(ctx, `WITH v AS (SELECT value ->> 0 AS id, value ->> 1 AS until, value ->> 2 AS wait, value ->> 3 AS kind FROM json_each(?)) `+
			statement+from+where, string(list))
		return err
	}
	var columns [4][]int64
	for _, row := range rows {
		for i, n := range row {
			columns[i] = append(columns[i], n)
		}
	}
	// The planner does not know how many rows there are. A join alone could read
	// the whole table.
	_, err := tx.Exec(ctx, `WITH v AS MATERIALIZED (SELECT * FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[]) AS v (id, until, wait, kind)) `+
		statement+from+` WHERE j.`+q.locked(`id = ANY(ARRAY(SELECT id FROM v))`, inOrder)+` AND j.id = v.id AND j.claimed_until = v.until`,
		columns[0], columns[1], columns[2], columns[3])
	return err
}
