package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

const (
	// failingAfter is how long an endpoint without a success is active. It is
	// failing then even if no delivery has used up its attempts, since an open
	// circuit breaker lets few attempts through.
	failingAfter = time.Hour
	// cancelBatch is the number of deliveries that are canceled in one
	// transaction.
	cancelBatch = 1000
	// maxConflicts is the number of times that a statement is tried if the database
	// ends its transaction in favor of another one.
	maxConflicts = 5
	// oldestPending is the number of waiting deliveries whose attempts are read.
	oldestPending = 200
)

// EventEndpointDisabled is the type of the event that the app's other endpoints
// get when one is disabled. EventTest is the type of the event that
// [App.TestEndpoint] sends. Events need a deployment ID, so these have the
// ID of the endpoint. Their member "endpoint" describes it.
const (
	EventEndpointDisabled payload.Type = "endpoint.disabled"
	EventTest             payload.Type = "webhook.test"
)

// health marks endpoints as failing and disables them.
type health struct {
	db           *jobdb.DB
	endpoints    *endpointStore
	publisher    *publisher
	disableAfter time.Duration
	logger       *slog.Logger
}

// storeOpenBreaker tells other processes, and the publisher, that a breaker is
// open, unless the endpoint has changed since the attempt. A failure costs only
// some attempts of other processes.
func (h *health) storeOpenBreaker(ctx context.Context, d *loaded, until time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	_, err := h.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET breaker_open_until = ? WHERE id = ? AND version = ?`,
		micros(until), d.endpoint, d.version)
	if err != nil {
		h.logger.WarnContext(ctx, "outbox: storing an open circuit breaker", slog.String("endpoint", d.endpoint), slog.Any("error", err))
	}
}

// afterFailure says for how long an endpoint has failed, marks it as failing,
// or disables it. It changes nothing if the endpoint was changed or enabled
// since the attempt began. It returns notices for the hook.
func (h *health) afterFailure(ctx context.Context, d *loaded, r *result) []Notice {
	since := d.failingSince
	if since.IsZero() {
		since = r.failingSince
	}
	if h.failedTooLong(ctx, d, r) {
		failure := h.describe(ctx, NoticeDisabled, d, r)
		return h.tryDisable(ctx, owned{d.app, d.endpoint}, failure, fmt.Sprintf("every attempt since %s has failed", since.UTC().Format(time.RFC3339)),
			` AND version = ? AND failing_since = ?`, d.version, micros(d.failingSince))
	}
	notices := h.sayStage(ctx, d, r)
	if d.endpointState != EndpointActive || r.state != Failed && time.Since(since) < failingAfter {
		return notices
	}
	reason := "a delivery has used up its attempts"
	if r.state != Failed {
		reason = "no attempt has succeeded since " + since.UTC().Format(time.RFC3339)
	}
	n, err := h.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET state = ?, reason = ?
		WHERE id = ? AND version = ? AND state = ? AND failing_since <> 0`,
		string(EndpointFailing), reason, d.endpoint, d.version, string(EndpointActive))
	if err != nil {
		h.logger.WarnContext(ctx, "outbox: marking an endpoint as failing", slog.String("endpoint", d.endpoint), slog.Any("error", err))
	}
	if err != nil || n == 0 {
		return notices
	}
	notice := Notice{Kind: NoticeFailing, App: d.app, Endpoint: d.endpoint, Reason: reason, Failure: h.describe(ctx, NoticeFailing, d, r)}
	h.logger.LogAttrs(ctx, slog.LevelWarn, "outbox: endpoint failing", notice.attrs()...)
	return append([]Notice{notice}, notices...)
}

// failedTooLong reports whether an endpoint has failed for as long as
// WithDisableAfter says. The age of its last success alone is no evidence.
// Nothing may have been sent since, or two deployments of the customer's may
// have failed two attempts.
func (h *health) failedTooLong(ctx context.Context, d *loaded, r *result) bool {
	if h.disableAfter <= 0 || d.failingSince.IsZero() || time.Since(d.failingSince) < h.disableAfter {
		return false
	}
	failed, err := h.hasEarlierDeadLetter(ctx, d, r)
	if err == nil && !failed {
		failed, err = h.failedThroughout(ctx, d)
	}
	if err != nil {
		h.logger.WarnContext(ctx, "outbox: checking for how long an endpoint has failed", slog.String("endpoint", d.endpoint), slog.Any("error", err))
	}
	return failed && err == nil
}

// hasEarlierDeadLetter reports whether this delivery has used up its attempts,
// and another one had done so a good while earlier. It looks at the first dead
// letters of the current failure. The delivery that began it was published
// shortly before.
func (h *health) hasEarlierDeadLetter(ctx context.Context, d *loaded, r *result) (bool, error) {
	if r.state != Failed {
		return false, nil
	}
	until, since := r.doneAt.Add(-h.disableAfter/10), d.failingSince.Add(-time.Hour)
	s, err := selection{DeliveryFilter: DeliveryFilter{Endpoint: d.endpoint, States: []State{Failed}, Since: since}, app: d.app}.newScan()
	if err != nil {
		return false, err
	}
	s.check(`d.app = ? AND d.attempts > 0 AND d.type <> ? AND d.last_class <> ? AND d.id <> ? AND d.done_at >= ? AND d.done_at <= ?`,
		d.app, string(EventTest), string(sender.ClassAborted), d.id, micros(d.failingSince), micros(until))
	found, err := s.step(ctx, h.db.Dialect(), h.db.Reader(), 1)
	return len(found.ids) > 0, err
}

// failedThroughout reports whether attempts have failed in at least four fifths
// of the time. With a backlog, an open circuit breaker lets so few attempts
// through that hardly any delivery uses up its attempts. Those attempts are for
// the oldest deliveries.
func (h *health) failedThroughout(ctx context.Context, d *loaded) (bool, error) {
	const parts = 5
	s, err := selection{DeliveryFilter: DeliveryFilter{Endpoint: d.endpoint, States: []State{Pending}}, app: d.app}.newScan()
	if err != nil {
		return false, err
	}
	oldest, err := s.step(ctx, h.db.Dialect(), h.db.Reader(), oldestPending)
	if err != nil {
		return false, err
	}
	now := time.Now()
	begin := micros(now.Add(-h.disableAfter))
	table, ids := each(h.db, oldest.ids)
	of := ` JOIN {schema}outbox_attempt a ON a.delivery = u.id`
	if h.db.Dialect() == jobdb.Postgres { // without statistics it would read the whole table
		of = `, LATERAL (SELECT started_at FROM {schema}outbox_attempt WHERE delivery = u.id OFFSET 0) AS a`
	}
	var n int64
	err = h.db.Reader().QueryRow(ctx, `SELECT count(DISTINCT (a.started_at - ?) / ?) FROM `+table+of+` WHERE a.started_at >= ? AND a.started_at < ?`,
		begin, max(h.disableAfter.Microseconds()/parts, 1), ids, begin, micros(now)).Scan(&n)
	return n >= parts-1, err
}

// tryDisable disables an endpoint and logs an error.
func (h *health) tryDisable(ctx context.Context, k owned, f *Failure, reason, condition string, args ...any) []Notice {
	notices, err := h.disable(ctx, k, f, reason, condition, args...)
	if err != nil && !errors.Is(err, ErrUnknownEndpoint) {
		h.logger.WarnContext(ctx, "outbox: disabling an endpoint", slog.String("endpoint", k.id), slog.Any("error", err))
	}
	return notices
}

// disable disables an endpoint if it is enabled and the condition holds. It
// returns notices for the hook, also with an error.
func (h *health) disable(ctx context.Context, k owned, f *Failure, reason, condition string, args ...any) ([]Notice, error) {
	if !k.storable() {
		return nil, unknownEndpoint(k.id)
	}
	var e *endpointRow // nil if nothing changed
	err := h.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		now := time.Now()
		n, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET state = ?, reason = ?, disabled_at = ?, version = version + 1
			WHERE app = ? AND id = ? AND state <> ?`+condition,
			append([]any{string(EndpointDisabled), reason, micros(now), k.app, k.id, string(EndpointDisabled)}, args...)...)
		if err != nil {
			return err
		}
		if e, _, err = h.endpoints.find(ctx, tx, k); err != nil || n == 0 {
			e = nil
			return err
		}
		return h.publishDisabled(ctx, tx, e, now)
	})
	if err != nil || e == nil {
		return nil, wrap("disabling endpoint", err)
	}
	notice := Notice{Kind: NoticeDisabled, App: e.App, Endpoint: k.id, Reason: reason, Failure: f}
	h.logger.LogAttrs(ctx, slog.LevelWarn, "outbox: endpoint disabled", notice.attrs()...)
	return []Notice{notice}, h.cancelPending(ctx, k, "the endpoint is disabled")
}

// publishDisabled tells the app's other endpoints. There can't be a loop, since
// a disabled endpoint stays disabled until a caller enables it. An announcement
// that can't be made is logged, since it must not keep the endpoint enabled. It
// may be too large, or an endpoint may have a format that this process does not
// know.
func (h *health) publishDisabled(ctx context.Context, tx *jobdb.Tx, e *endpointRow, now time.Time) error {
	d, err := h.publisher.draft(ctx, e.App, endpointEvent(EventEndpointDisabled, e, now), nil)
	if err == nil {
		err = tx.InSavepoint(ctx, func(ctx context.Context) error {
			_, err := h.publisher.publish(ctx, tx, d)
			return err
		})
	}
	if isEventFault(err) {
		h.logger.ErrorContext(ctx, "outbox: announcing a disabled endpoint", slog.String("endpoint", e.ID), slog.Any("error", err))
		return nil
	}
	return err
}

// isEventFault reports whether an event can't be published as it is.
func isEventFault(err error) bool {
	_, invalid := errors.AsType[*payload.ValidationError](err)
	return invalid || errors.Is(err, ErrInvalid) || errors.Is(err, sender.ErrInvalidMessage)
}

// endpointEvent returns an event about an endpoint.
func endpointEvent(t payload.Type, e *endpointRow, now time.Time) *payload.Event {
	event := &payload.Event{Type: t, Timestamp: now.UTC().Truncate(time.Millisecond), DeploymentID: e.ID, App: e.App}
	_ = event.Extra.Set("endpoint", map[string]string{ // texts always have a JSON form
		"id": e.ID, "host": e.Host, "description": e.Description, "reason": e.Reason,
	})
	return event
}

// cancelPending cancels an endpoint's waiting deliveries in batches, until a
// caller enables it. If it fails half-way, workers cancel the others one by
// one.
func (h *health) cancelPending(ctx context.Context, k owned, reason string) error {
	return cancelPending(ctx, h.db, k.id, reason)
}

func cancelPending(ctx context.Context, db *jobdb.DB, endpoint, reason string) error {
	tries := 0
	for {
		n, err := db.Exec(ctx, `WITH waiting AS MATERIALIZED (
				SELECT id FROM {schema}outbox_delivery WHERE endpoint = ? AND state = 'pending' ORDER BY `+byID(db.Dialect())+` LIMIT ?`+inOrder(db)+`)
			UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = ?
			WHERE id IN (SELECT id FROM waiting) AND state = 'pending'
			AND NOT EXISTS (SELECT 1 FROM {schema}outbox_endpoint WHERE id = ? AND state <> ?)`,
			endpoint, int64(cancelBatch), string(Canceled), micros(time.Now()), reason, endpoint, string(EndpointDisabled))
		// With WithOrdering, a delivery that ends makes the next one due, which may
		// be an older one. The database then ends one of two transactions.
		if tries++; sqldb.IsConflict(err) && tries < maxConflicts {
			continue
		}
		if err != nil {
			return wrap("canceling deliveries", err)
		}
		if n < cancelBatch {
			return nil
		}
		tries = 0
	}
}
