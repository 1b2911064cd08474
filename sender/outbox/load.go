package outbox

import (
	"context"
	"encoding/json"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// batchTimeout bounds one batch of reads or writes.
const batchTimeout = 15 * time.Second

// loaded is a delivery with what has to be known of its endpoint before an attempt.
type loaded struct {
	found bool
	id    string
	app   string
	typ   payload.Type
	state State
	job   int64

	attempts, step int
	nextAt, slotAt time.Time
	stale          bool // superseded since it was published, and nobody wants it all the same (Replay)
	message        sender.Message

	endpoint      string
	version       int64 // 0 if the endpoint is gone
	endpointState EndpointState
	failingSince  time.Time
	holdUntil     time.Time
	concurrency   int
	spacing       time.Duration
}

const loadQuery = `SELECT d.id, d.app, d.type, d.state, d.job, d.attempts, d.step, d.next_at, d.slot_at, d.content_type, d.body, d.endpoint,
	COALESCE(e.version, 0), COALESCE(e.state, ''), COALESCE(e.failing_since, 0), COALESCE(e.hold_until, 0),
	COALESCE(e.concurrency, 0), COALESCE(e.spacing, 0), `

const (
	neverStale = `0`
	maybeStale = `CASE WHEN d.replays = 0 AND d.type IN ('deploy.started', 'build.completed', 'health_check.passed') AND EXISTS (
		SELECT 1 FROM {schema}outbox_delivery t WHERE t.deployment = d.deployment AND t.endpoint = d.endpoint
		AND t.terminal = 1 AND t.event_at >= d.event_at) THEN 1 ELSE 0 END`
	loadFrom = ` FROM {schema}outbox_delivery d LEFT JOIN {schema}outbox_endpoint e ON e.id = d.endpoint WHERE d.id `
)

// load reads deliveries by their IDs.
func (o *Outbox) load(ctx context.Context, ids []string) ([]loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	statement := loadQuery
	if o.supersede {
		statement += maybeStale
	} else {
		statement += neverStale
	}
	all, err := riverdb.Collect(ctx, o.db, scanLoaded, statement+loadFrom+o.in(), o.ids(ids))
	if err != nil {
		return nil, wrap("reading deliveries", err)
	}
	byID := make(map[string]loaded, len(all))
	for _, d := range all {
		byID[d.id] = d
	}
	out := make([]loaded, len(ids))
	for i, id := range ids {
		out[i] = byID[id] // found is false where there is none
	}
	return out, nil
}

func scanLoaded(r riverdb.Row) (loaded, error) {
	var (
		d                                                             = loaded{found: true}
		state, typ, contentType, endpointState                        string
		attempts, step, next, slot, failing, hold, concurrency, space int64
		stale                                                         int64
	)
	err := r.Scan(&d.id, &d.app, &typ, &state, &d.job, &attempts, &step, &next, &slot, &contentType, &d.message.Body, &d.endpoint,
		&d.version, &endpointState, &failing, &hold, &concurrency, &space, &stale)
	d.typ, d.state, d.endpointState = payload.Type(typ), State(state), EndpointState(endpointState)
	d.attempts, d.step, d.concurrency = int(attempts), int(step), int(concurrency)
	d.nextAt, d.slotAt, d.failingSince, d.holdUntil = fromMicros(next), fromMicros(slot), fromMicros(failing), fromMicros(hold)
	d.spacing, d.stale = time.Duration(space)*time.Microsecond, stale != 0
	d.message.ID, d.message.Type, d.message.ContentType = d.id, d.typ, contentType
	return d, err
}

// result is what a worker has to write about a delivery.
type result struct {
	id       string
	job      int64
	endpoint string
	version  int64 // of the endpoint's configuration, as the attempt was made
	state    State // Pending: another attempt follows at nextAt
	reason   string
	nextAt   time.Time
	doneAt   time.Time
	slotAt   time.Time // only for a result without an attempt: a place in the endpoint's rate
	attempt  *sender.Attempt
	// failingSince is when a failed attempt began; the endpoint's row takes it if it is the first after a success.
	failingSince time.Time
	recovered    bool // set by save: this success has made a failing endpoint active again
	written      bool // set by save: the turn is on record
}

type saved struct{}

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

func (r *attemptRow) size() int64 {
	return int64(len(r.body) + len(r.requestHeader) + len(r.responseHeader) + rowOverhead)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// headerText is a header as JSON, whatever bytes an endpoint put into it.
func headerText(h map[string][]string) string {
	if len(h) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(h) // maps of strings always marshal
	return string(b)
}
