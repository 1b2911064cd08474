package outbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

const (
	// maxExamined is the number of events that one call examines.
	maxExamined = 1000
	// feedPrefix begins a cursor of Events before it is encoded.
	feedPrefix = "position "
	// sinceMargin is how far the clocks of two publishers may differ.
	sinceMargin = 10 * time.Minute
)

// EventFilter selects events. An empty field matches all.
type EventFilter struct {
	// Types are patterns as in EndpointConfig.Events.
	Types []string
	// Since leaves out what was published before. It matters only without a
	// cursor.
	Since time.Time
}

// Event is a published event.
type Event struct {
	ID           string
	Type         payload.Type
	DeploymentID string
	// CreatedAt is when it was published.
	CreatedAt time.Time
	// ErasedAt is when it was erased, see [App.EraseEvent]. It is zero if it was
	// not.
	ErasedAt time.Time
	// Body is its JSON, with event_id and without delivery_id. It is empty if the
	// event was erased, or is older than [WithBodyRetention] says.
	Body []byte
}

// Events is a page of events, in the order in which consumers see them.
type Events struct {
	Items []Event `json:"items"`
	// Next is the cursor after the last event that was examined. It is empty only
	// if the first page found nothing.
	Next string `json:"next,omitempty"`
	// More reports that there may be further events already. A consumer that has
	// seen all waits a while before it asks again.
	More bool `json:"more"`
}

// Events returns events of the app in a fixed order, which begins after the
// cursor of p. A consumer can poll with it instead of receiving deliveries: it
// handles the page, stores Next, and asks again with it. So it sees each event
// exactly once, no matter in which order the publishers' transactions were
// committed.
//
// An event appears after its transaction was committed. On PostgreSQL that
// takes up to a second while a consumer polls, and a transaction that stays
// open for long delays only its own events. Test events
// ([EventTest]) do not appear. A page can be short or empty although More is
// set, since a call examines at most 1000 events.
//
// Errors: [ErrUnknownApp], [*FieldError], and [ErrCursorExpired] if events
// after the cursor have been deleted (see [WithEventRetention]). A consumer
// then starts again without a cursor, and ignores what it has seen.
func (a *App) Events(ctx context.Context, f EventFilter, p Page) (Events, error) {
	if err := a.open(); err != nil {
		return Events{}, err
	}
	if !storable(a.name) {
		return Events{}, unknownApp(a.name)
	}
	limit, err := p.size()
	if err != nil {
		return Events{}, err
	}
	q := eventQuery{app: a.name, limit: limit}
	if q.filter, err = sender.ParseFilter(f.Types); err != nil {
		return Events{}, &FieldError{Field: "Types", Reason: err.Error(), cause: err}
	}
	if q.after, err = parsePosition(p.Cursor); err != nil {
		return Events{}, err
	}
	if p.Cursor == "" && !f.Since.IsZero() {
		q.since = micros(f.Since)
		q.after = max(micros(f.Since.Add(-sinceMargin)), 0)
	}
	page, err := a.o.feed.read(ctx, &q)
	return page, wrap("reading events", err)
}

// eventQuery is a checked request for a page of events.
type eventQuery struct {
	app          string
	filter       sender.Filter
	after, since int64
	limit        int
}

func cursorAt(position int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(feedPrefix + strconv.FormatInt(position, 10)))
}

func parsePosition(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	digits, ok := strings.CutPrefix(string(text), feedPrefix)
	n, bad := strconv.ParseInt(digits, 10, 64)
	if err != nil || bad != nil || !ok || n <= 0 {
		return 0, fieldError("Page.Cursor", "not a cursor returned by Events")
	}
	return n, nil
}

// read returns a page. It never holds a transaction.
func (f *feed) read(ctx context.Context, q *eventQuery) (Events, error) {
	if err := f.poll(ctx); err != nil {
		return Events{}, err
	}
	examine := maxExamined
	if len(q.filter.Patterns()) == 0 && q.since == 0 {
		examine = q.limit + 1 // one more tells whether there are further ones
	}
	type examined struct {
		Event
		position int64
	}
	found, err := jobdb.Collect(ctx, f.db.Reader(), func(r jobdb.Row) (e examined, err error) {
		var created, erased int64
		var typ string
		err = r.Scan(&e.position, &e.ID, &typ, &e.DeploymentID, &created, &erased)
		e.Type, e.CreatedAt, e.ErasedAt = payload.Type(typ), fromMicros(created), fromMicros(erased)
		return e, err
	}, `SELECT position, id, type, deployment, created_at, erased_at FROM (
			SELECT app, position, id, type, deployment, created_at, erased_at FROM {schema}outbox_event WHERE `+fromPlace(f.db.Dialect(), `position`, `>`)+`
			ORDER BY app, position LIMIT ?) AS next WHERE app = ? ORDER BY position`, q.app, q.after, int64(examine), q.app)
	if err != nil {
		return Events{}, err
	}
	// This comes after the events were read. So what was deleted in between is
	// noticed.
	if err := f.checkExpired(ctx, q); err != nil {
		return Events{}, err
	}
	page := Events{More: len(found) == examine}
	if q.after > 0 {
		page.Next = cursorAt(q.after)
	}
	for _, e := range found {
		if q.filter.Accepts(e.Type) && micros(e.CreatedAt) >= q.since {
			if len(page.Items) == q.limit {
				page.More = true
				break
			}
			page.Items = append(page.Items, e.Event)
		}
		page.Next = cursorAt(e.position)
	}
	return page, f.readBodies(ctx, q.app, page.Items)
}

// checkExpired returns an error if events after the position were deleted.
func (f *feed) checkExpired(ctx context.Context, q *eventQuery) error {
	var pruned int64
	err := f.db.Reader().QueryRow(ctx, `SELECT pruned_position FROM {schema}outbox_app WHERE id = ?`, q.app).Scan(&pruned)
	if errors.Is(err, jobdb.ErrNoRows) {
		return unknownApp(q.app)
	}
	if err == nil && q.since == 0 && q.after > 0 && q.after < pruned {
		return fmt.Errorf("%w; start again without a cursor", ErrCursorExpired)
	}
	return err
}

func (f *feed) readBodies(ctx context.Context, app string, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	ids, byID := make([]string, len(events)), make(map[string]*Event, len(events))
	for i := range events {
		ids[i], byID[events[i].ID] = events[i].ID, &events[i]
	}
	type stored struct {
		id   string
		body []byte
	}
	table, list := each(f.db, ids)
	bodies, err := jobdb.Collect(ctx, f.db.Reader(), func(r jobdb.Row) (s stored, err error) { return s, r.Scan(&s.id, &s.body) },
		`SELECT u.id, (SELECT b.body FROM {schema}outbox_body b WHERE b.app = ? AND b.event = u.id AND b.delivery = '') FROM `+table, app, list)
	for _, s := range bodies {
		byID[s.id].Body = s.body
	}
	return err
}
