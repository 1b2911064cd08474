package outbox

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// save writes results in one transaction: one commit for all workers that have just finished.
//
// A result counts only while its job is the delivery's own, so that a job that was overtaken (by a replay, or because its
// process was taken for dead) doesn't undo what happened since. A success counts whatever happened: the endpoint has it.
// An attempt is recorded in any case.
func (o *Outbox) save(ctx context.Context, results []*result) ([]saved, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	// In one order, so that processes that write about the same rows wait for each other instead of locking each other out.
	sorted := slices.Clone(results)
	slices.SortFunc(sorted, func(a, b *result) int { return cmp.Compare(a.id, b.id) })
	if err := o.saveTurns(ctx, sorted); err != nil {
		return nil, wrap("recording turns", err)
	}
	var held []string
	err := o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) (err error) {
		var plain, attempts []*result
		for _, r := range sorted {
			switch {
			case r.attempt != nil:
				attempts = append(attempts, r)
			case r.slotAt.IsZero():
				plain = append(plain, r)
			}
		}
		if err := o.savePlain(ctx, tx, plain); err != nil {
			return err
		}
		if err := o.saveAttempts(ctx, tx, attempts); err != nil {
			return err
		}
		held, err = o.saveHealth(ctx, tx, attempts)
		return err
	})
	if err != nil {
		return nil, wrap("recording attempts", err)
	}
	for _, endpoint := range held {
		o.pullForward(ctx, endpoint, wereHeld)
	}
	return make([]saved, len(results)), nil
}

// saveTurns writes the places that deliveries have in their endpoint's rate, unless the endpoint has been changed since: perhaps
// its rate was, and who did that has no knowledge of a turn that is not on record yet. The lock makes them wait for one that is
// about to be. It is in a transaction of its own, so that nothing else is held meanwhile.
func (o *Outbox) saveTurns(ctx context.Context, sorted []*result) error {
	var turns []*result
	for _, r := range sorted {
		if r.attempt == nil && !r.slotAt.IsZero() {
			turns = append(turns, r)
		}
	}
	if len(turns) == 0 {
		return nil
	}
	lock := ` FOR SHARE`
	if o.db.Dialect() == riverdb.SQLite { // which has one writer at a time
		lock = ``
	}
	return o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		for _, r := range turns {
			n, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery AS d SET next_at = ?, slot_at = ?
				FROM (SELECT id FROM {schema}outbox_endpoint WHERE id = ? AND version = ?`+lock+`) AS e
				WHERE d.id = ? AND d.state = ? AND d.job = ?`,
				micros(r.nextAt), micros(r.slotAt), r.endpoint, r.version, r.id, string(Pending), r.job)
			if err != nil {
				return err
			}
			r.written = n > 0
		}
		return nil
	})
}

// savePlain writes what came without an attempt: canceled or superseded.
func (o *Outbox) savePlain(ctx context.Context, tx *riverdb.Tx, results []*result) error {
	for _, r := range results {
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = ?, next_at = ?, done_at = ?, slot_at = 0, last_error = ?
			WHERE id = ? AND state = ? AND job = ?`,
			string(r.state), micros(r.nextAt), micros(r.doneAt), r.reason, r.id, string(Pending), r.job)
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) saveAttempts(ctx context.Context, tx *riverdb.Tx, results []*result) error {
	if len(results) == 0 {
		return nil
	}
	write := saveLite
	if o.db.Dialect() == riverdb.Postgres {
		write = saveMany
	}
	for _, part := range distinct(results) {
		if err := write(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

// distinct splits results, sorted by ID, so that no part has an ID twice: one statement can update a row only once.
func distinct(results []*result) [][]*result {
	parts := [][]*result{nil}
	nth := 0
	for i, r := range results {
		if nth++; i == 0 || results[i-1].id != r.id {
			nth = 0
		}
		if nth == len(parts) {
			parts = append(parts, nil)
		}
		parts[nth] = append(parts[nth], r)
	}
	return parts
}

const (
	// A delivered result is written over every state but Delivered; any other only where the job is still the delivery's.
	saveSet = `attempts = d.attempts + 1, size = d.size + v.size, last_status = v.status, last_class = v.class, last_error = v.error,
		state = CASE WHEN v.state = 'delivered' OR d.state = 'pending' AND d.job = v.job THEN v.state ELSE d.state END,
		step = CASE WHEN d.state = 'pending' AND d.job = v.job THEN d.step + 1 ELSE d.step END,
		next_at = CASE WHEN v.state = 'delivered' OR d.state = 'pending' AND d.job = v.job THEN v.next_at ELSE d.next_at END,
		done_at = CASE WHEN v.state = 'delivered' OR d.state = 'pending' AND d.job = v.job THEN v.done_at ELSE d.done_at END,
		slot_at = 0`
	attemptColumns = `delivery, number, started_at, outcome, class, status, error, dns, connect, tls, first_byte, total, retry_after, addr,
		reused, truncated, request_header, response_header, body`
)

// saveLite is for SQLite: two statements for all, since preparing statements is what takes most of its time.
func saveLite(ctx context.Context, tx *riverdb.Tx, results []*result) error {
	const cells = `(?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args := make([]any, 0, 9*len(results))
	rows := make(map[string]attemptRow, len(results))
	for _, r := range results {
		a := newAttemptRow(r.attempt)
		rows[r.id] = a
		args = append(args, r.id, r.job, string(r.state), micros(r.nextAt), micros(r.doneAt), a.size(), a.status, a.class, a.errText)
	}
	type numbered struct {
		id     string
		number int64
	}
	all, err := riverdb.Collect(ctx, tx, func(r riverdb.Row) (n numbered, err error) { return n, r.Scan(&n.id, &n.number) },
		`WITH v (id, job, state, next_at, done_at, size, status, class, error) AS (VALUES `+cells+strings.Repeat(`, `+cells, len(results)-1)+`)
		UPDATE {schema}outbox_delivery AS d SET `+saveSet+` FROM v WHERE d.id = v.id RETURNING id, attempts`, args...)
	if err != nil || len(all) == 0 { // deleted meanwhile
		return err
	}
	const attemptCells = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args = make([]any, 0, 19*len(all))
	for _, n := range all {
		a := rows[n.id]
		args = append(args, n.id, n.number, a.started, a.outcome, a.class, a.status, a.errText, a.dns, a.connect, a.tls, a.firstByte, a.total,
			a.retryAfter, a.addr, a.reused, a.truncated, a.requestHeader, a.responseHeader, a.body)
	}
	_, err = tx.Exec(ctx, `INSERT INTO {schema}outbox_attempt (`+attemptColumns+`) VALUES `+
		attemptCells+strings.Repeat(`, `+attemptCells, len(all)-1), args...)
	return err
}

// saveMany is for PostgreSQL: one statement for all.
func saveMany(ctx context.Context, tx *riverdb.Tx, results []*result) error {
	_, err := tx.Exec(ctx, saveManyStatement, columns(results)...)
	return err
}

// saveManyStatement takes 8 arrays of texts, 14 of numbers and one of bytes.
var saveManyStatement = `WITH v AS MATERIALIZED (SELECT * FROM unnest(` +
	strings.Repeat(`?::text[], `, 8) + strings.Repeat(`?::bigint[], `, 14) + `?::bytea[])
	AS v (id, state, class, error, outcome, addr, request_header, response_header,
		job, next_at, done_at, size, status, started_at, dns, connect, tls, first_byte, total, retry_after, reused, truncated, body)),
	u AS (UPDATE {schema}outbox_delivery AS d SET ` + saveSet + ` FROM v WHERE d.id = v.id RETURNING d.id, d.attempts)
	INSERT INTO {schema}outbox_attempt (` + attemptColumns + `)
	SELECT u.id, u.attempts, v.started_at, v.outcome, v.class, v.status, v.error, v.dns, v.connect, v.tls, v.first_byte, v.total,
		v.retry_after, v.addr, v.reused, v.truncated, v.request_header, v.response_header, v.body FROM u JOIN v ON v.id = u.id`

// columns turns results into the arguments of saveManyStatement.
func columns(results []*result) []any {
	var (
		texts  [8][]string
		nums   [14][]int64
		bodies [][]byte
	)
	for _, r := range results {
		a := newAttemptRow(r.attempt)
		for i, s := range [...]string{r.id, string(r.state), a.class, a.errText, a.outcome, a.addr, a.requestHeader, a.responseHeader} {
			texts[i] = append(texts[i], s)
		}
		for i, n := range [...]int64{
			r.job, micros(r.nextAt), micros(r.doneAt), a.size(), a.status, a.started,
			a.dns, a.connect, a.tls, a.firstByte, a.total, a.retryAfter, a.reused, a.truncated,
		} {
			nums[i] = append(nums[i], n)
		}
		bodies = append(bodies, a.body)
	}
	var args []any
	for _, t := range texts {
		args = append(args, t)
	}
	for _, n := range nums {
		args = append(args, n)
	}
	return append(args, bodies)
}

// saveHealth notes, for each endpoint, the first failure after a success and the first success after a failure. Nothing is noted
// about an endpoint that someone has changed since the attempt began. It returns the endpoints that were to be left alone for
// longer, and whose deliveries can now be made.
func (o *Outbox) saveHealth(ctx context.Context, tx *riverdb.Tx, results []*result) (held []string, err error) {
	ups := map[seenAs]*result{} // the last success
	var ids []string
	for _, r := range results {
		r.recovered = false // it may be the second try
		if r.state == Delivered && r.endpoint != "" {
			if last := ups[r.seen()]; last == nil || last.doneAt.Before(r.doneAt) {
				ups[r.seen()] = r
			}
			ids = append(ids, r.endpoint)
		}
	}
	if len(ids) > 0 {
		if held, err = o.saveSuccess(ctx, tx, ups, ids); err != nil {
			return nil, err
		}
	}
	downs := map[seenAs]time.Time{} // the first failure after it
	for _, r := range results {
		if r.failingSince.IsZero() || ups[r.seen()] != nil && !r.failingSince.After(ups[r.seen()].doneAt) {
			continue
		}
		if first, ok := downs[r.seen()]; !ok || r.failingSince.Before(first) {
			downs[r.seen()] = r.failingSince
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(downs), seenAs.compare) {
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET failing_since = ? WHERE id = ? AND version = ? AND failing_since = 0`,
			micros(downs[k]), k.endpoint, k.version)
		if err != nil {
			return nil, err
		}
	}
	return held, nil
}

// seenAs is an endpoint in one of its configurations.
type seenAs struct {
	endpoint string
	version  int64
}

func (r *result) seen() seenAs { return seenAs{r.endpoint, r.version} }

func (k seenAs) compare(other seenAs) int {
	return cmp.Or(cmp.Compare(k.endpoint, other.endpoint), cmp.Compare(k.version, other.version))
}

// saveSuccess makes endpoints active again that have accepted a delivery, unless a failure began later. What a delivery was loaded
// with does not say whether there is something to do, since another one may have failed meanwhile, perhaps in another process; so
// one statement asks for the whole batch, and mostly finds nothing.
func (o *Outbox) saveSuccess(ctx context.Context, tx *riverdb.Tx, ups map[seenAs]*result, ids []string) (held []string, err error) {
	const ailing = `(failing_since <> 0 OR hold_until <> 0 OR state = 'failing')`
	type endpoint struct {
		seenAs
		state string
		hold  int64
	}
	all, err := riverdb.Collect(ctx, tx, func(r riverdb.Row) (e endpoint, err error) {
		return e, r.Scan(&e.endpoint, &e.version, &e.state, &e.hold)
	}, `SELECT id, version, state, hold_until FROM {schema}outbox_endpoint WHERE `+ailing+` AND id `+o.in()+` ORDER BY id`, o.ids(ids))
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		up := ups[e.seenAs]
		if up == nil {
			continue
		}
		n, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET failing_since = 0, hold_until = 0,
			reason = CASE WHEN state = 'failing' THEN '' ELSE reason END, state = CASE WHEN state = 'failing' THEN 'active' ELSE state END
			WHERE id = ? AND version = ? AND failing_since <= ? AND `+ailing, e.endpoint, e.version, micros(up.doneAt))
		if err != nil {
			return nil, err
		}
		up.recovered = n > 0 && e.state == string(EndpointFailing)
		if n > 0 && fromMicros(e.hold).After(up.doneAt) {
			held = append(held, e.endpoint)
		}
	}
	return held, nil
}
