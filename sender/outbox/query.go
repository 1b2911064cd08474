package outbox

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

const (
	// DefaultPageLimit is the default of Page.Limit.
	DefaultPageLimit = 50
	// MaxPageLimit is the maximum of Page.Limit.
	MaxPageLimit = 500
)

// DeliveryFilter selects deliveries. An empty field matches all. In a replay,
// empty States, Type and Until mean what [App.ReplayRange] says.
type DeliveryFilter struct {
	Endpoint     string       `json:"endpoint,omitempty"`
	EventID      string       `json:"event_id,omitempty"`
	Type         payload.Type `json:"type,omitempty"`
	DeploymentID string       `json:"deployment_id,omitempty"`
	// States names states. [Pending] includes [Delivering]. Delivering alone is an
	// error, since only the queue knows it. Look at Delivery.State.
	States []State `json:"states,omitempty"`
	// Answer selects by the answer to the last attempt: [Answer2xx], [Answer3xx],
	// [Answer4xx], [Answer5xx] or [AnswerNone].
	Answer Answer `json:"answer,omitempty"`
	// Since and Until bound when they were published, to the millisecond. Since is
	// included, and Until is not.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Replay is the ID of a replay that scheduled them, see [App.ReplayRange].
	Replay string `json:"replay,omitempty"`
}

// Answer is what an endpoint answered to an attempt, by the class of the status
// code.
type Answer string

// Classes of answers.
const (
	Answer2xx Answer = "2xx"
	Answer3xx Answer = "3xx"
	Answer4xx Answer = "4xx"
	Answer5xx Answer = "5xx"
	// AnswerNone means that there was an attempt and no answer.
	AnswerNone Answer = "none"
)

// Page selects a part of a list. Lists come newest first, apart from those of
// [Outbox.Apps] and [App.Events].
type Page struct {
	// Limit is the number of items on a page. Zero means 50
	// ([DefaultPageLimit]). A negative one and more than 500 ([MaxPageLimit]) are
	// errors.
	Limit int
	// Cursor is the Next of the previous page. Empty means the first page.
	// No item is repeated or missed because deliveries are published or deleted
	// between two calls.
	Cursor string
}

// Deliveries is a page of deliveries, without their bodies.
type Deliveries struct {
	Items []Delivery `json:"items"`
	// Next is the cursor of the next page. It is empty on the last. Only then is
	// the list at its end, since a page may be short.
	Next string `json:"next,omitempty"`
}

const deliveryColumns = `d.id, d.event, d.app, d.endpoint, d.type, d.deployment, d.state, d.attempts, d.replays, d.created_at, d.next_at, d.done_at,
	d.last_status, d.last_class, d.last_error, d.content_type,
	CASE WHEN d.state = 'pending' AND EXISTS (SELECT 1 FROM {schema}` + jobTable + ` j WHERE j.id = d.job AND j.claimed_until > {now}) THEN 1 ELSE 0 END`

func scanDelivery(r jobdb.Row, more ...any) (Delivery, error) {
	var (
		d                                      Delivery
		typ, state, class                      string
		attempts, replays, created, next, done int64
		status, running                        int64
		id, event, app, endpoint, deployment   string
		lastError, contentType                 string
	)
	dest := append([]any{
		&id, &event, &app, &endpoint, &typ, &deployment, &state, &attempts, &replays, &created, &next, &done,
		&status, &class, &lastError, &contentType, &running,
	}, more...)
	if err := r.Scan(dest...); err != nil {
		return d, err
	}
	d = Delivery{
		ID: id, EventID: event, App: app, Endpoint: endpoint, Type: payload.Type(typ), DeploymentID: deployment, State: State(state),
		Attempts: int(attempts), Replays: int(replays), CreatedAt: fromMicros(created), NextAt: fromMicros(next), DoneAt: fromMicros(done),
		LastStatus: int(status), LastClass: sender.Class(class), LastError: lastError, ContentType: contentType,
	}
	if running != 0 {
		d.State = Delivering
	}
	if d.ContentType == "" {
		d.ContentType = "application/json"
	}
	return d, nil
}

// Deliveries returns the log of all apps, newest first. It is for the operator.
// It reads as [App.Deliveries] does.
func (o *Outbox) Deliveries(ctx context.Context, f DeliveryFilter, p Page) (Deliveries, error) {
	if err := o.open(); err != nil {
		return Deliveries{}, err
	}
	return o.deliveries(ctx, selection{DeliveryFilter: f, everyApp: true}, p)
}

// Deliveries returns the app's log, newest first.
//
// A page can be shorter than its limit, or even empty, although Next is not
// empty. That happens with a filter for which there is no index, such as Type,
// since one call reads a bounded number of rows. Read on until Next is empty.
func (a *App) Deliveries(ctx context.Context, f DeliveryFilter, p Page) (Deliveries, error) {
	if err := a.open(); err != nil {
		return Deliveries{}, err
	}
	return a.o.deliveries(ctx, selection{DeliveryFilter: f, app: a.name}, p)
}

func cursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

// size returns the number of items on the page.
func (p Page) size() (int, error) {
	if p.Limit < 0 || p.Limit > MaxPageLimit {
		return 0, fieldError("Page.Limit", "%d: want 1 to %d, or 0 for %d", p.Limit, MaxPageLimit, DefaultPageLimit)
	}
	return cmp.Or(p.Limit, DefaultPageLimit), nil
}

func (p Page) parse(prefix string) (limit int, before string, err error) {
	if limit, err = p.size(); err != nil || p.Cursor == "" {
		return limit, "", err
	}
	id, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || len(id) != len(prefix)+32 || !storable(string(id)) || !strings.HasPrefix(string(id), prefix) {
		return 0, "", fieldError("Page.Cursor", "not a cursor returned by this list")
	}
	return limit, string(id), nil
}

func ceilMilli(t time.Time) time.Time {
	if m := t.Truncate(time.Millisecond); !m.Equal(t) {
		return m.Add(time.Millisecond)
	}
	return t
}

// states returns literal SQL with known words only, so that the partial indexes
// match.
func (f DeliveryFilter) states() (string, error) {
	if len(f.States) == 0 {
		return "", nil
	}
	var words []string
	for _, s := range f.States {
		switch s {
		case Pending, Delivered, Failed, Canceled, Superseded:
			words = append(words, `'`+string(s)+`'`)
		case Delivering:
			return "", fieldError("States", "delivering can't be asked for; ask for pending and look at Delivery.State")
		default:
			return "", fieldError("States", "has an unknown state")
		}
	}
	if len(words) == 1 {
		return `d.state = ` + words[0], nil
	}
	return `d.state IN (` + strings.Join(words, `, `) + `)`, nil
}

// answers returns literal SQL. No index has it.
func (f DeliveryFilter) answers() (string, error) {
	switch f.Answer {
	case "":
		return "", nil
	case AnswerNone:
		return `d.last_status = 0 AND d.last_class <> ''`, nil
	case Answer2xx, Answer3xx, Answer4xx, Answer5xx:
		first := string(f.Answer[:1])
		return `d.last_status BETWEEN ` + first + `00 AND ` + first + `99`, nil
	}
	return "", fieldError("Answer", "want 2xx, 3xx, 4xx, 5xx or none")
}

// Delivery returns a delivery with its body, or [ErrUnknownDelivery].
func (a *App) Delivery(ctx context.Context, id string) (Delivery, error) {
	if err := a.open(); err != nil {
		return Delivery{}, err
	}
	if !a.of(id).storable() {
		return Delivery{}, unknownDelivery(id)
	}
	var (
		encoded int64
		stored  []byte
	)
	d, err := scanDelivery(a.o.db.Reader().QueryRow(ctx, `SELECT `+deliveryColumns+`, d.encoding, b.body FROM {schema}outbox_delivery d`+joinBody+
		` WHERE d.app = ? AND d.id = ?`, a.name, id), &encoded, &stored)
	if errors.Is(err, jobdb.ErrNoRows) {
		return Delivery{}, unknownDelivery(id)
	}
	if err != nil {
		return Delivery{}, wrap("reading delivery", err)
	}
	d.Body = encoding(encoded).body(id, stored)
	return d, nil
}

// Attempts returns a delivery's attempts in order, or [ErrUnknownDelivery].
func (a *App) Attempts(ctx context.Context, deliveryID string) ([]Attempt, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	if !a.of(deliveryID).storable() {
		return nil, unknownDelivery(deliveryID)
	}
	all, err := jobdb.Collect(ctx, a.o.db.Reader(), scanAttempt,
		`SELECT `+attemptColumns+` FROM {schema}outbox_attempt WHERE delivery = ?
		AND EXISTS (SELECT 1 FROM {schema}outbox_delivery WHERE app = ? AND id = ?) ORDER BY number`, deliveryID, a.name, deliveryID)
	if err != nil {
		return nil, wrap("reading attempts", err)
	}
	if len(all) == 0 {
		return nil, a.hasDelivery(ctx, deliveryID)
	}
	return all, nil
}

// hasDelivery returns [ErrUnknownDelivery] if the app has no such delivery.
func (a *App) hasDelivery(ctx context.Context, id string) error {
	var n int64
	err := a.o.db.Reader().QueryRow(ctx, `SELECT count(*) FROM {schema}outbox_delivery WHERE app = ? AND id = ?`, a.name, id).Scan(&n)
	if err == nil && n == 0 {
		return unknownDelivery(id)
	}
	return wrap("reading delivery", err)
}

func scanAttempt(r jobdb.Row) (Attempt, error) {
	var (
		a                                               Attempt
		outcome, class, requestHeader, responseHeader   string
		number, started, status, dns, connect, tls      int64
		firstByte, total, retryAfter, reused, truncated int64
	)
	err := r.Scan(&a.DeliveryID, &number, &started, &outcome, &class, &status, &a.Error, &dns, &connect, &tls, &firstByte, &total,
		&retryAfter, &a.Addr, &reused, &truncated, &requestHeader, &responseHeader, &a.Body)
	if err != nil {
		return a, err
	}
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	a.Number, a.Start, a.Status = int(number), fromMicros(started), int(status)
	a.Outcome, a.Class = sender.Outcome(outcome), sender.Class(class)
	a.Timings = sender.Timings{DNS: us(dns), Connect: us(connect), TLS: us(tls), FirstByte: us(firstByte), Total: us(total)}
	a.RetryAfter, a.Reused, a.Truncated = us(retryAfter), reused != 0, truncated != 0
	if a.RequestHeader, err = parseHeader(requestHeader); err != nil {
		return a, err
	}
	a.ResponseHeader, err = parseHeader(responseHeader)
	return a, err
}

func parseHeader(text string) (h http.Header, err error) { return h, json.Unmarshal([]byte(text), &h) }
