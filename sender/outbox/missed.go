package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// Missed counts the events since a time that an endpoint accepts and did not
// get. The endpoint was disabled, did not exist, or had another filter. Events
// whose delivery was canceled count as well, and erased events do not. Missed
// examines at most 1,000 events, the oldest first. If there are others,
// Count.More is set. Events whose transaction is still open are not counted.
// [App.SendMissed] sends what is counted.
func (a *App) Missed(ctx context.Context, endpoint string, since time.Time) (Count, error) {
	if err := a.open(); err != nil {
		return Count{}, err
	}
	e, _, err := a.o.endpoints.find(ctx, a.o.db.Reader(), a.of(endpoint))
	if err != nil {
		return Count{}, err
	}
	c, err := countMissed(ctx, a.o.db.Dialect(), a.o.db.Reader(), e, micros(since))
	return c, wrap("counting missed events", err)
}

// countMissed groups by type, so that the filter is applied to few rows.
func countMissed(ctx context.Context, d jobdb.Dialect, q jobdb.Querier, e *endpointRow, since int64) (c Count, err error) {
	type group struct {
		typ            string
		events, missed int64
	}
	groups, err := jobdb.Collect(ctx, q, func(r jobdb.Row) (g group, err error) { return g, r.Scan(&g.typ, &g.events, &g.missed) },
		`SELECT e.type, count(*), SUM(CASE WHEN `+isMissed+` THEN 1 ELSE 0 END) FROM (
			SELECT app, id, type, deployment, erased_at FROM {schema}outbox_event WHERE `+fromPlace(d, `created_at`, `>=`)+`
			ORDER BY app, created_at LIMIT ?) e WHERE e.app = ? GROUP BY e.type`,
		e.ID, e.ID, e.App, since, int64(maxExamined+1), e.App)
	examined := 0
	for _, g := range groups {
		examined += int(g.events)
		if e.accepts(g.typ) {
			c.N += int(g.missed)
		}
	}
	c.More = examined > maxExamined
	return c, err
}

// isMissed is a condition on an event e. An endpoint does not miss the
// announcement of its own end. Its two arguments are the endpoint.
const isMissed = `COALESCE((SELECT d.state ` + ofEvent + `), 'canceled') = 'canceled' AND e.erased_at = 0
	AND NOT (e.type = '` + string(EventEndpointDisabled) + `' AND e.deployment = ?)`

// ofEvent finds the delivery of an event e to an endpoint. It is for a
// subselect, since PostgreSQL might read the whole table for a join.
const ofEvent = `FROM {schema}outbox_delivery d WHERE d.app = e.app AND d.event = e.id AND d.endpoint = ?`

func (e *endpointRow) accepts(typ string) bool {
	return sender.Endpoint{Events: e.Events}.Accepts(payload.Type(typ))
}

// SendMissed sends an endpoint the events that [App.Missed] counts, oldest
// first, each at most once. They are spaced ([WithReplayRate]), and it returns
// when each has a time. It is a replay. [App.ReplayStatus] reports its
// progress, and [App.ResumeReplay] continues it after a crash. Its Skipped
// counts the events that the endpoint's format does not express.
//
// A disabled endpoint is an error ([ErrEndpointDisabled]). Events that are
// published after the call has begun are not its business.
func (a *App) SendMissed(ctx context.Context, endpoint string, since time.Time, opts ...ReplayOption) (ReplayStatus, error) {
	if err := a.open(); err != nil {
		return ReplayStatus{}, err
	}
	c, err := newReplayConfig(opts)
	if err != nil {
		return ReplayStatus{}, err
	}
	e, _, err := a.o.endpoints.find(ctx, a.o.db.Reader(), a.of(endpoint))
	if err != nil {
		return ReplayStatus{}, err
	}
	if e.State == EndpointDisabled {
		return ReplayStatus{}, fmt.Errorf("%w: %s; enable it first", ErrEndpointDisabled, endpoint)
	}
	row := &replayRow{app: e.App, spacing: interval(c.rate).Microseconds(), missed: 1, cursor: missedCursor(micros(since), ""), background: flag(c.background)}
	if err := a.o.replayer.create(ctx, row, DeliveryFilter{Endpoint: endpoint, Since: since, Until: time.Now()}); err != nil {
		return ReplayStatus{}, err
	}
	return a.o.replayer.begin(ctx, row, c.progress)
}

// EnableOption configures [App.Enable].
type EnableOption interface {
	applyToEnable(*enableConfig)
}

type enableOption func(*enableConfig)

func (f enableOption) applyToEnable(c *enableConfig) { f(c) }

type enableConfig struct {
	missed bool
	replay []ReplayOption
}

// WithMissed sends an endpoint, once it is enabled, what it missed since it was
// disabled, as [App.SendMissed] does: the events that were published meanwhile,
// and the deliveries that the disablement canceled. Enable returns when each
// has a time. Default: nothing is sent, and [App.Missed] counts.
//
// It sends no event whose transaction is still open while Enable runs. Call
// [App.SendMissed] afterwards to send such events.
func WithMissed(opts ...ReplayOption) EnableOption {
	return enableOption(func(c *enableConfig) { c.missed, c.replay = true, opts })
}

func newEnableConfig(opts []EnableOption) (c enableConfig, err error) {
	for _, opt := range opts {
		if opt == nil {
			return c, fieldError("EnableOption", "an option is nil; leave it out")
		}
		opt.applyToEnable(&c)
	}
	_, err = newReplayConfig(c.replay)
	return c, err
}

// MissedSince returns since when [App.Missed] has to count for what
// [WithMissed] would send now. That is before the endpoint was disabled if
// deliveries waited then. It is zero if the endpoint is not disabled.
func (a *App) MissedSince(ctx context.Context, endpoint string) (time.Time, error) {
	if err := a.open(); err != nil {
		return time.Time{}, err
	}
	since, err := a.missedSince(ctx, endpoint)
	return since, wrap("counting missed events", err)
}

// missedSince returns the time of the oldest event that an endpoint may have
// missed because it is disabled, or zero if it is not.
func (a *App) missedSince(ctx context.Context, id string) (time.Time, error) {
	e, _, err := a.o.endpoints.find(ctx, a.o.db.Reader(), a.of(id))
	if err != nil || e.State != EndpointDisabled {
		return time.Time{}, err
	}
	var first int64
	err = a.o.db.Reader().QueryRow(ctx, `SELECT COALESCE(MIN(e.created_at), 0) FROM {schema}outbox_delivery d
		JOIN {schema}outbox_event e ON e.app = d.app AND e.id = d.event
		WHERE d.endpoint = ? AND d.state = 'canceled' AND d.done_at >= ?`, e.ID, micros(e.DisabledAt)).Scan(&first)
	if first == 0 || fromMicros(first).After(e.DisabledAt) {
		return e.DisabledAt, err
	}
	return fromMicros(first), err
}

// missedEvent is an event that an endpoint did not get.
type missedEvent struct {
	id, typ  string
	created  int64
	missed   int64
	delivery string // the canceled one, if there is one
}

// scheduleMissed makes deliveries for the next events that an endpoint missed.
func (r *replayer) scheduleMissed(ctx context.Context, tx *jobdb.Tx, row *replayRow) (replayed, error) {
	var f DeliveryFilter
	if err := json.Unmarshal([]byte(row.filter), &f); err != nil {
		return replayed{}, err
	}
	e, err := r.lockEndpoint(ctx, tx, f.Endpoint)
	if err != nil || e == nil {
		return replayed{done: true}, err
	}
	events, err := nextMissed(ctx, r.db.Dialect(), tx, e, &f, row.cursor)
	if err != nil {
		return replayed{}, err
	}
	b := replayed{cursor: row.cursor, done: len(events) < maxExamined}
	var wanted []missedEvent
	for _, m := range events {
		b.cursor = missedCursor(m.created, m.id)
		if m.missed != 0 && e.accepts(m.typ) {
			wanted = append(wanted, m)
		}
		if len(wanted) == replayBatch {
			b.done = false
			break
		}
	}
	return b, r.sendMissed(ctx, tx, row, e, wanted, &b)
}

// lockEndpoint makes other replays to the endpoint wait, so that no event is
// sent twice. It returns nil if the endpoint is gone or gets nothing.
func (r *replayer) lockEndpoint(ctx context.Context, tx *jobdb.Tx, id string) (*endpointRow, error) {
	if r.db.Dialect() == jobdb.Postgres {
		if _, err := tx.Exec(ctx, `SELECT FROM {schema}outbox_endpoint WHERE id = ? FOR UPDATE`, id); err != nil {
			return nil, err
		}
	}
	e, _, err := r.endpoints.read(ctx, tx, id)
	if errors.Is(err, ErrUnknownEndpoint) {
		return nil, nil
	}
	if err != nil || e.State == EndpointDisabled {
		return nil, err
	}
	return e, nil
}

// missedCursor is the place of an event among those of its app. A cursor with a
// time alone comes before the events of that time.
func missedCursor(created int64, id string) string { return strconv.FormatInt(created, 10) + " " + id }

func parseMissedCursor(text string) (created int64, id string, err error) {
	digits, id, _ := strings.Cut(text, " ")
	created, err = strconv.ParseInt(digits, 10, 64)
	return created, id, err
}

// nextMissed returns the next events of the app, and whether the endpoint
// misses them.
func nextMissed(ctx context.Context, d jobdb.Dialect, tx *jobdb.Tx, e *endpointRow, f *DeliveryFilter, cursor string) ([]missedEvent, error) {
	after, afterID, err := parseMissedCursor(cursor)
	if err != nil {
		return nil, err
	}
	return jobdb.Collect(ctx, tx, func(r jobdb.Row) (m missedEvent, err error) {
		return m, r.Scan(&m.id, &m.typ, &m.created, &m.missed, &m.delivery)
	}, `SELECT e.id, e.type, e.created_at, CASE WHEN `+isMissed+` THEN 1 ELSE 0 END, COALESCE((SELECT d.id `+ofEvent+`), '') FROM (
			SELECT app, id, type, deployment, created_at, erased_at FROM {schema}outbox_event WHERE `+fromPlace(d, `created_at, id`, `>`)+`
			ORDER BY app, created_at, id LIMIT ?) e WHERE e.app = ? AND e.created_at < ? ORDER BY e.created_at, e.id`,
		e.ID, e.ID, e.ID, e.App, after, afterID, int64(maxExamined), e.App, micros(f.Until))
}

// sendMissed makes the deliveries, and gives each a time after the one before.
func (r *replayer) sendMissed(ctx context.Context, tx *jobdb.Tx, row *replayRow, e *endpointRow, wanted []missedEvent, b *replayed) error {
	bodies, err := r.lockBodies(ctx, tx, e.App, wanted)
	if err != nil {
		return err
	}
	p, err := row.pace()
	if err != nil {
		return err
	}
	var (
		again []requeued
		fresh []*newDelivery
	)
	for _, m := range wanted {
		n, err := r.missedDelivery(ctx, tx, e, &m, bodies[m.id])
		switch {
		case err != nil:
			return err
		case bodies[m.id].body == nil || n == nil && m.delivery == "":
			b.skipped++
			continue
		case n == nil:
			again = append(again, requeued{id: m.delivery, due: p.next(e.ID)})
		default:
			n.due, n.replay = p.next(e.ID), row.id
			n.runAt = later(n.runAt, n.due)
			fresh = append(fresh, n)
		}
		b.scheduled++
	}
	row.planned = p.text()
	if err := r.publisher.insert(ctx, tx, fresh); err != nil || len(again) == 0 {
		return err
	}
	return r.requeue(ctx, tx, again, row.id)
}

// storedEvent is what an event says, as JSON, and the trace of its publication.
type storedEvent struct {
	body  []byte
	trace string
}

// lockBodies returns the stored JSON of events that were not erased, and keeps
// them from being erased before the transaction has ended.
func (r *replayer) lockBodies(ctx context.Context, tx *jobdb.Tx, app string, events []missedEvent) (map[string]storedEvent, error) {
	bodies := map[string]storedEvent{}
	if len(events) == 0 {
		return bodies, nil
	}
	lock := ``
	if r.db.Dialect() == jobdb.Postgres {
		lock = ` ORDER BY e.id FOR SHARE OF e`
	}
	ids := make([]string, len(events))
	for i, m := range events {
		ids[i] = m.id
	}
	in, list := anyOf(r.db, ids)
	_, err := jobdb.Collect(ctx, tx, func(r jobdb.Row) (struct{}, error) {
		var id string
		var stored storedEvent
		err := r.Scan(&id, &stored.body, &stored.trace)
		bodies[id] = stored
		return struct{}{}, err
	}, `SELECT e.id, b.body, b.trace FROM {schema}outbox_event e JOIN {schema}outbox_body b ON b.app = e.app AND b.event = e.id AND b.delivery = ''
		WHERE e.app = ? AND e.id `+in+` AND e.erased_at = 0`+lock, app, list)
	return bodies, err
}

// missedDelivery returns a new delivery. It returns nil if there is a canceled
// one, or if the endpoint's format does not express the event.
func (r *replayer) missedDelivery(ctx context.Context, tx *jobdb.Tx, e *endpointRow, m *missedEvent, stored storedEvent) (*newDelivery, error) {
	if stored.body == nil || m.delivery != "" {
		return nil, nil
	}
	event, err := payload.DecodeEvent(stored.body)
	if err != nil {
		return nil, fmt.Errorf("outbox: event %s: %w", m.id, err)
	}
	d := &draft{app: e.App, event: *event, id: m.id, body: stored.body, trace: stored.trace, at: time.Now()}
	n, err := r.publisher.newDelivery(ctx, d, &subscriber{id: e.ID, format: e.BodyFormat, breakerOpenUntil: e.BreakerOpenUntil})
	if err != nil || n == nil || !r.publisher.supersede {
		return n, err
	}
	return n, r.publisher.dropStale(ctx, tx, d, []*newDelivery{n})
}
