package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

const (
	// failingAfter is after how long without a success an endpoint is failing even if no delivery has used up its attempts:
	// an open circuit breaker keeps it from being tried that often.
	failingAfter = time.Hour
	// cancelBatch is how many deliveries are canceled in one transaction.
	cancelBatch = 1000
)

// EventEndpointDisabled is the type of the event that the app's other endpoints get when one is disabled, and EventTest that of
// [Outbox.TestEndpoint]. Events need a deployment ID, so theirs is the endpoint's ID; a member endpoint says more.
const (
	EventEndpointDisabled payload.Type = "endpoint.disabled"
	EventTest             payload.Type = "webhook.test"
)

// announceHold tells other processes, and Publish, that the endpoint is to be left alone, unless someone has changed it since the
// attempt began. That it fails costs only some of their attempts.
func (o *Outbox) announceHold(ctx context.Context, d *loaded, until time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	_, err := o.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET hold_until = ? WHERE id = ? AND version = ?`,
		micros(until), d.endpoint, d.version)
	if err != nil {
		o.logger.WarnContext(ctx, "outbox: writing an open circuit breaker", slog.String("endpoint", d.endpoint), slog.Any("error", err))
	}
}

// judgeHealth marks an endpoint as failing, or disables it, after a failed attempt. It does nothing to an endpoint that someone
// has changed or enabled since the attempt began: what was found out then says nothing about it now.
// It returns what the hook is to be told.
func (o *Outbox) judgeHealth(ctx context.Context, d *loaded, r *result) []Notice {
	since := d.failingSince
	if since.IsZero() {
		since = r.failingSince
	}
	age := time.Since(since)
	if o.lastedLong(ctx, d, r) {
		return o.disableQuietly(ctx, d.endpoint, fmt.Sprintf("every attempt since %s has failed", since.UTC().Format(time.RFC3339)),
			` AND version = ? AND failing_since = ?`, d.version, micros(d.failingSince))
	}
	if d.endpointState != EndpointActive || r.state != Failed && age < failingAfter {
		return nil
	}
	reason := "a delivery has used up its attempts"
	if r.state != Failed {
		reason = "no attempt has succeeded since " + since.UTC().Format(time.RFC3339)
	}
	n, err := o.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET state = ?, reason = ?
		WHERE id = ? AND version = ? AND state = ? AND failing_since <> 0`,
		string(EndpointFailing), reason, d.endpoint, d.version, string(EndpointActive))
	if err != nil {
		o.logger.WarnContext(ctx, "outbox: marking an endpoint as failing", slog.String("endpoint", d.endpoint), slog.Any("error", err))
		return nil
	}
	if n == 0 {
		return nil
	}
	return []Notice{{Kind: NoticeFailing, App: d.app, Endpoint: d.endpoint, Reason: reason}}
}

// lastedLong reports whether an endpoint, one of whose attempts has failed, has been failing for as long as WithDisableAfter says.
// That its last success is that long ago is not enough: nothing may have been sent to it meanwhile, and a deployment of the
// customer's may have been in the way of one attempt then and of another now.
func (o *Outbox) lastedLong(ctx context.Context, d *loaded, r *result) bool {
	if o.disableAfter <= 0 || d.failingSince.IsZero() || time.Since(d.failingSince) < o.disableAfter {
		return false
	}
	lasted, err := o.deadBefore(ctx, d, r)
	if err == nil && !lasted {
		lasted, err = o.triedThroughout(ctx, d)
	}
	if err != nil {
		o.logger.WarnContext(ctx, "outbox: judging an endpoint", slog.String("endpoint", d.endpoint), slog.Any("error", err))
	}
	return lasted && err == nil
}

// deadBefore reports whether this delivery has used up its attempts, and so has another one a good while earlier.
func (o *Outbox) deadBefore(ctx context.Context, d *loaded, r *result) (bool, error) {
	if r.state != Failed {
		return false, nil
	}
	var n int64
	err := o.db.QueryRow(ctx, `SELECT CASE WHEN EXISTS (SELECT 1 FROM {schema}outbox_delivery WHERE app = ? AND endpoint = ? AND state = 'failed'
		AND attempts > 0 AND type <> ? AND id <> ? AND done_at >= ? AND done_at <= ?) THEN 1 ELSE 0 END`,
		d.app, d.endpoint, string(EventTest), d.id, micros(d.failingSince), micros(r.doneAt.Add(-o.disableAfter/10))).Scan(&n)
	return n > 0, err
}

// triedThroughout reports whether attempts have failed in each fifth of the time but one. A circuit breaker lets so few through
// to an endpoint with a backlog that hardly any delivery uses up its attempts.
func (o *Outbox) triedThroughout(ctx context.Context, d *loaded) (bool, error) {
	const parts = 5
	now := time.Now()
	begin := micros(now.Add(-o.disableAfter))
	var n int64
	err := o.db.QueryRow(ctx, `SELECT count(DISTINCT (a.started_at - ?) / ?) FROM {schema}outbox_delivery d
		JOIN {schema}outbox_attempt a ON a.delivery = d.id
		WHERE d.endpoint = ? AND d.state = 'pending' AND a.started_at >= ? AND a.started_at < ?`,
		begin, max(o.disableAfter.Microseconds()/parts, 1), d.endpoint, begin, micros(now)).Scan(&n)
	return n >= parts-1, err
}

func (o *Outbox) disableQuietly(ctx context.Context, id, reason, only string, args ...any) []Notice {
	news, err := o.disable(ctx, id, reason, only, args...)
	if err != nil && !errors.Is(err, ErrUnknownEndpoint) {
		o.logger.ErrorContext(ctx, "outbox: disabling an endpoint", slog.String("endpoint", id), slog.Any("error", err))
	}
	return news
}

// Disable stops an endpoint: it gets no new deliveries, and those that wait are canceled; an attempt in flight is finished.
// reason is for people and is shown in Endpoint.Reason. The app's other endpoints get an event of the type endpoint.disabled, and
// the hook a notice. Disabling a disabled endpoint changes nothing.
//
// An endpoint is disabled in the same way when it answers 410, and when it has failed for as long as [WithDisableAfter] says.
func (o *Outbox) Disable(ctx context.Context, id, reason string) error {
	if err := o.open(); err != nil {
		return err
	}
	news, err := o.disable(ctx, id, clean(reason), "")
	o.notify(ctx, news...)
	return err
}

// disable disables an endpoint if it is enabled and the further condition holds. It
// returns what the hook is to be told, also after an error.
func (o *Outbox) disable(ctx context.Context, id, reason, only string, args ...any) ([]Notice, error) {
	if !storable(id) {
		return nil, fmt.Errorf("%w: %s", ErrUnknownEndpoint, clean(id))
	}
	var (
		e    *endpointRow
		done bool
	)
	err := o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		now := time.Now()
		n, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET state = ?, reason = ?, disabled_at = ?, slot_at = 0, version = version + 1
			WHERE id = ? AND state <> ?`+only, append([]any{string(EndpointDisabled), reason, micros(now), id, string(EndpointDisabled)}, args...)...)
		if err != nil {
			return err
		}
		if e, _, err = o.readEndpoint(ctx, tx, id); err != nil {
			return err
		}
		if done = n > 0; !done {
			return nil
		}
		return o.publishDisabled(ctx, tx, e, now)
	})
	if err != nil || !done {
		return nil, wrap("disabling endpoint", err)
	}
	o.logger.WarnContext(ctx, "outbox: endpoint disabled", slog.String("app", e.App), slog.String("endpoint", id), slog.String("reason", reason))
	news := []Notice{{Kind: NoticeDisabled, App: e.App, Endpoint: id, Reason: reason}}
	return news, o.cancelPending(ctx, id, "the endpoint is disabled")
}

// publishDisabled tells the app's other endpoints. That can't go round in circles: an endpoint is told about each time another
// one is disabled, and a disabled one stays so until someone enables it.
func (o *Outbox) publishDisabled(ctx context.Context, tx *riverdb.Tx, e *endpointRow, now time.Time) error {
	d, err := o.draft(ctx, e.App, endpointEvent(EventEndpointDisabled, e, now), nil)
	if err != nil {
		return err
	}
	_, err = o.publish(ctx, tx, d)
	if errors.Is(err, ErrInvalid) { // a format that this process does not know must not keep the endpoint enabled
		o.logger.ErrorContext(ctx, "outbox: announcing a disabled endpoint", slog.String("endpoint", e.ID), slog.Any("error", err))
		return nil
	}
	return err
}

// endpointEvent is an event about an endpoint.
func endpointEvent(t payload.Type, e *endpointRow, now time.Time) *payload.Event {
	event := &payload.Event{Type: t, Timestamp: now.UTC().Truncate(time.Millisecond), DeploymentID: e.ID, App: e.App}
	_ = event.Extra.Set("endpoint", map[string]string{ // texts always have a JSON form
		"id": e.ID, "host": e.Host, "description": e.Description, "reason": e.Reason,
	})
	return event
}

// cancelPending ends what waits for an endpoint, in batches, until someone enables it. What it misses, if it fails half-way,
// workers cancel one by one.
func (o *Outbox) cancelPending(ctx context.Context, endpoint, reason string) error {
	for {
		n, err := o.db.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = ?
			WHERE id IN (SELECT id FROM {schema}outbox_delivery WHERE endpoint = ? AND state = 'pending' ORDER BY id LIMIT ?) AND state = 'pending'
			AND NOT EXISTS (SELECT 1 FROM {schema}outbox_endpoint WHERE id = ? AND state <> ?)`,
			string(Canceled), micros(time.Now()), reason, endpoint, int64(cancelBatch), endpoint, string(EndpointDisabled))
		if err != nil {
			return wrap("canceling deliveries", err)
		}
		if n < cancelBatch {
			return nil
		}
	}
}

// Enable makes an endpoint active again, and forgets how it did before. What was canceled stays so; replay it with
// [Outbox.ReplayRange].
func (o *Outbox) Enable(ctx context.Context, id string) error {
	if err := o.open(); err != nil {
		return err
	}
	if !storable(id) {
		return fmt.Errorf("%w: %s", ErrUnknownEndpoint, clean(id))
	}
	n, err := o.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET state = ?, reason = '', failing_since = 0, hold_until = 0, disabled_at = 0,
		slot_at = 0, version = version + 1 WHERE id = ?`, string(EndpointActive), id)
	if err == nil && n == 0 {
		return fmt.Errorf("%w: %s", ErrUnknownEndpoint, id)
	}
	if err != nil {
		return wrap("enabling endpoint", err)
	}
	o.pullForward(ctx, id, wereHeld)
	o.pullForward(ctx, id, haveTurn)
	return nil
}

// DeleteEndpoint removes an endpoint with its URL and secrets, and cancels what waits for it. Its log stays until it is pruned.
func (o *Outbox) DeleteEndpoint(ctx context.Context, id string) error {
	if err := o.open(); err != nil {
		return err
	}
	if !storable(id) {
		return fmt.Errorf("%w: %s", ErrUnknownEndpoint, clean(id))
	}
	n, err := o.db.Exec(ctx, `DELETE FROM {schema}outbox_endpoint WHERE id = ?`, id)
	if err != nil {
		return wrap("deleting endpoint", err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %s", ErrUnknownEndpoint, id)
	}
	return o.cancelPending(ctx, id, "the endpoint was deleted")
}

// TestEndpoint makes one attempt to deliver an event of the type webhook.test, now and from this process, whatever the
// endpoint's filter, state and limits, and returns the delivery and its attempt, which are in the log like any other. That
// the endpoint did not accept it is no error of TestEndpoint: look at Delivery.State and Attempt.Status.
func (o *Outbox) TestEndpoint(ctx context.Context, id string) (Delivery, Attempt, error) {
	if err := o.open(); err != nil {
		return Delivery{}, Attempt{}, err
	}
	e, err := o.readOpen(ctx, o.db, id)
	if err != nil {
		return Delivery{}, Attempt{}, err
	}
	to, _, err := o.target(e, time.Now())
	if err != nil {
		return Delivery{}, Attempt{}, wrap("testing endpoint", err)
	}
	n, err := o.storeTest(ctx, e)
	if err != nil {
		return Delivery{}, Attempt{}, err
	}
	if n.body != nil {
		if err := o.tryOnce(ctx, n, to); err != nil {
			return Delivery{}, Attempt{}, err
		}
	}
	return o.tested(ctx, n.id)
}

// storeTest stores the test's delivery as one that has failed, and without a job: nobody else makes an attempt, and a crash
// leaves nothing that waits.
func (o *Outbox) storeTest(ctx context.Context, e *endpointRow) (*newDelivery, error) {
	d, err := o.draft(ctx, e.App, endpointEvent(EventTest, e, time.Now()), nil)
	if err != nil {
		return nil, err
	}
	n, err := o.address(ctx, d, &subscriber{id: e.ID, format: e.BodyFormat})
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, fmt.Errorf("outbox: testing endpoint %s: %w", e.ID, sender.ErrNoMessage)
	}
	if n.state == Pending {
		n.state, n.reason = Failed, "the test was cut off"
	}
	err = o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		return insertRows(ctx, tx, []deliveryRow{{newDelivery: n}})
	})
	return n, wrap("testing endpoint", err)
}

func (o *Outbox) tryOnce(ctx context.Context, n *newDelivery, to sender.Endpoint) error {
	a := o.sender.Attempt(ctx, to, sender.Message{ID: n.id, Type: n.typ, ContentType: n.contentType, Body: n.body})
	r := &result{id: n.id, state: Failed, doneAt: time.Now(), attempt: &a}
	if a.Outcome == sender.Delivered {
		r.state = Delivered
	}
	_, err := o.save(context.WithoutCancel(ctx), []*result{r})
	return err
}

func (o *Outbox) tested(ctx context.Context, id string) (Delivery, Attempt, error) {
	ctx = context.WithoutCancel(ctx)
	d, err := o.Delivery(ctx, id)
	if err != nil {
		return Delivery{}, Attempt{}, err
	}
	attempts, err := o.Attempts(ctx, id)
	if err != nil || len(attempts) == 0 {
		return d, Attempt{}, err
	}
	return d, attempts[0], nil
}
