package outbox

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/sender"
)

// result is what a worker records about a delivery.
type result struct {
	id         string
	job        int64
	endpoint   string
	deployment string
	version    int64 // of the endpoint's configuration, as the attempt was made
	state      State // Pending: another attempt follows at nextAt
	reason     string
	nextAt     time.Time
	doneAt     time.Time
	blockedBy  string // the older delivery, only in a result without an attempt
	attempt    *sender.Attempt
	// failingSince is when a failed attempt began. The endpoint's row takes it if
	// it is the first failure after a success.
	failingSince time.Time
	// The recorder sets these. left is the state of the delivery after an attempt
	// was recorded. A success is recovered if it has made a failing endpoint
	// active.
	counted, recovered bool
	left               State
	// outage is the run of failures that a success has ended. It is nil unless
	// something was said about it.
	outage *outage
}

// outage is a run of failures that has ended.
type outage struct {
	since      time.Time
	firstError string
}

// recorder stores results in batches.
type recorder struct {
	db       *jobdb.DB
	queue    *jobdb.Queue
	waker    *waker
	ordering *ordering
	batches  *sqldb.Combiner[*result, bool]
}

func newRecorder(db *jobdb.DB, q *jobdb.Queue, w *waker, o *ordering, faults *contain.Faults) *recorder {
	rec := &recorder{db: db, queue: q, waker: w, ordering: o}
	rec.batches = newBatcher(faults, inRecording, rec.save)
	return rec
}

// record stores a result together with those of other workers. It reports
// whether the result counted, see save.
func (rec *recorder) record(ctx context.Context, r *result) (counted bool, err error) {
	return rec.batches.Do(ctx, r)
}

// save stores results in one transaction, so that all workers that have just
// finished share one commit.
//
// A result counts only if its job still belongs to the delivery. A job does not
// if a replay or a rescue gave the delivery another job. Its failure then
// changes nothing. A success always counts, since the endpoint has the
// delivery. An attempt is always recorded, unless the delivery was deleted.
// save says for each result whether it counted.
func (rec *recorder) save(ctx context.Context, results []*result) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	// Processes that write the same rows in the same order wait for each other and
	// do not deadlock.
	sorted := slices.SortedFunc(slices.Values(results), func(a, b *result) int { return cmp.Compare(a.id, b.id) })
	var blocked, endings, attempts []*result
	for _, r := range sorted {
		switch {
		case r.attempt != nil:
			attempts = append(attempts, r)
		case r.blockedBy != "":
			blocked = append(blocked, r)
		default:
			endings = append(endings, r)
		}
	}
	if err := rec.ordering.block(ctx, blocked); err != nil {
		return nil, wrap("recording blocked deliveries", err)
	}
	var recovered bool
	err := rec.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
		if err := rec.saveResults(ctx, tx, endings, attempts); err != nil {
			return err
		}
		recovered, err = rec.saveHealth(ctx, tx, attempts)
		return err
	})
	if err != nil {
		return nil, wrap("recording attempts", err)
	}
	if recovered {
		rec.waker.notice()
	}
	counted := make([]bool, len(results))
	for i, r := range results {
		counted[i] = r.counted
	}
	return counted, nil
}

// saveResults stores results, and makes deliveries due that waited for those
// which have ended.
func (rec *recorder) saveResults(ctx context.Context, tx *jobdb.Tx, endings, attempts []*result) error {
	if err := rec.ordering.lockEnding(ctx, tx, endings, attempts); err != nil {
		return err
	}
	if err := saveEndings(ctx, tx, endings); err != nil {
		return err
	}
	if err := rec.saveAttempts(ctx, tx, attempts); err != nil {
		return err
	}
	if err := rec.queue.FinishTx(ctx, tx, finalJobs(endings, attempts)); err != nil {
		return err
	}
	return rec.ordering.unblock(ctx, tx, ended(slices.Concat(endings, attempts)))
}

// finalJobs returns the jobs that have nothing left to do. An ending that did
// not count is tried again by its job.
func finalJobs(endings, attempts []*result) (jobs []int64) {
	for _, r := range endings {
		if r.counted {
			jobs = append(jobs, r.job)
		}
	}
	for _, r := range attempts {
		if r.state != Pending {
			jobs = append(jobs, r.job)
		}
	}
	return jobs
}

// saveEndings stores that deliveries were canceled or superseded. A caller may
// have enabled the endpoint since the worker read it. WithMissed counts on its
// pending deliveries, so they are not canceled then.
func saveEndings(ctx context.Context, tx *jobdb.Tx, results []*result) error {
	const unlessEnabled = ` AND NOT EXISTS (SELECT 1 FROM {schema}outbox_endpoint WHERE id = ? AND state <> ?)`
	for _, r := range results {
		condition, args := ``, []any{string(r.state), micros(r.nextAt), micros(r.doneAt), r.reason, r.id, string(Pending), r.job}
		if r.state == Canceled {
			condition, args = unlessEnabled, append(args, r.endpoint, string(EndpointDisabled))
		}
		n, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = ?, next_at = ?, done_at = ?, last_error = ?
			WHERE id = ? AND state = ? AND job = ?`+condition, args...)
		if err != nil {
			return err
		}
		r.counted = n > 0
	}
	return nil
}

// saveHealth records, for each endpoint, the first failure after a success and
// the first success after a failure. It ignores attempts with an endpoint's old
// configuration. It reports whether an open breaker is closed now.
func (rec *recorder) saveHealth(ctx context.Context, tx *jobdb.Tx, results []*result) (recovered bool, err error) {
	successes, failures := healthOf(results)
	if len(successes)+len(failures) == 0 {
		return false, nil
	}
	changing, err := rec.lockChanging(ctx, tx, successes, failures)
	if err != nil || len(changing) == 0 {
		return false, err
	}
	if recovered, err = saveSuccesses(ctx, tx, successes, changing); err != nil {
		return false, err
	}
	return recovered, saveFailures(ctx, tx, failures, changing)
}

// healthOf returns the last success with each configuration, and the first
// failed attempt after it.
func healthOf(results []*result) (successes map[configuration]*result, failures map[configuration]*result) {
	successes, failures = map[configuration]*result{}, map[configuration]*result{}
	for _, r := range results {
		r.recovered, r.outage = false, nil // it may be the second try
		if r.state == Delivered && r.endpoint != "" {
			if last := successes[r.configuration()]; last == nil || last.doneAt.Before(r.doneAt) {
				successes[r.configuration()] = r
			}
		}
	}
	for _, r := range results {
		c := r.configuration()
		if r.failingSince.IsZero() || successes[c] != nil && !r.failingSince.After(successes[c].doneAt) {
			continue
		}
		if first, ok := failures[c]; !ok || r.failingSince.Before(first.failingSince) {
			failures[c] = r
		}
	}
	return successes, failures
}

// configuration is an endpoint in one version.
type configuration struct {
	endpoint string
	version  int64
}

func (r *result) configuration() configuration { return configuration{r.endpoint, r.version} }

// unhealthy is the condition of an endpoint that a success changes.
const unhealthy = `(failing_since <> 0 OR breaker_open_until <> 0 OR state = 'failing')`

// changing is an endpoint whose health may change.
type changing struct {
	configuration
	state     string
	openUntil int64
	outage    *outage
}

// lockChanging reads the endpoints whose health the results may change, and
// locks them in the order of their IDs, so that processes do not deadlock. One
// statement asks for the whole batch and usually finds nothing. The loaded
// endpoint is no answer, since another delivery may have failed or succeeded
// since, perhaps in another process.
func (rec *recorder) lockChanging(ctx context.Context, tx *jobdb.Tx, successes map[configuration]*result, failures map[configuration]*result) ([]changing, error) {
	var succeeded, failed []string
	for c := range successes {
		succeeded = append(succeeded, c.endpoint)
	}
	for c := range failures {
		failed = append(failed, c.endpoint)
	}
	lock := ` FOR UPDATE`
	if rec.db.Dialect() == jobdb.SQLite {
		lock = ``
	}
	in, inSucceeded := anyOf(rec.db, succeeded)
	_, inFailed := anyOf(rec.db, failed)
	return jobdb.Collect(ctx, tx, func(r jobdb.Row) (e changing, err error) {
		var since, noticedSince int64
		var firstError string
		err = r.Scan(&e.endpoint, &e.version, &e.state, &e.openUntil, &since, &noticedSince, &firstError)
		if since != 0 && (since == noticedSince || e.state == string(EndpointFailing)) {
			e.outage = &outage{fromMicros(since), firstError}
		}
		return e, err
	}, `SELECT id, version, state, breaker_open_until, failing_since, noticed_since, first_error FROM {schema}outbox_endpoint
		WHERE id `+in+` AND `+unhealthy+` OR id `+in+` AND failing_since = 0 ORDER BY id`+lock, inSucceeded, inFailed)
}

// saveSuccesses makes endpoints active that have accepted a delivery, unless a
// failure began later. If the success came before the end of the breaker's
// pause, waiting deliveries are woken up.
func saveSuccesses(ctx context.Context, tx *jobdb.Tx, successes map[configuration]*result, all []changing) (recovered bool, err error) {
	for _, e := range all {
		success := successes[e.configuration]
		if success == nil {
			continue
		}
		n, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET failing_since = 0, breaker_open_until = 0,
			wake = CASE WHEN breaker_open_until > ? THEN wake + 1 ELSE wake END,
			reason = CASE WHEN state = 'failing' THEN '' ELSE reason END, state = CASE WHEN state = 'failing' THEN 'active' ELSE state END
			WHERE id = ? AND version = ? AND failing_since <= ? AND `+unhealthy, micros(success.doneAt), e.endpoint, e.version, micros(success.doneAt))
		if err != nil {
			return false, err
		}
		success.recovered = n > 0 && e.state == string(EndpointFailing)
		if n > 0 {
			success.outage = e.outage
		}
		recovered = recovered || n > 0 && fromMicros(e.openUntil).After(success.doneAt)
	}
	return recovered, nil
}

// saveFailures records the first failure after the last success.
func saveFailures(ctx context.Context, tx *jobdb.Tx, failures map[configuration]*result, all []changing) error {
	for _, e := range all {
		first, ok := failures[e.configuration]
		if !ok {
			continue
		}
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET failing_since = ?, first_error = ?
			WHERE id = ? AND version = ? AND failing_since = 0`,
			micros(first.failingSince), newAttemptRow(first.attempt).errText, e.endpoint, e.version)
		if err != nil {
			return err
		}
	}
	return nil
}
