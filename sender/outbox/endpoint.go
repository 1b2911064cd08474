package outbox

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/sender"
)

// EndpointState says whether an endpoint gets deliveries. The values are
// stored.
type EndpointState string

const (
	// EndpointActive means that it gets deliveries.
	EndpointActive EndpointState = "active"
	// EndpointFailing means that it gets deliveries, but one has used up its
	// attempts, or none has succeeded for an hour. One success makes it active
	// again. Failing for longer than [WithDisableAfter] disables it.
	EndpointFailing EndpointState = "failing"
	// EndpointDisabled means that it gets nothing until [App.Enable].
	EndpointDisabled EndpointState = "disabled"
)

// EndpointConfig is a new endpoint. URL, Secret and Header are credentials.
// They are sealed in the database, and printing an EndpointConfig shows none of
// them.
type EndpointConfig struct {
	// URL takes the POST, from sender.NewURL, see sender.Endpoint. An app can't
	// have the same URL twice. Required.
	URL sender.URL
	// Description is for people, up to 1024 bytes without control characters.
	// Empty means none.
	Description string
	// BodyFormat is the format that the destination wants: [FormatJSON],
	// [FormatEnvelope] or a name of [WithFormat]. Empty means "json", the event
	// itself.
	BodyFormat string
	// Scheme says how deliveries are authenticated. Empty means [SchemeStandard].
	Scheme Scheme
	// SignatureHeader replaces the scheme's header name or prefix, if it has one
	// to replace. Empty means the scheme's own.
	SignatureHeader string
	// Secret is the key, from [NewSecret]. The zero Secret generates one, which
	// [App.CreateEndpoint] returns. SchemeBearer needs it given.
	Secret Secret
	// Events says which types the endpoint gets, see sender.ParseFilter. Empty
	// means all.
	Events []string
	// Header is sent with every attempt, from sender.NewHeader, see
	// sender.Endpoint. The zero Header means none.
	Header sender.Header
	// ClientCertificate is presented if the endpoint asks for one in the TLS
	// handshake, from [NewClientCertificate]. The URL must be https. It must not
	// have expired when it is entered. The zero value means no certificate.
	ClientCertificate ClientCertificate
	// Timeout bounds each attempt. Zero means the sender's own, 15 s, or that of
	// [WithMaxTimeout] if it is shorter. A negative one, and a longer one than
	// that of WithMaxTimeout, are errors.
	Timeout time.Duration
	// Schedule names the retry schedule, see [WithSchedule]. Empty means
	// "platform": 6 attempts over about 73 minutes.
	Schedule string
	// MaxConcurrency is the number of attempts that a process makes at once. Zero
	// means [WithMaxConcurrency]. A negative one and more than 5000 are errors.
	MaxConcurrency int
	// RateLimit is the number of attempts a second that all processes together
	// make at most, from one a day (1.0/86400) to 100,000. Zero means no limit.
	// Attempts are spaced evenly, also after a pause or a restart. A new limit
	// counts from the last attempt.
	RateLimit float64
	// Metadata is the application's own data about the endpoint. Empty means
	// none. At most 50 keys, each with 1 to 40 bytes and a value of up to 500
	// bytes, without control characters. It is not sealed, so it is no place for
	// credentials.
	Metadata map[string]string
	// IdempotencyKey names the creation, so that a caller that has lost the answer
	// can ask again. A second creation under the key returns the endpoint of the
	// first, without its secret. With other settings it is an error that wraps
	// [ErrKeyReused]. The name of a default, such as "json", is the same setting as
	// an empty field. Keys belong to an app, and end with the endpoint. 1 to 255
	// bytes of visible ASCII. Empty means none.
	IdempotencyKey string
	// Disabled creates the endpoint disabled. It gets nothing until [App.Enable],
	// except by [App.TestEndpoint].
	Disabled bool
}

// String shows the host.
func (c EndpointConfig) String() string {
	return fmt.Sprintf("endpoint at %s", sender.Endpoint{URL: c.URL})
}

// Format prints String whatever the verb is.
func (c EndpointConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String for log/slog.
func (c EndpointConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Endpoint is an endpoint without its URL, headers' values and keys. Its app
// can read the URL with [App.EndpointURL].
type Endpoint struct {
	ID, App         string
	Host            string // scheme and host of the URL
	Description     string
	BodyFormat      string
	Scheme          Scheme
	SignatureHeader string
	Events          []string
	HeaderNames     []string
	// CertificateSubject names the client certificate, and CertificateNotAfter is
	// its end. Both are zero without one.
	CertificateSubject  string
	CertificateNotAfter time.Time
	Timeout             time.Duration
	Schedule            string
	MaxConcurrency      int
	RateLimit           float64
	Metadata            map[string]string
	// Version is another number after each change that was asked for: of settings,
	// of the secret, or by [App.Enable] and [App.Disable]. See
	// EndpointUpdate.IfVersion.
	Version int64

	State EndpointState
	// Reason says why it is failing or disabled.
	Reason string
	// FailingSince is the start of the current run of failures. It is zero if the
	// last attempt succeeded.
	FailingSince time.Time
	// BreakerOpenUntil is until when its circuit breaker is open, after
	// consecutive failures. It is zero or past if the breaker is closed.
	BreakerOpenUntil                 time.Time
	DisabledAt, CreatedAt, UpdatedAt time.Time
}

// EndpointUpdate changes an endpoint. Nil fields stay as they are. A pointer to
// a zero value sets the default that [EndpointConfig] has for zero. The scheme
// of an endpoint can't change. Make another endpoint, or rotate the secret.
type EndpointUpdate struct {
	URL         *sender.URL
	Description *string
	BodyFormat  *string
	Events      *[]string      // an empty list means all
	Header      *sender.Header // an empty header removes all
	// ClientCertificate replaces the certificate. The zero one removes it.
	ClientCertificate *ClientCertificate
	Timeout           *time.Duration
	Schedule          *string
	MaxConcurrency    *int
	RateLimit         *float64
	Metadata          *map[string]string // replaces all of it; an empty map removes it
	// IfVersion is the Endpoint.Version that the change was made for. If the
	// endpoint has another one, the error wraps [ErrEndpointChanged]. Zero changes
	// the endpoint whatever its version is.
	IfVersion int64
}

// String shows which fields are set.
func (u EndpointUpdate) String() string {
	return fmt.Sprintf("endpoint update (URL %t, header %t, client certificate %t)", u.URL != nil, u.Header != nil, u.ClientCertificate != nil)
}

// endpointRow is a stored endpoint, unsealed.
type endpointRow struct {
	Endpoint
	url         sender.URL
	header      sender.Header
	certificate sender.ClientCertificate
	keys        []storedKey
	creation    creation
	interval    time.Duration // between attempts, from RateLimit
}

// key names the endpoint by its app and ID.
func (e *endpointRow) key() owned { return owned{app: e.App, id: e.ID} }

// Format prints String whatever the verb is, so that %#v does not show what %v
// hides.
func (u EndpointUpdate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }
