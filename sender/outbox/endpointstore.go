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

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender"
)

// endpointStore reads and writes apps and endpoints, and seals the columns that
// hold credentials.
type endpointStore struct {
	db   *jobdb.DB
	keys *keyring
}

// endpointColumns are read by scanEndpoint, in this order. More columns may
// follow.
const endpointColumns = `id, app, version, state, reason, created_at, updated_at, failing_since, disabled_at, breaker_open_until, host,
	description, format, scheme, signature_header, events, header_names, certificate_subject, certificate_not_after, timeout, schedule,
	concurrency, spacing, metadata, url, header, keys, certificate, creation_key, creation`

// sealed are the columns that only a key opens.
type sealed struct{ url, header, keys, certificate, creation []byte }

func scanEndpoint(r jobdb.Row, more ...any) (*endpointRow, sealed, error) {
	var (
		e                                             endpointRow
		s                                             sealed
		created, updated, failing, disabled, openTill int64
		state, scheme, events, headerNames, metadata  string
		timeout, concurrency, spacing, certificateEnd int64
	)
	dest := []any{
		&e.ID, &e.App, &e.Version, &state, &e.Reason, &created, &updated, &failing, &disabled, &openTill, &e.Host,
		&e.Description, &e.BodyFormat, &scheme, &e.SignatureHeader, &events, &headerNames, &e.CertificateSubject, &certificateEnd, &timeout, &e.Schedule,
		&concurrency, &spacing, &metadata, &s.url, &s.header, &s.keys, &s.certificate, &e.creation.key, &s.creation,
	}
	err := r.Scan(append(dest, more...)...)
	if err != nil {
		return nil, s, err
	}
	e.Scheme, e.State = Scheme(scheme), EndpointState(state)
	e.interval = time.Duration(spacing) * time.Microsecond
	e.Timeout, e.MaxConcurrency, e.RateLimit = time.Duration(timeout)*time.Microsecond, int(concurrency), rate(e.interval)
	e.FailingSince, e.BreakerOpenUntil, e.DisabledAt = fromMicros(failing), fromMicros(openTill), fromMicros(disabled)
	e.CreatedAt, e.UpdatedAt, e.CertificateNotAfter = fromMicros(created), fromMicros(updated), fromMicros(certificateEnd)
	if err := json.Unmarshal([]byte(events), &e.Events); err != nil {
		return nil, s, fmt.Errorf("outbox: endpoint %s: events: %w", e.ID, err)
	}
	if err := json.Unmarshal([]byte(headerNames), &e.HeaderNames); err != nil {
		return nil, s, fmt.Errorf("outbox: endpoint %s: header names: %w", e.ID, err)
	}
	if err := json.Unmarshal([]byte(metadata), &e.Metadata); err != nil {
		return nil, s, fmt.Errorf("outbox: endpoint %s: metadata: %w", e.ID, err)
	}
	return &e, s, nil
}

func unknownEndpoint(id string) error { return fmt.Errorf("%w: %s", ErrUnknownEndpoint, clean(id)) }

// read returns an endpoint without what is sealed, and its sealed columns. The
// ID must not come from outside.
func (s *endpointStore) read(ctx context.Context, q jobdb.Querier, id string) (*endpointRow, sealed, error) {
	return s.readWhere(ctx, q, id, `id = ?`, id)
}

// find is read for an ID from outside.
func (s *endpointStore) find(ctx context.Context, q jobdb.Querier, k owned) (*endpointRow, sealed, error) {
	if !k.storable() {
		return nil, sealed{}, unknownEndpoint(k.id)
	}
	return s.readWhere(ctx, q, k.id, `app = ? AND id = ?`, k.app, k.id)
}

func (s *endpointStore) readWhere(ctx context.Context, q jobdb.Querier, id, where string, args ...any) (*endpointRow, sealed, error) {
	e, columns, err := scanEndpoint(q.QueryRow(ctx, `SELECT `+endpointColumns+` FROM {schema}outbox_endpoint WHERE `+where, args...))
	if errors.Is(err, jobdb.ErrNoRows) {
		return nil, columns, unknownEndpoint(id)
	}
	if err != nil {
		return nil, columns, fmt.Errorf("outbox: reading endpoint %s: %w", id, err)
	}
	return e, columns, nil
}

// findUnsealed is find, and opens the sealed columns.
func (s *endpointStore) findUnsealed(ctx context.Context, q jobdb.Querier, k owned) (*endpointRow, error) {
	e, columns, err := s.find(ctx, q, k)
	if err != nil {
		return nil, err
	}
	return e, s.keys.openEndpoint(e, columns)
}

// readUnsealed is read, and opens the sealed columns.
func (s *endpointStore) readUnsealed(ctx context.Context, q jobdb.Querier, id string) (*endpointRow, error) {
	e, columns, err := s.read(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return e, s.keys.openEndpoint(e, columns)
}

// list returns the endpoints of an app in the order of their creation.
func (s *endpointStore) list(ctx context.Context, app string) ([]Endpoint, error) {
	all, err := jobdb.Collect(ctx, s.db.Reader(), func(r jobdb.Row) (Endpoint, error) {
		e, _, err := scanEndpoint(r)
		if err != nil {
			return Endpoint{}, err
		}
		return e.visible(), nil
	}, `SELECT `+endpointColumns+` FROM {schema}outbox_endpoint WHERE app = ? ORDER BY id`, app)
	if err != nil {
		return nil, wrap("reading endpoints", err)
	}
	if len(all) == 0 {
		return nil, requireApp(ctx, s.db.Reader(), app)
	}
	return all, nil
}

// openEndpoint opens the sealed columns of an endpoint.
func (r *keyring) openEndpoint(e *endpointRow, s sealed) error {
	address, err := r.open(e.binding(), columnURL, s.url)
	if err != nil {
		return err
	}
	header, err := r.open(e.binding(), columnHeader, s.header)
	if err != nil {
		return err
	}
	keys, err := r.open(e.binding(), columnKeys, s.keys)
	if err != nil {
		return err
	}
	certificate, err := r.open(e.binding(), columnCertificate, s.certificate)
	if err != nil {
		return err
	}
	if e.creation.digest, err = r.open(e.binding(), columnCreation, s.creation); err != nil {
		return err
	}
	if e.certificate, err = decodeCertificate(certificate); err != nil {
		return fmt.Errorf("%w: endpoint %s: column certificate does not hold a certificate", ErrUnseal, e.ID)
	}
	e.url = sender.NewURL(string(address))
	var values http.Header
	if err := json.Unmarshal(header, &values); err != nil {
		return fmt.Errorf("%w: endpoint %s: column header does not hold a header", ErrUnseal, e.ID)
	}
	e.header = sender.NewHeader(values)
	if e.keys, err = decodeKeys(keys); err != nil {
		return fmt.Errorf("%w: endpoint %s: column keys does not hold keys", ErrUnseal, e.ID)
	}
	return nil
}

func (r *keyring) sealEndpoint(e *endpointRow) (sealed, error) {
	header, err := json.Marshal(e.header.Reveal())
	if err != nil {
		return sealed{}, fmt.Errorf("outbox: header of endpoint %s: %w", e.ID, err)
	}
	keys, err := encodeKeys(e.keys)
	if err != nil {
		return sealed{}, fmt.Errorf("outbox: keys of endpoint %s: %w", e.ID, err)
	}
	certificate, err := encodeCertificate(e.certificate)
	if err != nil {
		return sealed{}, fmt.Errorf("outbox: client certificate of endpoint %s: %w", e.ID, err)
	}
	return sealed{
		url:         r.seal(e.binding(), columnURL, []byte(e.url.Reveal())),
		header:      r.seal(e.binding(), columnHeader, header),
		keys:        r.seal(e.binding(), columnKeys, keys),
		certificate: r.seal(e.binding(), columnCertificate, certificate),
		creation:    r.seal(e.binding(), columnCreation, e.creation.digest),
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

// object is a JSON object, never null.
func object(m map[string]string) string {
	if m == nil {
		return `{}`
	}
	b, _ := json.Marshal(m) // maps of strings always marshal
	return string(b)
}

func (s *endpointStore) insert(ctx context.Context, tx *jobdb.Tx, e *endpointRow) error {
	columns, err := s.keys.sealEndpoint(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO {schema}outbox_endpoint (id, app, version, state, reason, created_at, updated_at,
		disabled_at, host, description, format, scheme, signature_header, events, header_names, certificate_subject,
		certificate_not_after, timeout, schedule, concurrency, spacing, metadata, url, header, keys, certificate,
		creation_key, creation)
		VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, e.App, string(e.State), e.Reason, micros(e.CreatedAt), micros(e.CreatedAt), micros(e.DisabledAt), e.Host, e.Description, e.BodyFormat, string(e.Scheme),
		e.SignatureHeader, list(e.Events), list(e.HeaderNames), e.CertificateSubject, micros(e.CertificateNotAfter),
		e.Timeout.Microseconds(), e.Schedule, int64(e.MaxConcurrency), e.interval.Microseconds(),
		object(e.Metadata), columns.url, columns.header, columns.keys, columns.certificate, e.creation.key, columns.creation)
	return err
}

// updateSettings writes settings. It does not change keys and state.
func (s *endpointStore) updateSettings(ctx context.Context, tx *jobdb.Tx, e *endpointRow) error {
	columns, err := s.keys.sealEndpoint(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET version = version + 1, updated_at = ?, host = ?, description = ?,
		format = ?, events = ?, header_names = ?, certificate_subject = ?, certificate_not_after = ?, timeout = ?, schedule = ?,
		concurrency = ?, spacing = ?, metadata = ?, url = ?, header = ?, certificate = ? WHERE app = ? AND id = ?`,
		micros(e.UpdatedAt), e.Host, e.Description, e.BodyFormat, list(e.Events), list(e.HeaderNames), e.CertificateSubject,
		micros(e.CertificateNotAfter), e.Timeout.Microseconds(), e.Schedule, int64(e.MaxConcurrency), e.interval.Microseconds(),
		object(e.Metadata), columns.url, columns.header, columns.certificate, e.App, e.ID)
	return err
}

// updateSealed writes all sealed columns. The endpoint must have been read
// after lock.
func (s *endpointStore) updateSealed(ctx context.Context, tx *jobdb.Tx, e *endpointRow) error {
	columns, err := s.keys.sealEndpoint(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET version = version + 1, updated_at = ?, url = ?, header = ?, keys = ?,
		certificate = ?, creation = ? WHERE app = ? AND id = ?`,
		micros(e.UpdatedAt), columns.url, columns.header, columns.keys, columns.certificate, columns.creation, e.App, e.ID)
	return err
}

// lock makes other changes of the endpoint wait until the transaction has
// ended.
func (s *endpointStore) lock(ctx context.Context, tx *jobdb.Tx, k owned) error {
	return changeOne(ctx, tx, k, `UPDATE {schema}outbox_endpoint SET version = version + 1 WHERE app = ? AND id = ?`)
}

// changeOne runs a statement that changes one endpoint. It ends with the
// condition "app = ? AND id = ?".
func changeOne(ctx context.Context, q jobdb.Querier, k owned, statement string, args ...any) error {
	if !k.storable() {
		return unknownEndpoint(k.id)
	}
	n, err := q.Exec(ctx, statement, append(args, k.app, k.id)...)
	if err == nil && n == 0 {
		return unknownEndpoint(k.id)
	}
	return err
}

// resetHealth forgets the failures of an endpoint. It does not enable one.
func (s *endpointStore) resetHealth(ctx context.Context, tx *jobdb.Tx, k owned) error {
	_, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET failing_since = 0, breaker_open_until = 0,
		reason = CASE WHEN state = ? THEN '' ELSE reason END,
		state = CASE WHEN state = ? THEN ? ELSE state END WHERE app = ? AND id = ?`,
		string(EndpointFailing), string(EndpointFailing), string(EndpointActive), k.app, k.id)
	return err
}

// rouse wakes up the endpoint's due deliveries, since the reason why they wait
// may be gone. After the commit, call waker.notice.
func (s *endpointStore) rouse(ctx context.Context, tx *jobdb.Tx, k owned) error {
	_, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET wake = wake + 1 WHERE app = ? AND id = ?`, k.app, k.id)
	return err
}

// normalURL returns the form in which the URLs of an app are compared, since
// scheme and host have many spellings.
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

// checkDuplicate returns an error if the app has another endpoint with the URL,
// and otherwise how many other endpoints it has. URLs are sealed, so each has
// to be opened. An app has few endpoints, and its row is locked meanwhile.
func (s *endpointStore) checkDuplicate(ctx context.Context, tx *jobdb.Tx, e *endpointRow) (count int, err error) {
	type other struct {
		id, scheme string
		url        []byte
	}
	others, err := jobdb.Collect(ctx, tx, func(r jobdb.Row) (o other, err error) {
		return o, r.Scan(&o.id, &o.scheme, &o.url)
	}, `SELECT id, scheme, url FROM {schema}outbox_endpoint WHERE app = ? AND id <> ?`, e.App, e.ID)
	if err != nil {
		return 0, err
	}
	for _, o := range others {
		address, err := s.keys.open(binding{o.id, e.App, Scheme(o.scheme)}, columnURL, o.url)
		if err != nil {
			return 0, err
		}
		if normalURL(string(address)) == normalURL(e.url.Reveal()) {
			return 0, fmt.Errorf("%w: %s has the same URL", ErrDuplicateEndpoint, o.id)
		}
	}
	return len(others), nil
}
