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

// Endpoint is the destination of deliveries and their authentication. It is a
// plain value, and a Sender does not keep it, so endpoints can come from a
// database. [Sender.Check] checks an endpoint when a person enters it, and
// every attempt checks it again.
//
// URL and Header may be credentials. Their types hide them, also in an
// unexported field of another struct. Printing an Endpoint with any fmt verb or
// as a slog value shows scheme and host.
type Endpoint struct {
	// URL is the address that takes the POST, made with [NewURL]. It must be
	// absolute and https, without user information and fragment, and its host
	// must be ASCII. For http see [AllowNetworks] and [InsecureHTTP]. Required.
	URL URL

	// Signer authenticates each attempt. Required, because a receiver can't
	// tell unsigned deliveries from forged ones. For a destination whose URL is
	// the credential, see [InsecureUnsigned].
	//
	// An attempt waits for its signer until its timeout. A signer that calls a
	// service must end with its context, see [signer.Signer]. A panic in it fails
	// the attempt, see [Sender.Faults].
	Signer signer.Signer

	// BodyFormat turns events into the body that the destination wants. Nil
	// means the event itself, as JSON. [Sender.Send], [Sender.Message] and
	// [Endpoint.Message] use it. [Sender.Deliver] and [Sender.Attempt] send a
	// message as it is.
	//
	// Send waits for it until its context ends. A panic in it is Send's error.
	//
	// The field can't be called Format, because the method of that name hides
	// the URL from package fmt.
	BodyFormat Format

	// Events are the types of event that the endpoint gets. A pattern is an
	// exact type ("deploy.failed"), a family ("deploy.*") or all ("*"). Empty
	// means all. See [ParseFilter].
	Events []string

	// Header is sent with every attempt, an API key for example. Make it with
	// [NewHeader]. The zero Header means none. It has at most 32 values and 8 KiB.
	// Headers that the sender sets itself or must not send are refused. They are
	// Host, Content-*, User-Agent, Accept-Encoding, Idempotency-Key,
	// X-Idempotency-Key, those of the connection (RFC 9110 section 7.6.1), and
	// those of signatures.
	Header Header

	// ClientCertificate is presented if the endpoint asks for one in the TLS
	// handshake. Make it with [NewClientCertificate]. Default none. It needs a
	// URL with https.
	ClientCertificate ClientCertificate

	// Timeout bounds each attempt, from resolving the host to the end of the
	// answer's body. Zero means that of [WithTimeout]. A negative one and more
	// than 10 minutes are errors.
	Timeout time.Duration
}

// Accepts reports whether the endpoint's filter takes events of type t. A
// malformed pattern matches nothing, and [Sender.Check] reports it.
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

// Format prints String for every verb, so that %#v and %q do not show what %v
// hides.
func (e Endpoint) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(e.String())) }

// LogValue is String for log/slog.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// InsecureUnsigned returns a Signer that signs nothing. It is for destinations
// whose URL or Endpoint.Header is the whole credential, such as the incoming
// webhooks of chat services.
//
// The risk: anyone who learns the URL can forge deliveries, and a proxy that
// ends TLS can alter a body unnoticed. Never use it for a receiver that can
// verify signatures.
func InsecureUnsigned() signer.Signer { return unsigned{} }

type unsigned struct{}

func (unsigned) Sign(context.Context, *http.Request, string, time.Time, []byte) error { return nil }

var _ signer.Signer = unsigned{}

// hasSigner reports whether s can be called.
func hasSigner(s signer.Signer) bool { return !nilable.IsNil(s) }
