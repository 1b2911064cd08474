package sender

import (
	"net/http"
	"net/netip"
	"time"
)

// Outcome is what an attempt, or a whole delivery, came to. The values are short texts, fit for a log or a database.
type Outcome string

const (
	// Delivered: the endpoint answered 2xx.
	Delivered Outcome = "delivered"
	// Failed: no 2xx; a later attempt may succeed.
	Failed Outcome = "failed"
	// Gone: the endpoint answered 410. No more attempts; disable the endpoint.
	Gone Outcome = "gone"
	// Rejected: an answer that no retry changes. It is a client error (4xx) with [WithStopOnClientError], or a redirect
	// (3xx) in the [Pipeline] schedule.
	Rejected Outcome = "rejected"
	// Refused: this side's policy forbids it: a forbidden address, a bad URL, no signer. Nothing was sent, and a retry
	// gives the same.
	Refused Outcome = "refused"
	// Canceled: the caller's context ended, or the Sender was closed, first. It says nothing about the endpoint.
	Canceled Outcome = "canceled"
	// Skipped: the endpoint's filter does not take this type of event, or its format has no message for it. Only in a
	// [Receipt].
	Skipped Outcome = "skipped"
)

// Class is the kind of an attempt's failure. The values are short texts, fit for a log or a metric's label.
type Class string

const (
	// ClassNone: the attempt delivered.
	ClassNone Class = ""
	// ClassStatus: there was an answer, and it was not 2xx.
	ClassStatus Class = "status"
	// ClassDNS: the host could not be resolved.
	ClassDNS Class = "dns"
	// ClassConnect: no connection could be made.
	ClassConnect Class = "connect"
	// ClassProxy: the proxy of [WithProxy] could not be reached, or did not connect.
	ClassProxy Class = "proxy"
	// ClassTLS: the TLS handshake failed; in most cases the certificate is not trusted.
	ClassTLS Class = "tls"
	// ClassTimeout: no answer within the attempt's deadline.
	ClassTimeout Class = "timeout"
	// ClassReset: the connection ended before there was an answer. The endpoint may have acted on the request.
	ClassReset Class = "reset"
	// ClassProtocol: the answer was not HTTP, or exceeded a bound.
	ClassProtocol Class = "protocol"
	// ClassCanceled: the caller's context ended, or the Sender was closed.
	ClassCanceled Class = "canceled"
	// ClassPolicy: this side refused: the URL, the address, the headers or the message.
	ClassPolicy Class = "policy"
	// ClassSigner: the signer failed or signed nothing.
	ClassSigner Class = "signer"
)

// describe is the class in words, for an error's text.
func (c Class) describe() string {
	switch c {
	case ClassStatus:
		return "answered"
	case ClassDNS:
		return "host not resolved"
	case ClassConnect:
		return "no connection"
	case ClassProxy:
		return "no connection through the proxy"
	case ClassTLS:
		return "TLS handshake failed"
	case ClassTimeout:
		return "timeout"
	case ClassReset:
		return "connection closed before an answer"
	case ClassProtocol:
		return "answer is not acceptable HTTP"
	case ClassCanceled:
		return "canceled"
	case ClassPolicy:
		return "refused by policy"
	case ClassSigner:
		return "not signed"
	default:
		return string(c)
	}
}

// Timings says where an attempt's time went. Zero for a phase that did not happen: on a reused connection only
// FirstByte and Total are set.
type Timings struct {
	// DNS is how long resolving the host took.
	DNS time.Duration
	// Connect is how long connecting took, without DNS and TLS.
	Connect time.Duration
	// TLS is how long the handshake took.
	TLS time.Duration
	// FirstByte is the time from the start of the attempt to the first byte of the answer.
	FirstByte time.Duration
	// Total is the time from the start of the attempt to its end, the body of the answer included.
	Total time.Duration
}

// Attempt is the record of one try to deliver: what was sent, what came back, how long it took. It contains no
// credential: see RequestHeader. It is a plain value; nothing else holds on to what it refers to.
type Attempt struct {
	// Number counts the attempts of a delivery from 1. [Sender.Attempt], which does not know of any others, sets 1.
	Number int
	// ID is the delivery's ID, the same for all its attempts.
	ID string
	// Start is when the attempt began. The signature's timestamp is this time.
	Start time.Time
	// Outcome is what it came to.
	Outcome Outcome
	// Class is the kind of failure; empty if delivered.
	Class Class
	// Status is the status code of the answer, or 0 if there was none.
	Status int
	// Err says what went wrong; nil exactly if delivered. In most cases it is an [*AttemptError] or an
	// [*EndpointError].
	Err error
	// Timings says where the time went.
	Timings Timings
	// Addr is the address that was dialled, or that the reused connection goes to. Not valid if it came to neither.
	Addr netip.AddrPort
	// Reused reports whether the connection had served an earlier request.
	Reused bool
	// RequestHeader is the header that was sent; do not change it. The values of Content-Type, User-Agent and of the
	// headers in which a signer puts a signature, its timestamp and its ID are shown; every other value is
	// "[redacted]", since any of them may be an API key. A shown signature proves what was sent and is no help in
	// forging another.
	RequestHeader http.Header
	// ResponseHeader is the header of the answer; the values of Set-Cookie are "[redacted]", and of
	// Location, Content-Location and Refresh scheme and host are left.
	ResponseHeader http.Header
	// Body is the start of the answer's body, at most 16 KiB, as it came: compression is never undone. Where the answer
	// repeats a redacted value of the request, or a part of the URL that may be a credential, that is overwritten, in
	// whatever spelling (percent-encoding, JSON and HTML escapes). A credential is taken to have 8 bytes or more.
	// Common words of URLs (api, hooks, webhooks) stay.
	Body []byte
	// Truncated reports that the answer's body was longer than Body, or broke off.
	Truncated bool
	// RetryAfter is how long the endpoint asked to be left alone, from the answer's Retry-After, capped (see
	// [WithMaxRetryAfter]); 0 if it did not ask.
	RetryAfter time.Duration
	// Wait is how long Send or Deliver waits after this attempt; 0 if it was the last or stands alone.
	Wait time.Duration
}

// Receipt is the record of a delivery.
type Receipt struct {
	// ID is the delivery's ID.
	ID string
	// Outcome is what the delivery came to. [Delivered] comes without an error and so does [Skipped], unless it is the
	// endpoint's format that had no message ([ErrNoMessage]); all others come with one.
	Outcome Outcome
	// Attempts holds the attempts in order. Of a schedule with more than 32, the latest 32: their Number tells.
	Attempts []Attempt
}

// newReceipt returns a receipt with room for one attempt, which is all that most deliveries need.
func newReceipt(id string) *Receipt {
	r := &struct {
		Receipt
		first [1]Attempt
	}{}
	r.ID, r.Attempts = id, r.first[:0]
	return &r.Receipt
}

// maxKept bounds what a receipt holds of an endless schedule.
const maxKept = 32

// attempts is how many there were; a nil receipt has none.
func (r *Receipt) attempts() int {
	if r == nil || len(r.Attempts) == 0 {
		return 0
	}
	return r.Attempts[len(r.Attempts)-1].Number
}

func (r *Receipt) add(a Attempt) {
	if len(r.Attempts) == maxKept {
		copy(r.Attempts, r.Attempts[1:])
		r.Attempts = r.Attempts[:maxKept-1]
	}
	r.Attempts = append(r.Attempts, a)
	r.Outcome = a.Outcome
}
