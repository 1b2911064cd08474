package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// loaded is a delivery with what an attempt needs to know of its endpoint.
type loaded struct {
	found bool
	id    string
	app   string
	typ   payload.Type
	state State
	job   int64

	attempts, step int
	nextAt         time.Time
	runAt          time.Time // when the first of step attempts began
	stale          bool      // superseded since it was published, and not replayed
	older          string    // the delivery that blocks it
	deployment     string
	replay         string // the ID of the replay that scheduled it
	message        sender.Message

	endpoint         string
	endpointApp      string // differs from app only if an attacker changed it by SQL
	scheme           Scheme
	version          int64 // 0 if the endpoint was deleted
	endpointState    EndpointState
	failingSince     time.Time
	noticed          int64 // last announced stage of this failure
	breakerOpenUntil time.Time
	concurrency      int
	interval         time.Duration // between attempts, from RateLimit
}

const (
	loadColumns = `d.id, d.app, d.type, d.state, d.job, d.attempts, d.step, d.next_at, d.run_at, d.content_type, d.encoding, b.body, COALESCE(b.trace, ''), d.endpoint,
	COALESCE(e.version, 0), COALESCE(e.state, ''), COALESCE(e.failing_since, 0), COALESCE(e.breaker_open_until, 0),
	COALESCE(CASE WHEN e.noticed_since = e.failing_since THEN e.noticed ELSE 0 END, 0),
	COALESCE(e.concurrency, 0), COALESCE(e.spacing, 0), COALESCE(e.app, ''), COALESCE(e.scheme, ''), d.deployment, d.replay, `
	inAnyOrder = `'', `
	neverStale = `0`
	maybeStale = `CASE WHEN d.replays = 0 AND d.type IN ('deploy.started', 'build.completed', 'health_check.passed') AND (
		SELECT 1 FROM {schema}outbox_delivery t WHERE t.endpoint = d.endpoint AND t.deployment = d.deployment
		AND t.terminal = 1 AND t.event_at >= d.event_at LIMIT 1) = 1 THEN 1 ELSE 0 END`
	loadFrom = ` FROM {schema}outbox_delivery d LEFT JOIN {schema}outbox_endpoint e ON e.id = d.endpoint` + joinBody + ` WHERE d.id `
)

// loader reads deliveries in batches.
type loader struct {
	db      *jobdb.DB
	query   string
	batches *sqldb.Combiner[string, loaded]
}

func newLoader(db *jobdb.DB, supersede, ordered bool, faults *contain.Faults) *loader {
	older, stale := inAnyOrder, neverStale
	if ordered {
		older = olderPending + `, `
	}
	if supersede {
		stale = maybeStale
	}
	l := &loader{db: db, query: `SELECT ` + loadColumns + older + stale + loadFrom}
	l.batches = newBatcher(faults, inLoading, l.loadBatch)
	return l
}

// load reads a delivery together with those of other workers. found is
// false for an unknown ID.
func (l *loader) load(ctx context.Context, id string) (loaded, error) { return l.batches.Do(ctx, id) }

func (l *loader) loadBatch(ctx context.Context, ids []string) ([]loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	in, list := anyOf(l.db, ids)
	all, err := jobdb.Collect(ctx, l.db, scanLoaded, l.query+in, list)
	if err != nil {
		return nil, wrap("reading deliveries", err)
	}
	byID := make(map[string]loaded, len(all))
	for _, d := range all {
		byID[d.id] = d
	}
	out := make([]loaded, len(ids))
	for i, id := range ids {
		out[i] = byID[id]
	}
	return out, nil
}

func scanLoaded(r jobdb.Row) (loaded, error) {
	var (
		d                                                             = loaded{found: true}
		state, typ, contentType, endpointState, scheme                string
		attempts, step, next, failing, openTill, concurrency, spacing int64
		stale, encoded, run                                           int64
		stored                                                        []byte
	)
	err := r.Scan(&d.id, &d.app, &typ, &state, &d.job, &attempts, &step, &next, &run, &contentType, &encoded, &stored, &d.message.Trace, &d.endpoint,
		&d.version, &endpointState, &failing, &openTill, &d.noticed, &concurrency, &spacing,
		&d.endpointApp, &scheme, &d.deployment, &d.replay, &d.older, &stale)
	d.typ, d.state, d.endpointState = payload.Type(typ), State(state), EndpointState(endpointState)
	d.scheme = Scheme(scheme)
	d.attempts, d.step, d.concurrency = int(attempts), int(step), int(concurrency)
	d.nextAt, d.failingSince, d.breakerOpenUntil = fromMicros(next), fromMicros(failing), fromMicros(openTill)
	d.runAt = fromMicros(run)
	d.interval, d.stale = time.Duration(spacing)*time.Microsecond, stale != 0
	d.message.ID, d.message.Type, d.message.ContentType, d.message.Earlier = d.id, d.typ, contentType, d.attempts
	d.message.Body = encoding(encoded).body(d.id, stored)
	return d, err
}

// maxTargets bounds the unsealed endpoints in memory.
const maxTargets = 10_000

// target is an unsealed endpoint that deliveries can be sent to.
type target struct {
	version  int64
	bound    binding
	to       sender.Endpoint
	until    time.Time // when the use of a key ends; zero if none ends
	schedule sender.Schedule
}

// targets unseals endpoints and caches them by their version. Every delivery is
// read together with the current version, so the cache is never stale. App and
// scheme must also be those that were unsealed. If an attacker has changed them
// by SQL, the endpoint is unsealed again, which fails.
type targets struct {
	endpoints *endpointStore
	rules     *rules
	logger    *slog.Logger

	mu   sync.Mutex
	byID map[string]target
}

// get returns the target of a delivery.
func (t *targets) get(ctx context.Context, d *loaded, now time.Time) (target, error) {
	if e, ok := t.cached(d, now); ok {
		return e, nil
	}
	row, err := t.endpoints.readUnsealed(ctx, t.endpoints.db, d.endpoint)
	if err != nil {
		return target{}, err
	}
	if row.App != d.app {
		return target{}, fmt.Errorf("%w: endpoint %s belongs to another app than the delivery", ErrUnseal, row.ID)
	}
	to, until, err := t.rules.target(row, now)
	if err != nil {
		return target{}, err
	}
	schedule, ok := t.rules.schedules[row.Schedule]
	if !ok {
		t.logger.WarnContext(ctx, "outbox: the endpoint's schedule is not registered; using platform",
			slog.String("endpoint", d.endpoint), slog.String("schedule", row.Schedule))
		schedule = sender.Platform
	}
	e := target{version: row.Version, bound: row.binding(), to: to, until: until, schedule: schedule}
	t.put(d.endpoint, e)
	return e, nil
}

func (t *targets) cached(d *loaded, now time.Time) (target, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.byID[d.endpoint]
	if !ok || e.version != d.version || e.bound != (binding{d.endpoint, d.endpointApp, d.scheme}) || e.bound.app != d.app || !e.until.IsZero() && now.After(e.until) {
		return target{}, false
	}
	return e, true
}

func (t *targets) put(id string, e target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) >= maxTargets {
		clear(t.byID)
	}
	t.byID[id] = e
}
