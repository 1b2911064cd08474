package outbox

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender"
)

// attemptRow is an attempt in the form of the table.
type attemptRow struct {
	outcome, class, errText, addr, requestHeader, responseHeader string
	started, dns, connect, tls, firstByte, total, retryAfter     int64
	status, reused, truncated                                    int64
	body                                                         []byte
}

func newAttemptRow(a *sender.Attempt) attemptRow {
	r := attemptRow{
		outcome: string(a.Outcome), class: string(a.Class), status: int64(a.Status), started: micros(a.Start),
		dns: a.Timings.DNS.Microseconds(), connect: a.Timings.Connect.Microseconds(), tls: a.Timings.TLS.Microseconds(),
		firstByte: a.Timings.FirstByte.Microseconds(), total: a.Timings.Total.Microseconds(),
		retryAfter: a.RetryAfter.Microseconds(), reused: flag(a.Reused), truncated: flag(a.Truncated),
		requestHeader: headerText(a.RequestHeader), responseHeader: headerText(a.ResponseHeader), body: a.Body,
	}
	if a.Addr.IsValid() {
		r.addr = a.Addr.String()
	}
	if a.Err != nil {
		r.errText = clean(a.Err.Error())
	}
	if r.body == nil {
		r.body = []byte{}
	}
	return r
}

// erase removes what may repeat the event, which was erased during the attempt.
func (r *attemptRow) erase() {
	r.errText, r.requestHeader, r.responseHeader, r.body = "", "{}", "{}", []byte{}
}

func (r *attemptRow) size() int64 {
	return int64(len(r.body) + len(r.requestHeader) + len(r.responseHeader) + rowOverhead)
}

// headerText returns a header as JSON, whatever bytes an endpoint put into it.
func headerText(h map[string][]string) string {
	if len(h) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(h) // maps of strings always marshal
	return string(b)
}

func (rec *recorder) saveAttempts(ctx context.Context, tx *jobdb.Tx, results []*result) error {
	if len(results) == 0 {
		return nil
	}
	write := saveOnSQLite
	if rec.db.Dialect() == jobdb.Postgres {
		write = saveOnPostgres
	}
	for _, part := range distinct(results) {
		if err := write(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

// distinct splits results, which are sorted by ID, so that no part has an ID
// twice. One statement can update a row only once.
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
	// A success replaces every state. Any other result counts only while its job
	// is still the delivery's.
	saveSet = `attempts = d.attempts + 1, attempts_size = CASE WHEN v.done_at > 0 THEN 0 ELSE d.attempts_size + v.size END, last_status = v.status, last_class = v.class, last_error = v.error,
		state = CASE WHEN v.state = 'delivered' OR d.state = 'pending' AND d.job = v.job THEN v.state ELSE d.state END,
		step = CASE WHEN d.state = 'pending' AND d.job = v.job THEN d.step + 1 ELSE d.step END,
		run_at = CASE WHEN d.step = 0 AND d.state = 'pending' AND d.job = v.job THEN v.started_at ELSE d.run_at END,
		next_at = CASE WHEN v.state = 'delivered' OR d.state = 'pending' AND d.job = v.job THEN v.next_at ELSE d.next_at END,
		done_at = CASE WHEN v.state = 'delivered' OR d.state = 'pending' AND d.job = v.job THEN v.done_at ELSE d.done_at END,
		size = CASE WHEN v.done_at > 0 THEN d.size + d.attempts_size + v.size ELSE d.size END`
	attemptColumns = `delivery, number, started_at, outcome, class, status, error, dns, connect, tls, first_byte, total, retry_after, addr,
		reused, truncated, request_header, response_header, body`
)

// saved is a delivery after an attempt was stored.
type saved struct {
	id, state                         string
	nextAt, doneAt, attempts, encoded int64
}

const savedColumns = `id, state, next_at, done_at, attempts, encoding`

func scanSaved(r jobdb.Row) (s saved, err error) {
	return s, r.Scan(&s.id, &s.state, &s.nextAt, &s.doneAt, &s.attempts, &s.encoded)
}

// markCounted sets counted. A result that did not count has left its delivery
// with another state or time.
func markCounted(results []*result, all []saved) {
	byID := make(map[string]*saved, len(all))
	for i := range all {
		byID[all[i].id] = &all[i]
	}
	for _, r := range results {
		r.counted, r.left = false, r.state
		if s := byID[r.id]; s != nil {
			r.left = State(s.state)
			r.counted = r.left == r.state && s.nextAt == micros(r.nextAt) && s.doneAt == micros(r.doneAt)
		}
	}
}

// saveOnSQLite stores attempts with two statements, since preparing statements
// takes most of SQLite's time.
func saveOnSQLite(ctx context.Context, tx *jobdb.Tx, results []*result) error {
	const cells = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args := make([]any, 0, 10*len(results))
	rows := make(map[string]attemptRow, len(results))
	for _, r := range results {
		a := newAttemptRow(r.attempt)
		rows[r.id] = a
		args = append(args, r.id, r.job, string(r.state), micros(r.nextAt), micros(r.doneAt), a.size(), a.status, a.class, a.errText, a.started)
	}
	all, err := jobdb.Collect(ctx, tx, scanSaved,
		`WITH v (id, job, state, next_at, done_at, size, status, class, error, started_at) AS (VALUES `+cells+strings.Repeat(`, `+cells, len(results)-1)+`)
		UPDATE {schema}outbox_delivery AS d SET `+saveSet+` FROM v WHERE d.id = v.id RETURNING `+savedColumns, args...)
	markCounted(results, all)
	if err != nil || len(all) == 0 { // deleted meanwhile
		return err
	}
	const attemptCells = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args = make([]any, 0, 19*len(all))
	for _, n := range all {
		a := rows[n.id]
		if encoding(n.encoded) == noBody {
			a.erase()
		}
		args = append(args, n.id, n.attempts, a.started, a.outcome, a.class, a.status, a.errText, a.dns, a.connect, a.tls, a.firstByte, a.total,
			a.retryAfter, a.addr, a.reused, a.truncated, a.requestHeader, a.responseHeader, a.body)
	}
	_, err = tx.Exec(ctx, `INSERT INTO {schema}outbox_attempt (`+attemptColumns+`) VALUES `+
		attemptCells+strings.Repeat(`, `+attemptCells, len(all)-1), args...)
	return err
}

// saveOnPostgres stores attempts with one statement.
func saveOnPostgres(ctx context.Context, tx *jobdb.Tx, results []*result) error {
	all, err := jobdb.Collect(ctx, tx, scanSaved, postgresStatement, columns(results)...)
	markCounted(results, all)
	return err
}

// postgresStatement takes 8 arrays of texts, 14 of numbers and one of bytes. It
// locks the deliveries in the order of their IDs, as all other statements do. A
// join alone would lock them in any order, and could deadlock with those.
var postgresStatement = `WITH v AS MATERIALIZED (SELECT * FROM unnest(` +
	strings.Repeat(`?::text[], `, 8) + strings.Repeat(`?::bigint[], `, 14) + `?::bytea[])
	AS v (id, state, class, error, outcome, addr, request_header, response_header,
		job, next_at, done_at, size, status, started_at, dns, connect, tls, first_byte, total, retry_after, reused, truncated, body)),
	locked AS MATERIALIZED (SELECT id FROM {schema}outbox_delivery WHERE id = ANY(ARRAY(SELECT id FROM v)) ORDER BY id FOR UPDATE),
	u AS (UPDATE {schema}outbox_delivery AS d SET ` + saveSet + ` FROM v WHERE d.id = ANY(ARRAY(SELECT id FROM locked)) AND d.id = v.id
		RETURNING d.id, d.state, d.next_at, d.done_at, d.attempts, d.encoding, d.encoding = 0 AS erased),
	a AS (INSERT INTO {schema}outbox_attempt (` + attemptColumns + `)
	SELECT u.id, u.attempts, v.started_at, v.outcome, v.class, v.status, CASE WHEN u.erased THEN '' ELSE v.error END,
		v.dns, v.connect, v.tls, v.first_byte, v.total, v.retry_after, v.addr, v.reused, v.truncated,
		CASE WHEN u.erased THEN '{}' ELSE v.request_header END, CASE WHEN u.erased THEN '{}' ELSE v.response_header END,
		CASE WHEN u.erased THEN ''::bytea ELSE v.body END FROM u JOIN v ON v.id = u.id)
	SELECT ` + savedColumns + ` FROM u`

// columns returns the arguments of postgresStatement.
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
