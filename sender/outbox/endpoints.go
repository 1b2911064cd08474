package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender"
)

// CreateEndpoint checks and stores a new endpoint. It also returns the secret
// that the customer needs to verify deliveries. Show it now, since it is never
// returned again.
//
// The URL, headers and filter are checked as every attempt will check them, see
// sender.Sender.Check. The host is resolved, and addresses that are not public
// are refused. Errors: [*FieldError], [ErrDuplicateEndpoint],
// [ErrTooManyEndpoints], [ErrKeyReused]. Nothing is sent, see
// [App.TestEndpoint].
//
// The first endpoint registers the app. A name that [Outbox.RegisterApp]
// refuses is a [*FieldError] for the field App.
func (a *App) CreateEndpoint(ctx context.Context, c EndpointConfig) (Endpoint, Secret, error) {
	if err := a.open(); err != nil {
		return Endpoint{}, Secret{}, err
	}
	if err := checkApp(a.name); err != nil {
		return Endpoint{}, Secret{}, err
	}
	e, shown, err := c.row(a.name, time.Now())
	if err != nil {
		return Endpoint{}, Secret{}, err
	}
	if err := a.o.rules.check(ctx, e); err != nil {
		return Endpoint{}, Secret{}, err
	}
	var earlier *endpointRow
	err = a.o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
		if err := lockApp(ctx, tx, e.App); err != nil {
			return err
		}
		if earlier, err = a.o.endpoints.created(ctx, tx, e); err != nil || earlier != nil {
			return err
		}
		count, err := a.o.endpoints.checkDuplicate(ctx, tx, e)
		if err != nil {
			return err
		}
		if count >= a.o.maxEndpoints {
			return fmt.Errorf("%w: the app has %d; see WithMaxEndpoints", ErrTooManyEndpoints, count)
		}
		return a.o.endpoints.insert(ctx, tx, e)
	})
	if err != nil {
		return Endpoint{}, Secret{}, wrap("creating endpoint", err)
	}
	if earlier != nil {
		return earlier.visible(), Secret{}, nil
	}
	return e.visible(), shown, nil
}

// row returns a new endpoint with the defaults filled in, and its secret.
func (c EndpointConfig) row(app string, now time.Time) (*endpointRow, Secret, error) {
	e := &endpointRow{
		Endpoint: Endpoint{
			ID: newID(endpointPrefix), App: app, Description: c.Description, BodyFormat: cmp.Or(c.BodyFormat, FormatJSON),
			Scheme: cmp.Or(c.Scheme, SchemeStandard), SignatureHeader: c.SignatureHeader, Events: slices.Clone(c.Events),
			Timeout: c.Timeout, Schedule: cmp.Or(c.Schedule, SchedulePlatform), MaxConcurrency: c.MaxConcurrency,
			RateLimit: c.RateLimit, State: EndpointActive, Version: 1, CreatedAt: now, UpdatedAt: now, HeaderNames: c.Header.Names(),
			Metadata: maps.Clone(c.Metadata),
		},
		url: c.URL, header: c.Header,
	}
	if err := e.setCreation(&c); err != nil {
		return nil, Secret{}, err
	}
	if c.Disabled {
		e.State, e.Reason, e.DisabledAt = EndpointDisabled, "it was created disabled", now
	}
	if err := e.setCertificate(c.ClientCertificate, now); err != nil {
		return nil, Secret{}, err
	}
	key, shown, err := e.Scheme.newKey(c.Secret.Reveal())
	if err == nil && e.Scheme != InsecureUnsigned {
		e.keys = []storedKey{key}
	}
	return e, shown, err
}

// visible returns what callers see.
func (e *endpointRow) visible() Endpoint {
	v := e.Endpoint
	v.Events, v.HeaderNames = slices.Clone(v.Events), slices.Clone(v.HeaderNames)
	v.RateLimit, v.Metadata = rate(e.interval), nil
	if len(e.Metadata) > 0 {
		v.Metadata = maps.Clone(e.Metadata)
	}
	return v
}

// Endpoint returns an endpoint, or [ErrUnknownEndpoint].
func (a *App) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	if err := a.open(); err != nil {
		return Endpoint{}, err
	}
	e, _, err := a.o.endpoints.find(ctx, a.o.db.Reader(), a.of(id))
	if err != nil {
		return Endpoint{}, err
	}
	return e.visible(), nil
}

// EndpointURL returns the URL of an endpoint, or [ErrUnknownEndpoint]. The URL
// may be a credential, so show it to the app's owner alone. Printing it shows
// scheme and host. Use Reveal to get its text.
func (a *App) EndpointURL(ctx context.Context, id string) (sender.URL, error) {
	if err := a.open(); err != nil {
		return sender.URL{}, err
	}
	e, err := a.o.endpoints.findUnsealed(ctx, a.o.db.Reader(), a.of(id))
	if err != nil {
		return sender.URL{}, err
	}
	return e.url, nil
}

// Endpoints returns the app's endpoints in the order of their creation, or
// [ErrUnknownApp].
func (a *App) Endpoints(ctx context.Context) ([]Endpoint, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	if !storable(a.name) {
		return nil, unknownApp(a.name)
	}
	return a.o.endpoints.list(ctx, a.name)
}

// UpdateEndpoint changes an endpoint's settings and checks them as
// [App.CreateEndpoint] does. Waiting deliveries are sent with the new settings.
// Their bodies stay as they are. A new URL or client certificate makes a
// failing endpoint active. Errors: [*FieldError], [ErrDuplicateEndpoint],
// [ErrUnknownEndpoint], and [ErrEndpointChanged] for EndpointUpdate.IfVersion.
func (a *App) UpdateEndpoint(ctx context.Context, id string, u EndpointUpdate) (Endpoint, error) {
	if err := a.open(); err != nil {
		return Endpoint{}, err
	}
	for {
		// The check asks DNS, which does not belong in a transaction. The version
		// tells whether the endpoint has changed since.
		before, err := a.o.endpoints.findUnsealed(ctx, a.o.db.Reader(), a.of(id))
		if err != nil {
			return Endpoint{}, err
		}
		if u.IfVersion != 0 && u.IfVersion != before.Version {
			return Endpoint{}, fmt.Errorf("%w: %s has version %d", ErrEndpointChanged, clean(id), before.Version)
		}
		after := *before
		if err := u.applyTo(&after, time.Now()); err != nil {
			return Endpoint{}, err
		}
		if err := a.o.rules.check(ctx, &after); err != nil {
			return Endpoint{}, err
		}
		after.UpdatedAt = time.Now()
		err = a.o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			return a.o.endpoints.update(ctx, tx, before, &after)
		})
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return Endpoint{}, wrap("updating endpoint", err)
		}
		a.o.waker.notice()
		return a.Endpoint(ctx, id)
	}
}

// errChanged means that another caller has changed the endpoint meanwhile.
var errChanged = errors.New("outbox: changed meanwhile")

// update writes new settings, or returns errChanged.
func (s *endpointStore) update(ctx context.Context, tx *jobdb.Tx, before, after *endpointRow) error {
	if err := lockApp(ctx, tx, after.App); err != nil {
		return err
	}
	if err := s.lock(ctx, tx, after.key()); err != nil {
		return err
	}
	now, _, err := s.find(ctx, tx, after.key())
	if err != nil {
		return err
	}
	if now.Version != before.Version+1 { // lock has added one
		return errChanged
	}
	if _, err := s.checkDuplicate(ctx, tx, after); err != nil {
		return err
	}
	if after.reconnects(before) {
		if err := s.resetHealth(ctx, tx, after.key()); err != nil {
			return err
		}
	}
	if after.reconnects(before) || after.interval != before.interval {
		if err := s.rouse(ctx, tx, after.key()); err != nil {
			return err
		}
	}
	return s.updateSettings(ctx, tx, after)
}

// reconnects reports whether deliveries go elsewhere, or with another
// certificate, so that earlier failures say nothing.
func (e *endpointRow) reconnects(before *endpointRow) bool {
	return e.url.Reveal() != before.url.Reveal() || !e.certificate.Equal(before.certificate)
}

func (u EndpointUpdate) applyTo(e *endpointRow, now time.Time) error {
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
	if u.Metadata != nil {
		e.Metadata = maps.Clone(*u.Metadata)
	}
	if u.Header != nil {
		e.header, e.HeaderNames = *u.Header, u.Header.Names()
	}
	e.BodyFormat = cmp.Or(e.BodyFormat, FormatJSON)
	e.Schedule = cmp.Or(e.Schedule, SchedulePlatform)
	if u.ClientCertificate != nil {
		return e.setCertificate(*u.ClientCertificate, now)
	}
	return nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// DeleteEndpoint removes an endpoint with its URL and secrets, and cancels its
// waiting deliveries. Its log stays until it is pruned.
func (a *App) DeleteEndpoint(ctx context.Context, id string) error {
	if err := a.open(); err != nil {
		return err
	}
	if err := changeOne(ctx, a.o.db, a.of(id), `DELETE FROM {schema}outbox_endpoint WHERE app = ? AND id = ?`); err != nil {
		return wrap("deleting endpoint", err)
	}
	return a.o.health.cancelPending(ctx, a.of(id), "the endpoint was deleted")
}

// Enable makes an endpoint active again, and forgets its failures. What it
// missed while it was disabled is not sent, unless [WithMissed] says so.
// [App.Missed] counts it, and [App.SendMissed] sends it later.
func (a *App) Enable(ctx context.Context, id string, opts ...EnableOption) error {
	if err := a.open(); err != nil {
		return err
	}
	c, err := newEnableConfig(opts)
	if err != nil {
		return err
	}
	var since time.Time
	if c.missed {
		if since, err = a.missedSince(ctx, id); err != nil {
			return wrap("enabling endpoint", err)
		}
	}
	err = changeOne(ctx, a.o.db, a.of(id), `UPDATE {schema}outbox_endpoint SET state = ?, reason = '', failing_since = 0,
		breaker_open_until = 0, disabled_at = 0, wake = wake + 1, version = version + 1 WHERE app = ? AND id = ?`, string(EndpointActive))
	if err != nil {
		return wrap("enabling endpoint", err)
	}
	a.o.waker.notice()
	if since.IsZero() { // nothing is to be sent, or it was not disabled
		return nil
	}
	_, err = a.SendMissed(ctx, id, since, c.replay...)
	return err
}

// Disable stops an endpoint. It gets no new deliveries, and its waiting ones
// are canceled. An attempt in flight is finished. reason is for people and is
// shown in Endpoint.Reason. The app's other endpoints get an event of the type
// endpoint.disabled, and the hook gets a notice. Disabling a disabled endpoint
// changes nothing.
//
// An endpoint is disabled in the same way when it answers 410, and when it has
// failed for as long as [WithDisableAfter] says.
func (a *App) Disable(ctx context.Context, id, reason string) error {
	if err := a.open(); err != nil {
		return err
	}
	notices, err := a.o.health.disable(ctx, a.of(id), nil, clean(reason), "")
	a.o.notifier.notify(ctx, notices...)
	return err
}
