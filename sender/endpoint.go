package sender

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

// Endpoint is where deliveries go and how they are authenticated. It is a plain value; a Sender does not keep it, so
// that endpoints may come from a database. [Sender.Check] checks one when it is entered, and every attempt
// checks it again.
//
// URL and Header may be credentials. Their types hide them, in whatever field an Endpoint stands. Printing an
// Endpoint, with any fmt verb or as a slog value, shows scheme and host.
type Endpoint struct {
	// URL takes the POST, from [NewURL]: absolute, https (see [AllowNetworks] and [InsecureHTTP] for http), without user information
	// and fragment, its host in ASCII. Required.
	URL URL

	// Signer authenticates each attempt. Required: an endpoint without one is refused, since a receiver could not
	// tell its deliveries from forged ones. For a destination whose URL is the credential, see [InsecureUnsigned].
	//
	// An attempt waits for its signer until its timeout. A signer that calls a
	// service must end with its context, see [signer.Signer]. A panic in it fails
	// the attempt, see [Sender.Faults].
	Signer signer.Signer

	// BodyFormat turns events into the body that the destination wants. Nil means the event itself, as JSON. [Sender.Send],
	// [Sender.Message] and [Endpoint.Message] use it; messages that exist are sent as they are.
	//
	// Send waits for it until its context ends. A panic in it is Send's error.
	//
	// (It can't be named Format: that is the method by which no fmt verb shows the URL.)
	BodyFormat Format

	// Events says which types of event the endpoint gets: exact types ("deploy.failed"), families ("deploy.*") or all
	// ("*"). Empty means all. See [ParseFilter].
	Events []string

	// Header is sent with every attempt, from [NewHeader]: an API key, a routing hint. At most 32 values and 8 KiB. Refused are headers
	// that the sender sets itself or must not send: Host, Content-*, User-Agent, Accept-Encoding, Idempotency-Key,
	// X-Idempotency-Key, everything that belongs to the connection (RFC 9110 section 7.6.1), and those of signatures.
	Header Header

	// ClientCertificate is what the endpoint asks for in the TLS handshake, from
	// [NewClientCertificate]. Default none. It needs a URL with https.
	ClientCertificate ClientCertificate

	// Timeout bounds each attempt, from resolving the host to the end of the answer's body. Zero means the Sender's
	// own (see [WithTimeout]); negative is an error, as is more than 10 minutes.
	Timeout time.Duration
}

// Accepts reports whether the endpoint's filter takes events of type t. A pattern that is malformed matches
// nothing; [Sender.Check] reports it.
func (e Endpoint) Accepts(t payload.Type) bool {
	if len(e.Events) == 0 {
		return true
	}
	for _, p := range e.Events {
		if matches(p, string(t)) {
			return true
		}
	}
	return false
}

// String shows scheme and host.
func (e Endpoint) String() string {
	u, err := parseURL(e.URL.Reveal())
	if err != nil {
		return "endpoint with an invalid URL"
	}
	return origin(u)
}

// Format prints String whatever the verb is, so that %#v and %q do not show what %v hides.
func (e Endpoint) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(e.String())) }

// LogValue is String for log/slog.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// InsecureUnsigned returns a Signer that signs nothing, for destinations whose URL, or a header in Endpoint.Header, is
// the whole credential: chat services' incoming webhooks and the like.
//
// What is lost: whoever learns the URL can forge deliveries, and nothing shows that a body was altered on its way by a
// proxy that ends TLS. Never use it for a receiver that can verify signatures.
func InsecureUnsigned() signer.Signer { return unsigned{} }

type unsigned struct{}

func (unsigned) Sign(context.Context, *http.Request, string, time.Time, []byte) error { return nil }

var _ signer.Signer = unsigned{}

// hasSigner reports whether s can be called.
func hasSigner(s signer.Signer) bool { return !nilable.IsNil(s) }
