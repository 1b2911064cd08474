package outbox

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/envelope"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// publisher stores events, and a delivery for each endpoint that accepts them.
type publisher struct {
	db        *jobdb.DB
	queue     *jobdb.Queue
	rules     *rules
	breaker   admission.Breaker
	supersede bool
	ordering  *ordering
}

// publish stores the event and its deliveries.
func (p *publisher) publish(ctx context.Context, tx *jobdb.Tx, d *draft) (Publication, error) {
	for tries := 0; ; tries++ {
		inserted, err := p.insertEvent(ctx, tx, d)
		if err != nil {
			return Publication{}, err
		}
		if inserted {
			break
		}
		before, err := p.published(ctx, tx, d)
		if !errors.Is(err, jobdb.ErrNoRows) || tries == 2 {
			return before, err
		}
		// It was pruned between the two statements.
	}
	deliveries, err := p.newDeliveries(ctx, tx, d)
	if err != nil {
		return Publication{}, err
	}
	out := Publication{EventID: d.id}
	for _, n := range deliveries {
		out.Deliveries = append(out.Deliveries, Ref{ID: n.id, Endpoint: n.endpoint})
	}
	return out, p.insert(ctx, tx, deliveries)
}

// insertEvent stores the event and its body. It reports false if there is one
// with its ID.
func (p *publisher) insertEvent(ctx context.Context, tx *jobdb.Tx, d *draft) (bool, error) {
	event := `INSERT INTO {schema}outbox_event (position, app, id, type, deployment, hash, size, created_at)
		VALUES (` + nextPosition(p.db.Dialect()) + `, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app, id) DO NOTHING`
	body := `INSERT INTO {schema}outbox_body (app, event, delivery, created_at, body, trace) `
	eventArgs := []any{d.app, d.id, string(d.event.Type), d.event.DeploymentID, d.hash[:], int64(len(d.body) + rowOverhead), micros(d.at)}
	if p.db.Dialect() == jobdb.Postgres { // one statement, since each waits for the network
		n, err := tx.Exec(ctx, `WITH e AS (`+event+` RETURNING app, id, created_at) `+body+`SELECT app, id, '', created_at, ?::bytea, ?::text FROM e`,
			append(eventArgs, d.body, d.trace)...)
		return n > 0, err
	}
	n, err := tx.Exec(ctx, event, eventArgs...)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, body+`VALUES (?, ?, '', ?, ?, ?)`, d.app, d.id, micros(d.at), d.body, d.trace)
	return err == nil, err
}

// published returns what the first call has stored, if it had the same event.
func (p *publisher) published(ctx context.Context, tx *jobdb.Tx, d *draft) (Publication, error) {
	var (
		hash   []byte
		erased int64
	)
	err := tx.QueryRow(ctx, `SELECT hash, erased_at FROM {schema}outbox_event WHERE app = ? AND id = ?`, d.app, d.id).Scan(&hash, &erased)
	if err != nil {
		return Publication{}, err
	}
	// An erased event has no hash, since that could reveal a short text.
	if erased == 0 && subtle.ConstantTimeCompare(hash, d.hash[:]) != 1 {
		return Publication{}, fmt.Errorf("%w: %s", ErrConflict, d.id)
	}
	refs, err := jobdb.Collect(ctx, tx, func(r jobdb.Row) (ref Ref, err error) { return ref, r.Scan(&ref.ID, &ref.Endpoint) },
		`SELECT id, endpoint FROM {schema}outbox_delivery WHERE app = ? AND event = ?`, d.app, d.id)
	slices.SortFunc(refs, func(a, b Ref) int { return cmp.Compare(a.ID, b.ID) }) // in SQL it would tempt the planner to another index
	return Publication{EventID: d.id, Duplicate: true, Deliveries: refs}, err
}

// newDelivery is a delivery that is about to be stored.
type newDelivery struct {
	id, app, endpoint, event string
	typ                      payload.Type
	deployment               string
	eventAt                  time.Time
	terminal                 bool
	state                    State
	reason                   string // why it is not pending
	job                      int64
	due                      time.Time
	runAt                    time.Time // when its job is to run, which may be later
	createdAt                time.Time
	replay                   string // the ID of the replay that made it
	encoding                 encoding
	contentType              string
	body                     []byte // if it has its own
	trace                    string // of the publication
}

// subscriber is an endpoint as the publisher needs it.
type subscriber struct {
	id, format       string
	events           []string
	breakerOpenUntil time.Time
}

// newDeliveries returns a delivery for each endpoint that accepts the event.
func (p *publisher) newDeliveries(ctx context.Context, tx *jobdb.Tx, d *draft) ([]*newDelivery, error) {
	all, err := jobdb.Collect(ctx, tx, scanSubscriber,
		`SELECT id, format, events, breaker_open_until FROM {schema}outbox_endpoint WHERE app = ? AND state <> ? ORDER BY id`,
		d.app, string(EndpointDisabled))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, requireApp(ctx, tx, d.app)
	}
	var deliveries []*newDelivery
	for _, s := range all {
		if !(sender.Endpoint{Events: s.events}).Accepts(d.event.Type) {
			continue
		}
		n, err := p.newDelivery(ctx, d, &s)
		if err != nil {
			return nil, err
		}
		if n != nil {
			deliveries = append(deliveries, n)
		}
	}
	if p.supersede && len(deliveries) > 0 {
		return deliveries, p.dropStale(ctx, tx, d, deliveries)
	}
	return deliveries, nil
}

func scanSubscriber(r jobdb.Row) (subscriber, error) {
	var (
		s         subscriber
		events    string
		openUntil int64
	)
	if err := r.Scan(&s.id, &s.format, &events, &openUntil); err != nil {
		return s, err
	}
	s.breakerOpenUntil = fromMicros(openUntil)
	return s, json.Unmarshal([]byte(events), &s.events)
}

// newDelivery returns the delivery for one endpoint. It returns nil if the
// endpoint's format does not express such events.
func (p *publisher) newDelivery(ctx context.Context, d *draft, s *subscriber) (*newDelivery, error) {
	id := payload.NewDeliveryID()
	n := &newDelivery{
		id: id, app: d.app, endpoint: s.id, event: d.id, typ: d.event.Type, deployment: d.event.DeploymentID,
		eventAt: d.event.Timestamp, terminal: isTerminal(&d.event), state: Pending, due: d.at, runAt: d.at, createdAt: idTime(id), trace: d.trace,
	}
	format, err := p.rules.format(s.format)
	if err != nil {
		return nil, err
	}
	switch n.encoding, _ = builtin(s.format); {
	case format != nil:
		err = p.render(ctx, n, format, d.event)
	case n.encoding == envelopeBody:
		err = p.checkEnvelope(ctx, d)
	}
	switch {
	case errors.Is(err, sender.ErrNoMessage):
		return nil, nil
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		n.encoding, n.state, n.reason = noBody, Failed, clean(err.Error())
		n.terminal = false // the endpoint never gets it, so it makes nothing stale
		return n, nil
	}
	// Spare the workers from finding out one by one that the breaker is open. The
	// delivery is due, and only its job waits.
	if p.breaker.Plausible(s.breakerOpenUntil, n.runAt) {
		n.runAt = s.breakerOpenUntil
	}
	return n, nil
}

// render makes the body of a delivery in a format.
func (p *publisher) render(ctx context.Context, n *newDelivery, format sender.Format, event payload.Event) error {
	event.DeliveryID = n.id
	m, err := p.rules.sender.Message(ctx, sender.Endpoint{BodyFormat: format}, &event)
	if err != nil {
		return err
	}
	n.encoding, n.contentType, n.body = ownBody, m.ContentType, m.Body
	return nil
}

// checkEnvelope returns an error if the event's envelope is over the sender's
// limit, although the event itself is not. It looks once for all endpoints.
func (p *publisher) checkEnvelope(ctx context.Context, d *draft) error {
	if !d.envelopeChecked {
		_, d.envelopeError = p.rules.sender.Message(ctx, sender.Endpoint{BodyFormat: envelope.New()}, &d.event)
		d.envelopeChecked = d.envelopeError == nil || ctx.Err() == nil
	}
	return d.envelopeError
}

// insert stores deliveries, and a job for each that is pending.
func (p *publisher) insert(ctx context.Context, tx *jobdb.Tx, all []*newDelivery) error {
	var pending []*newDelivery
	var jobs []jobdb.NewJob
	for _, n := range all {
		if n.state == Pending {
			pending = append(pending, n)
			jobs = append(jobs, jobdb.NewJob{Ref: n.id, Wait: time.Until(n.runAt)})
		}
	}
	if len(jobs) > 0 {
		ids, err := p.queue.Insert(ctx, tx, jobs)
		if err != nil {
			return err
		}
		for i, n := range pending {
			n.job = ids[i]
		}
	}
	for part := range slices.Chunk(all, maxInsert) {
		if err := insertRows(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

const (
	// maxInsert is the number of deliveries that one statement stores.
	maxInsert = 50
	// rowOverhead is added to the length of a body for the bytes of WithRetention.
	rowOverhead = 512
)

func insertRows(ctx context.Context, tx *jobdb.Tx, rows []*newDelivery) error {
	const row = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args := make([]any, 0, 18*len(rows))
	for _, n := range rows {
		var doneAt, nextAt int64
		if n.state == Pending {
			nextAt = micros(n.due)
		} else {
			doneAt = micros(n.createdAt)
		}
		args = append(args, n.id, n.app, n.endpoint, n.event, string(n.typ), n.deployment, micros(n.eventAt), flag(n.terminal), string(n.state),
			n.job, micros(n.createdAt), nextAt, doneAt, n.reason, int64(len(n.body)+rowOverhead), int64(n.encoding), n.contentType, n.replay)
	}
	_, err := tx.Exec(ctx, `INSERT INTO {schema}outbox_delivery (id, app, endpoint, event, type, deployment, event_at, terminal, state, job,
		created_at, next_at, done_at, last_error, size, encoding, content_type, replay) VALUES `+row+strings.Repeat(", "+row, len(rows)-1), args...)
	if err != nil {
		return err
	}
	return insertBodies(ctx, tx, rows)
}

const idPrefix = "whk_"

// idTime returns the time in a delivery ID, to the millisecond. The ID is
// "whk_" and a UUIDv7 without dashes. It is later than the clock's time if the
// clock was set back since the last ID. So lists keep their order, and nothing
// is due at this time.
func idTime(id string) time.Time {
	var ms int64
	if b, err := hex.DecodeString(id[len(idPrefix) : len(idPrefix)+12]); err == nil {
		for _, c := range b {
			ms = ms<<8 | int64(c)
		}
	}
	return time.UnixMilli(ms).UTC()
}

// afterIDs returns now, or a later time that follows all delivery IDs of this
// process. They lie in the future if the clock was set back.
func afterIDs(now time.Time) time.Time {
	return later(now, idTime(payload.NewDeliveryID()).Add(time.Millisecond))
}

// firstID returns the least ID that a delivery of time t can have.
func firstID(t time.Time) string { return fmt.Sprintf("%s%012x", idPrefix, max(t.UnixMilli(), 0)) }
