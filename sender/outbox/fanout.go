package outbox

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/internal/timemath"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// maxJobAttempts is River's count, which is none of ours: it must never be used up, not even by a job that crashes its process
// again and again. The schedule counts in outbox_delivery.
const maxJobAttempts = 30_000

// jobArgs refers to a delivery. What is sent is in outbox_delivery.
type jobArgs struct {
	ID string `json:"id"`
}

// Kind is the name of the jobs; it is stored.
func (jobArgs) Kind() string { return "deployhook.outbox.deliver" }

// promotedAfter is from when on River keeps the time of a job that is inserted for later. Its scheduler looks every 5 s at what
// will be due within the next 5 s, so that it sees a job that is due earlier too late, and all such jobs at once.
const promotedAfter = 6 * time.Second

// jobParams is a job for a delivery that is due at a time. One that is due soon says no time: its worker sees that it is early and
// puts it back, which River does to the moment.
func jobParams(id string, due time.Time) river.InsertManyParams {
	opts := &river.InsertOpts{Queue: queueName, MaxAttempts: maxJobAttempts}
	if time.Until(due) > promotedAfter {
		opts.ScheduledAt = due
	}
	return river.InsertManyParams{Args: jobArgs{ID: id}, InsertOpts: opts}
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
	due                      time.Time
	createdAt                time.Time
	contentType              string
	body                     []byte
}

// subscriber is an endpoint as far as publishing needs it.
type subscriber struct {
	id, format string
	events     []string
	holdUntil  time.Time
}

// subscribers returns a delivery for each endpoint that gets the event.
func (o *Outbox) subscribers(ctx context.Context, tx *riverdb.Tx, d *draft) ([]*newDelivery, error) {
	all, err := riverdb.Collect(ctx, tx, scanSubscriber,
		`SELECT id, format, events, hold_until FROM {schema}outbox_endpoint WHERE app = ? AND state <> ? ORDER BY id`,
		d.app, string(EndpointDisabled))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, o.checkKnown(ctx, tx, d.app)
	}
	var targets []*newDelivery
	for _, s := range all {
		if !(sender.Endpoint{Events: s.events}).Accepts(d.event.Type) {
			continue
		}
		n, err := o.address(ctx, d, &s)
		if err != nil {
			return nil, err
		}
		if n != nil {
			targets = append(targets, n)
		}
	}
	if o.supersede && len(targets) > 0 {
		return targets, o.applySupersession(ctx, tx, d, targets)
	}
	return targets, nil
}

func scanSubscriber(r riverdb.Row) (subscriber, error) {
	var (
		s      subscriber
		events string
		hold   int64
	)
	if err := r.Scan(&s.id, &s.format, &events, &hold); err != nil {
		return s, err
	}
	s.holdUntil = fromMicros(hold)
	return s, json.Unmarshal([]byte(events), &s.events)
}

// address makes the delivery for one endpoint, nil if its format has nothing to say about the event.
func (o *Outbox) address(ctx context.Context, d *draft, s *subscriber) (*newDelivery, error) {
	n := d.delivery(s.id)
	event := d.event
	event.DeliveryID = n.id
	format, err := o.format(s.format)
	if err != nil {
		return nil, err
	}
	m, err := o.sender.Message(ctx, sender.Endpoint{BodyFormat: format}, &event)
	switch {
	case errors.Is(err, sender.ErrNoMessage):
		return nil, nil
	case err != nil && (format == nil || ctx.Err() != nil):
		return nil, err
	case err != nil:
		n.state, n.reason = Failed, clean(err.Error())
		return n, nil
	}
	n.contentType, n.body = m.ContentType, m.Body
	// The breaker is open: don't make the workers find out one by one. A time that is too far ahead is a clock's fault.
	if s.holdUntil.After(n.due) && s.holdUntil.Sub(n.due) <= timemath.Times(o.breaker.max, 2) {
		n.due = s.holdUntil
	}
	return n, nil
}

func (d *draft) delivery(endpoint string) *newDelivery {
	id := payload.NewDeliveryID()
	created := idTime(id)
	return &newDelivery{
		id: id, app: d.app, endpoint: endpoint, event: d.id, typ: d.event.Type, deployment: d.event.DeploymentID,
		eventAt: d.event.Timestamp, terminal: isTerminal(&d.event), state: Pending, due: created, createdAt: created,
	}
}

// insertDeliveries stores deliveries, and a job for each that is pending.
func (o *Outbox) insertDeliveries(ctx context.Context, tx *riverdb.Tx, all []*newDelivery) error {
	var params []river.InsertManyParams
	for _, n := range all {
		if n.state == Pending {
			params = append(params, jobParams(n.id, n.due))
		}
	}
	var jobs []int64
	if len(params) > 0 {
		inserted, err := o.client.InsertManyTx(ctx, tx, params)
		if err != nil {
			return err
		}
		for _, r := range inserted {
			jobs = append(jobs, r.Job.ID)
		}
	}
	rows := make([]deliveryRow, len(all))
	for i, n := range all {
		rows[i].newDelivery = n
		if n.state == Pending {
			rows[i].job, jobs = jobs[0], jobs[1:]
		}
	}
	for part := range slices.Chunk(rows, maxInsert) {
		if err := insertRows(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

// maxInsert is how many deliveries one statement stores.
const maxInsert = 50

type deliveryRow struct {
	*newDelivery
	job int64
}

func insertRows(ctx context.Context, tx *riverdb.Tx, rows []deliveryRow) error {
	const row = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args := make([]any, 0, 17*len(rows))
	for _, n := range rows {
		var doneAt, nextAt, terminal int64
		if n.state == Pending {
			nextAt = micros(n.due)
		} else {
			doneAt = micros(n.createdAt)
		}
		if n.terminal {
			terminal = 1
		}
		body := n.body
		if body == nil {
			body = []byte{}
		}
		args = append(args, n.id, n.app, n.endpoint, n.event, string(n.typ), n.deployment, micros(n.eventAt), terminal, string(n.state),
			n.job, micros(n.createdAt), nextAt, doneAt, n.reason, int64(len(body)+rowOverhead), n.contentType, body)
	}
	_, err := tx.Exec(ctx, `INSERT INTO {schema}outbox_delivery (id, app, endpoint, event, type, deployment, event_at, terminal, state, job,
		created_at, next_at, done_at, last_error, size, content_type, body) VALUES `+row+strings.Repeat(", "+row, len(rows)-1), args...)
	return err
}

// rowOverhead is what a delivery counts for, beside its body, towards the bytes of WithRetention.
const rowOverhead = 512

// idTime is the time in a delivery ID, to the millisecond: "whk_" and a UUIDv7 without dashes.
func idTime(id string) time.Time {
	var ms int64
	if b, err := hex.DecodeString(id[len(idPrefix) : len(idPrefix)+12]); err == nil {
		for _, c := range b {
			ms = ms<<8 | int64(c)
		}
	}
	return time.UnixMilli(ms).UTC()
}

const idPrefix = "whk_"

// firstID is the least ID that a delivery of time t can have.
func firstID(t time.Time) string { return fmt.Sprintf("%s%012x", idPrefix, max(t.UnixMilli(), 0)) }

// storable reports whether a text can be in a column: PostgreSQL takes no zero bytes, and nothing that is not UTF-8.
func storable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// clean makes a text fit for a column and a log: valid, without control characters, of bounded length.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) > 1024 {
		text = strings.ToValidUTF8(text[:1024], "")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
