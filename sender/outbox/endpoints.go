package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/sender"
)

// newID returns a prefix and a UUIDv7 without dashes, so that IDs sort by time.
func newID(prefix string) string {
	return prefix + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", "")
}

// RegisterApp makes an app known, so that events can be published before it has endpoints. Registering it again is no error.
// Names have 1 to 255 bytes.
func (o *Outbox) RegisterApp(ctx context.Context, app string) error {
	if err := errors.Join(o.open(), checkApp(app)); err != nil {
		return err
	}
	return o.registerApp(ctx, o.db, app)
}

func (o *Outbox) registerApp(ctx context.Context, q riverdb.Querier, app string) error {
	_, err := q.Exec(ctx, `INSERT INTO {schema}outbox_app (id, created_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, app, micros(time.Now()))
	if err != nil {
		return fmt.Errorf("outbox: registering app: %w", err)
	}
	return nil
}

// lockApp makes the app's other registrations wait until this transaction has ended.
func (o *Outbox) lockApp(ctx context.Context, tx *riverdb.Tx, app string) error {
	if err := o.registerApp(ctx, tx, app); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE {schema}outbox_app SET locked = locked + 1 WHERE id = ?`, app)
	return err
}

// CreateEndpoint checks and stores a new endpoint. The secret that comes with it is what the customer needs to verify
// deliveries: show it now, since it is never returned again.
//
// The URL, headers and filter are checked as every attempt will check them (sender.Sender.Check): the host is resolved, and
// addresses that are not public are refused. Errors: [*FieldError], [ErrDuplicateEndpoint], [ErrTooManyEndpoints]. Nothing is sent; see
// [Outbox.TestEndpoint].
func (o *Outbox) CreateEndpoint(ctx context.Context, c EndpointConfig) (Endpoint, Secret, error) {
	if err := errors.Join(o.open(), checkApp(c.App)); err != nil {
		return Endpoint{}, Secret{}, err
	}
	now := time.Now()
	e := &endpointRow{
		Endpoint: Endpoint{
			ID: newID("ep_"), App: c.App, Description: c.Description, BodyFormat: cmp.Or(c.BodyFormat, FormatJSON),
			Scheme: cmp.Or(c.Scheme, SchemeStandard), SignatureHeader: c.SignatureHeader, Events: slices.Clone(c.Events),
			Timeout: c.Timeout, Schedule: cmp.Or(c.Schedule, SchedulePlatform), MaxConcurrency: c.MaxConcurrency,
			RateLimit: c.RateLimit, State: EndpointActive, CreatedAt: now, UpdatedAt: now, HeaderNames: c.Header.Names(),
		},
		url: c.URL, header: c.Header,
	}
	key, shown, err := e.Scheme.newKey(c.Secret.Reveal())
	if err != nil {
		return Endpoint{}, Secret{}, err
	}
	if e.Scheme != InsecureUnsigned {
		e.keys = []storedKey{key}
	}
	if err := o.check(ctx, e); err != nil {
		return Endpoint{}, Secret{}, err
	}
	err = o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		if err := o.lockApp(ctx, tx, e.App); err != nil {
			return err
		}
		count, err := o.checkDuplicate(ctx, tx, e)
		if err != nil {
			return err
		}
		if count >= o.maxEndpoints {
			return fmt.Errorf("%w: the app has %d; see WithMaxEndpoints", ErrTooManyEndpoints, count)
		}
		return o.insertEndpoint(ctx, tx, e)
	})
	if err != nil {
		return Endpoint{}, Secret{}, wrap("creating endpoint", err)
	}
	return o.visible(e), shown, nil
}

// check applies all rules and sets Host.
func (o *Outbox) check(ctx context.Context, e *endpointRow) error {
	if err := o.checkSettings(e); err != nil {
		return err
	}
	to, _, err := o.target(e, time.Now())
	if err != nil {
		return &FieldError{Field: "SignatureHeader", Reason: err.Error(), cause: err}
	}
	if err := o.sender.Check(ctx, to); err != nil {
		return checkError(err)
	}
	e.Host = to.String()
	return nil
}

// checkError turns what the sender's check found into an error that names the field.
func checkError(err error) error {
	if fault, ok := errors.AsType[*sender.EndpointError](err); ok {
		field := fault.Field
		if field == "Signer" {
			field = "Scheme"
		}
		return &FieldError{Field: field, Reason: fault.Reason, cause: err}
	}
	if fault, ok := errors.AsType[*sender.AttemptError](err); ok && fault.Class != sender.ClassCanceled {
		return &FieldError{Field: "URL", Reason: "the host can't be resolved", cause: err}
	}
	return wrap("checking endpoint", err)
}

// visible is what callers get to see: a copy with the defaults filled in.
func (o *Outbox) visible(e *endpointRow) Endpoint {
	v := e.Endpoint
	v.Events, v.HeaderNames = slices.Clone(v.Events), slices.Clone(v.HeaderNames)
	v.RateLimit = rate(e.interval)
	return v
}

// Endpoint returns an endpoint, or [ErrUnknownEndpoint].
func (o *Outbox) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	if err := o.open(); err != nil {
		return Endpoint{}, err
	}
	e, _, err := o.readEndpoint(ctx, o.db, id)
	if err != nil {
		return Endpoint{}, err
	}
	return o.visible(e), nil
}

// Endpoints returns the endpoints of an app in the order they were made, or [ErrUnknownApp].
func (o *Outbox) Endpoints(ctx context.Context, app string) ([]Endpoint, error) {
	if err := o.open(); err != nil {
		return nil, err
	}
	if !storable(app) {
		return nil, fmt.Errorf("%w: %q", ErrUnknownApp, clean(app))
	}
	all, err := riverdb.Collect(ctx, o.db, func(r riverdb.Row) (Endpoint, error) {
		e, _, err := scanEndpoint(r)
		if err != nil {
			return Endpoint{}, err
		}
		return o.visible(e), nil
	}, `SELECT `+endpointColumns+` FROM {schema}outbox_endpoint WHERE app = ? ORDER BY id`, app)
	if err != nil {
		return nil, wrap("reading endpoints", err)
	}
	if len(all) == 0 {
		return nil, o.checkKnown(ctx, o.db, app)
	}
	return all, nil
}

// Apps returns the names of all apps, sorted.
func (o *Outbox) Apps(ctx context.Context) ([]string, error) {
	if err := o.open(); err != nil {
		return nil, err
	}
	apps, err := riverdb.Collect(ctx, o.db, func(r riverdb.Row) (app string, err error) { return app, r.Scan(&app) },
		`SELECT id FROM {schema}outbox_app ORDER BY id`)
	return apps, wrap("reading apps", err)
}

func (o *Outbox) checkKnown(ctx context.Context, q riverdb.Querier, app string) error {
	var n int64
	if err := q.QueryRow(ctx, `SELECT count(*) FROM {schema}outbox_app WHERE id = ?`, app).Scan(&n); err != nil {
		return wrap("reading app", err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %q; register it, or create an endpoint for it", ErrUnknownApp, app)
	}
	return nil
}

// UpdateEndpoint changes an endpoint's settings and checks them as [Outbox.CreateEndpoint] does. Deliveries that are waiting are
// sent with the new ones; their bodies stay as they are. A new URL makes a failing endpoint active.
func (o *Outbox) UpdateEndpoint(ctx context.Context, id string, u EndpointUpdate) (Endpoint, error) {
	if err := o.open(); err != nil {
		return Endpoint{}, err
	}
	// The check asks DNS, which is nothing to do inside a transaction. The version says whether it was for nothing.
	before, err := o.readOpen(ctx, o.db, id)
	if err != nil {
		return Endpoint{}, err
	}
	e := *before
	u.applyTo(&e)
	if err := o.check(ctx, &e); err != nil {
		return Endpoint{}, err
	}
	e.UpdatedAt = time.Now()
	err = o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		if err := o.lockApp(ctx, tx, e.App); err != nil {
			return err
		}
		if err := o.lockEndpoint(ctx, tx, id); err != nil {
			return err
		}
		now, _, err := o.readEndpoint(ctx, tx, id)
		if err != nil {
			return err
		}
		if now.version != before.version+1 { // the one is the lock's
			return errChanged
		}
		if _, err := o.checkDuplicate(ctx, tx, &e); err != nil {
			return err
		}
		if e.url.Reveal() != before.url.Reveal() {
			if err := o.resetHealth(ctx, tx, id); err != nil {
				return err
			}
		}
		if e.interval != before.interval {
			if err := o.resetTurns(ctx, tx, id); err != nil {
				return err
			}
		}
		return o.updateSettings(ctx, tx, &e)
	})
	if errors.Is(err, errChanged) {
		return o.UpdateEndpoint(ctx, id, u)
	}
	if err != nil {
		return Endpoint{}, wrap("updating endpoint", err)
	}
	if e.url.Reveal() != before.url.Reveal() {
		o.pullForward(ctx, id, wereHeld)
	}
	if e.interval != before.interval {
		o.pullForward(ctx, id, haveTurn)
	}
	return o.Endpoint(ctx, id)
}

// errChanged: someone else changed the endpoint meanwhile.
var errChanged = errors.New("outbox: changed meanwhile")

func (u EndpointUpdate) applyTo(e *endpointRow) {
	set(&e.url, u.URL)
	set(&e.Description, u.Description)
	set(&e.BodyFormat, u.BodyFormat)
	set(&e.Timeout, u.Timeout)
	set(&e.Schedule, u.Schedule)
	set(&e.MaxConcurrency, u.MaxConcurrency)
	set(&e.RateLimit, u.RateLimit)
	if u.Events != nil {
		e.Events = slices.Clone(*u.Events)
	}
	if u.Header != nil {
		e.header, e.HeaderNames = *u.Header, u.Header.Names()
	}
	e.BodyFormat = cmp.Or(e.BodyFormat, FormatJSON)
	e.Schedule = cmp.Or(e.Schedule, SchedulePlatform)
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// resetHealth forgets how an endpoint did, without enabling it.
func (o *Outbox) resetHealth(ctx context.Context, tx *riverdb.Tx, id string) error {
	_, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET failing_since = 0, hold_until = 0,
		reason = CASE WHEN state = ? THEN '' ELSE reason END,
		state = CASE WHEN state = ? THEN ? ELSE state END WHERE id = ?`,
		string(EndpointFailing), string(EndpointFailing), string(EndpointActive), id)
	return err
}

// wrap says what was being done when the database failed. Errors of this package stay as they are.
func wrap(doing string, err error) error {
	if err == nil || strings.HasPrefix(err.Error(), "outbox: ") {
		return err
	}
	return fmt.Errorf("outbox: %s: %w", doing, err)
}
