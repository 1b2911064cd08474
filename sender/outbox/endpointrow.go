package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/sender"
)

// endpointColumns are read by scanEndpoint, in this order.
const endpointColumns = `id, app, version, state, reason, created_at, updated_at, failing_since, disabled_at, hold_until, host,
	description, format, scheme, signature_header, events, header_names, timeout, schedule, concurrency, spacing,
	url, header, keys`

// sealed are the columns that only a key opens.
type sealed struct{ url, header, keys []byte }

func scanEndpoint(r riverdb.Row) (*endpointRow, sealed, error) {
	var (
		e                                                   endpointRow
		s                                                   sealed
		created, updated, failing, disabled, hold           int64
		state, scheme, events, headerNames                  string
		timeout, concurrency, spacing                       int64
		id, app, reason, host, description, format, sigHead string
		schedule                                            string
	)
	err := r.Scan(&id, &app, &e.version, &state, &reason, &created, &updated, &failing, &disabled, &hold, &host,
		&description, &format, &scheme, &sigHead, &events, &headerNames, &timeout, &schedule, &concurrency, &spacing,
		&s.url, &s.header, &s.keys)
	if err != nil {
		return nil, s, err
	}
	e.interval = time.Duration(spacing) * time.Microsecond
	e.Endpoint = Endpoint{
		ID: id, App: app, Host: host, Description: description, BodyFormat: format, Scheme: Scheme(scheme),
		SignatureHeader: sigHead, Timeout: time.Duration(timeout) * time.Microsecond, Schedule: schedule,
		MaxConcurrency: int(concurrency), RateLimit: rate(e.interval), State: EndpointState(state), Reason: reason,
		FailingSince: fromMicros(failing), HoldUntil: fromMicros(hold), DisabledAt: fromMicros(disabled),
		CreatedAt: fromMicros(created), UpdatedAt: fromMicros(updated),
	}
	if err := json.Unmarshal([]byte(events), &e.Events); err != nil {
		return nil, s, fmt.Errorf("outbox: endpoint %s: events: %w", id, err)
	}
	if err := json.Unmarshal([]byte(headerNames), &e.HeaderNames); err != nil {
		return nil, s, fmt.Errorf("outbox: endpoint %s: header names: %w", id, err)
	}
	return &e, s, nil
}

// readEndpoint returns an endpoint with its sealed columns as they are.
func (o *Outbox) readEndpoint(ctx context.Context, q riverdb.Querier, id string) (*endpointRow, sealed, error) {
	if !storable(id) {
		return nil, sealed{}, fmt.Errorf("%w: %s", ErrUnknownEndpoint, clean(id))
	}
	e, s, err := scanEndpoint(q.QueryRow(ctx, `SELECT `+endpointColumns+` FROM {schema}outbox_endpoint WHERE id = ?`, id))
	if errors.Is(err, riverdb.ErrNoRows) {
		return nil, s, fmt.Errorf("%w: %s", ErrUnknownEndpoint, id)
	}
	if err != nil {
		return nil, s, fmt.Errorf("outbox: reading endpoint %s: %w", id, err)
	}
	return e, s, nil
}

// readOpen returns an endpoint with its sealed columns opened.
func (o *Outbox) readOpen(ctx context.Context, q riverdb.Querier, id string) (*endpointRow, error) {
	e, s, err := o.readEndpoint(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return e, o.unseal(e, s)
}

func (o *Outbox) unseal(e *endpointRow, s sealed) error {
	address, err := o.keys.open(e.ID, columnURL, s.url)
	if err != nil {
		return err
	}
	header, err := o.keys.open(e.ID, columnHeader, s.header)
	if err != nil {
		return err
	}
	keys, err := o.keys.open(e.ID, columnKeys, s.keys)
	if err != nil {
		return err
	}
	e.url = sender.NewURL(string(address))
	var values http.Header
	if err := json.Unmarshal(header, &values); err != nil {
		return fmt.Errorf("%w: endpoint %s: what column header holds is not a header", ErrUnseal, e.ID)
	}
	e.header = sender.NewHeader(values)
	if err := json.Unmarshal(keys, &e.keys); err != nil {
		return fmt.Errorf("%w: endpoint %s: what column keys holds are not keys", ErrUnseal, e.ID)
	}
	return nil
}

func (o *Outbox) sealRow(e *endpointRow) (sealed, error) {
	header, err := json.Marshal(e.header.Reveal())
	if err != nil {
		return sealed{}, fmt.Errorf("outbox: header of endpoint %s: %w", e.ID, err)
	}
	keys, err := json.Marshal(e.keys)
	if err != nil {
		return sealed{}, fmt.Errorf("outbox: keys of endpoint %s: %w", e.ID, err)
	}
	return sealed{
		url:    o.keys.seal(e.ID, columnURL, []byte(e.url.Reveal())),
		header: o.keys.seal(e.ID, columnHeader, header),
		keys:   o.keys.seal(e.ID, columnKeys, keys),
	}, nil
}

// list is a JSON array, never null.
func list(items []string) string {
	if items == nil {
		items = []string{}
	}
	b, _ := json.Marshal(items) // strings always marshal
	return string(b)
}

func (o *Outbox) insertEndpoint(ctx context.Context, tx *riverdb.Tx, e *endpointRow) error {
	s, err := o.sealRow(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO {schema}outbox_endpoint (id, app, version, state, reason, created_at, updated_at, host,
		description, format, scheme, signature_header, events, header_names, timeout, schedule, concurrency, spacing, url, header, keys)
		VALUES (?, ?, 1, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, e.App, string(e.State), micros(e.CreatedAt), micros(e.CreatedAt), e.Host, e.Description, e.BodyFormat, string(e.Scheme),
		e.SignatureHeader, list(e.Events), list(e.HeaderNames), e.Timeout.Microseconds(), e.Schedule, int64(e.MaxConcurrency),
		e.interval.Microseconds(), s.url, s.header, s.keys)
	return err
}

// updateSettings writes settings; keys and state are left alone.
func (o *Outbox) updateSettings(ctx context.Context, tx *riverdb.Tx, e *endpointRow) error {
	s, err := o.sealRow(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET version = version + 1, updated_at = ?, host = ?, description = ?,
		format = ?, events = ?, header_names = ?, timeout = ?, schedule = ?, concurrency = ?, spacing = ?, url = ?, header = ?
		WHERE id = ?`,
		micros(e.UpdatedAt), e.Host, e.Description, e.BodyFormat, list(e.Events), list(e.HeaderNames), e.Timeout.Microseconds(),
		e.Schedule, int64(e.MaxConcurrency), e.interval.Microseconds(), s.url, s.header, e.ID)
	return err
}

// updateSealed writes what is sealed, all of it: e must have been read after lockEndpoint.
func (o *Outbox) updateSealed(ctx context.Context, tx *riverdb.Tx, e *endpointRow) error {
	s, err := o.sealRow(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET version = version + 1, updated_at = ?, url = ?, header = ?, keys = ? WHERE id = ?`,
		micros(e.UpdatedAt), s.url, s.header, s.keys, e.ID)
	return err
}

// normalURL is what two URLs of an app are compared by: scheme and host have many spellings.
func normalURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return strings.TrimRight(text, "/")
	}
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme] // Parse has made it lower case
	}
	u.Host = net.JoinHostPort(host, port)
	return strings.TrimRight(u.String(), "/")
}

// checkDuplicate reports whether the app has another endpoint with the URL. URLs are sealed, so each has to be opened; an app
// has few endpoints, and its row is locked meanwhile.
func (o *Outbox) checkDuplicate(ctx context.Context, tx *riverdb.Tx, e *endpointRow) (count int, err error) {
	type pair struct {
		id  string
		url []byte
	}
	others, err := riverdb.Collect(ctx, tx, func(r riverdb.Row) (p pair, err error) {
		return p, r.Scan(&p.id, &p.url)
	}, `SELECT id, url FROM {schema}outbox_endpoint WHERE app = ? AND id <> ?`, e.App, e.ID)
	if err != nil {
		return 0, err
	}
	for _, other := range others {
		address, err := o.keys.open(other.id, columnURL, other.url)
		if err != nil {
			return 0, err
		}
		if normalURL(string(address)) == normalURL(e.url.Reveal()) {
			return 0, fmt.Errorf("%w: %s has the same URL", ErrDuplicateEndpoint, other.id)
		}
	}
	return len(others), nil
}
