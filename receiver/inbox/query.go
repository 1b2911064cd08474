package inbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
)

// State is the state of a delivery.
type State string

// The states. Only pending deliveries change without a replay.
const (
	Pending State = "pending" // stored and waiting for its first or next attempt
	Handled State = "handled" // the handler succeeded
	// with WithOrdering: a later event was handled first, so this one is not
	Superseded State = "superseded"
	Dead       State = "dead" // out of attempts or permanently failed; kept for a replay
)

// Delivery is one delivery in the inbox.
type Delivery struct {
	// ID is assigned by the inbox and increases with each stored delivery.
	ID int64
	// Source is the name passed to [Inbox.Handler]. Principal is set by
	// verification. DeliveryID is the signed ID, or empty if the scheme signs
	// none.
	Source, Principal, DeliveryID string
	// Type and DeploymentID are copied from the event.
	Type         payload.Type
	DeploymentID string
	// EventAt is the event's timestamp. ReceivedAt is when the delivery was
	// stored.
	EventAt, ReceivedAt time.Time
	State               State
	// Attempts is how many attempts have ended since the delivery was stored or
	// last replayed.
	Attempts int
	// LastError is the error of the last attempt, up to 4 KiB. It is empty
	// after a success.
	LastError string
	// FinishedAt is when the delivery left [Pending]. It is zero while the
	// delivery is pending.
	FinishedAt time.Time
	// RetryAt is when the next attempt is due. It is zero before the first
	// attempt, and for a delivery that is not pending.
	RetryAt time.Time
	// Body is the exact received body, or the event that [Inbox.Records] made
	// of it. Only [Inbox.Get] sets it.
	Body []byte
}

func (r *record) public() Delivery {
	return Delivery{
		ID: r.id, Source: r.source, Principal: r.principal, DeliveryID: r.deliveryID, Type: payload.Type(r.typ),
		DeploymentID: r.deploymentID, EventAt: sqldb.Time(r.eventAt), ReceivedAt: r.receivedAt, State: r.state, Attempts: int(r.attempts),
	}
}

const deliveryColumns = `id, source, principal, delivery_id, type, deployment_id, event_at, received_at, state, attempts,
	last_error, finished_at, retry_at`

func (d *Delivery) scan(row jobdb.Row, more ...any) error {
	var eventAt, receivedAt, finishedAt, retryAt int64
	var typ, state string
	err := row.Scan(append([]any{
		&d.ID, &d.Source, &d.Principal, &d.DeliveryID, &typ, &d.DeploymentID, &eventAt, &receivedAt,
		&state, &d.Attempts, &d.LastError, &finishedAt, &retryAt,
	}, more...)...)
	d.Type, d.State = payload.Type(typ), State(state)
	d.EventAt, d.ReceivedAt, d.FinishedAt = sqldb.Time(eventAt), sqldb.Time(receivedAt), sqldb.Time(finishedAt)
	if d.State == Pending {
		d.RetryAt = sqldb.Time(retryAt)
	}
	return err
}

// Get returns a delivery with its body, or an error that wraps [ErrNotFound].
func (in *Inbox) Get(ctx context.Context, id int64) (*Delivery, error) {
	if err := in.open(); err != nil {
		return nil, err
	}
	var d Delivery
	err := d.scan(in.db.Reader().QueryRow(ctx, "SELECT "+deliveryColumns+", body FROM {schema}inbox_delivery WHERE id = ?", id), &d.Body)
	switch {
	case errors.Is(err, jobdb.ErrNoRows):
		return nil, fmt.Errorf("%w: %d", ErrNotFound, id)
	case err != nil:
		return nil, fmt.Errorf("inbox: Get: %w", err)
	}
	return &d, nil
}

// Filter selects deliveries. A delivery must match all fields that are set.
// Zero fields match everything.
type Filter struct {
	// State is one of the four states. Any other is an error that wraps
	// [ErrInvalid].
	State        State
	Source       string
	Principal    string
	Type         payload.Type
	DeploymentID string
	// Error selects the dead letters of a [DeadError].
	Error string
	// Since and Until bound ReceivedAt. Since is inclusive and Until is
	// exclusive.
	Since, Until time.Time
}

// check refuses a state that no delivery has. An empty list would look as if
// there were no such deliveries.
func (f Filter) check() error {
	switch f.State {
	case "", Pending, Handled, Superseded, Dead:
		return nil
	}
	return fmt.Errorf("%w: Filter.State: %.50q: want %s, %s, %s or %s", ErrInvalid, f.State, Pending, Handled, Superseded, Dead)
}

// where returns the filter as SQL.
func (f Filter) where() (clause string, args []any) {
	terms := []string{"1 = 1"}
	add := func(set bool, term string, arg any) {
		if set {
			terms, args = append(terms, term), append(args, arg)
		}
	}
	add(f.State != "", "state = ?", string(f.State))
	add(f.Source != "", "source = ?", storable(f.Source))
	add(f.Principal != "", "principal = ?", storable(f.Principal))
	add(f.Type != "", "type = ?", storable(string(f.Type)))
	add(f.DeploymentID != "", "deployment_id = ?", storable(f.DeploymentID))
	add(f.Error != "", "state = 'dead' AND dead_error = ?", storable(f.Error))
	add(!f.Since.IsZero(), "received_at >= ?", sqldb.Micros(f.Since))
	add(!f.Until.IsZero(), "received_at < ?", sqldb.Micros(f.Until))
	return strings.Join(terms, " AND "), args
}

// List returns a page of deliveries without their bodies, newest first. An
// invalid page or filter is an error that wraps [ErrInvalid].
//
// A filter by state, by deployment ID or by error uses an index. Other fields
// are compared row by row.
func (in *Inbox) List(ctx context.Context, f Filter, p Page) (Deliveries, error) {
	if err := in.open(); err != nil {
		return Deliveries{}, err
	}
	limit, before, err := p.bounds()
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return Deliveries{}, err
	}
	where, args := f.where()
	if p.Cursor != "" {
		where, args = where+" AND id < ?", append(args, before)
	}
	found, err := jobdb.Collect(ctx, in.db.Reader(), func(row jobdb.Row) (d Delivery, err error) { return d, d.scan(row) },
		"SELECT "+deliveryColumns+" FROM {schema}inbox_delivery WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, limit+1)...)
	if err != nil {
		return Deliveries{}, fmt.Errorf("inbox: List: %w", err)
	}
	return pageOf(found, limit), nil
}

// Stats is the number of deliveries in each state.
type Stats struct {
	Pending, Handled, Superseded, Dead int
	// OldestPending is when the oldest pending delivery was received. It is
	// zero if none is pending.
	OldestPending time.Time
}

// Stats counts the deliveries. It reads an index, which takes some tens of
// milliseconds for a hundred thousand deliveries. [Inbox.Backlog] is cheaper.
func (in *Inbox) Stats(ctx context.Context) (Stats, error) {
	if err := in.open(); err != nil {
		return Stats{}, err
	}
	var s Stats
	counts := map[State]*int{Pending: &s.Pending, Handled: &s.Handled, Superseded: &s.Superseded, Dead: &s.Dead}
	_, err := jobdb.Collect(ctx, in.db.Reader(), func(row jobdb.Row) (struct{}, error) {
		var state string
		var n int
		err := row.Scan(&state, &n)
		if count := counts[State(state)]; count != nil {
			*count = n
		}
		return struct{}{}, err
	}, "SELECT state, count(*) FROM {schema}inbox_delivery GROUP BY state")
	if err != nil {
		return Stats{}, fmt.Errorf("inbox: Stats: %w", err)
	}
	if s.OldestPending, err = in.oldestPending(ctx); err != nil {
		return Stats{}, fmt.Errorf("inbox: Stats: %w", err)
	}
	return s, nil
}
