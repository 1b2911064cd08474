package sender

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Outcome is the result of an attempt or of a whole delivery. The values are
// short texts for a log or a database.
type Outcome string

const (
	// Delivered means that the endpoint answered 2xx.
	Delivered Outcome = "delivered"
	// Failed means that there was no 2xx. A later attempt may succeed.
	Failed Outcome = "failed"
	// Gone means that the endpoint answered 410, or asked to be disabled
	// ([DirectiveDisable]). Disable it, and make no more attempts.
	Gone Outcome = "gone"
	// Aborted means that the endpoint did not take the delivery and asked for no
	// more attempts of it ([DirectiveAbort]). It may take others.
	Aborted Outcome = "aborted"
	// Rejected means an answer that no retry changes. It is a client error
	// (4xx) with [WithStopOnClientError], or a redirect (3xx) in the [Pipeline]
	// schedule.
	Rejected Outcome = "rejected"
	// Refused means that the Sender's own policy forbids the attempt, because
	// of a forbidden address, a bad URL or a missing signer, for example.
	// Nothing was sent, and a retry gives the same.
	Refused Outcome = "refused"
	// Canceled means that the caller's context ended or the Sender was closed
	// first. It says nothing about the endpoint.
	Canceled Outcome = "canceled"
	// Skipped means that the endpoint's filter does not take this type of
	// event, or that its format has no message for it. Only a [Receipt] has
	// this outcome.
	Skipped Outcome = "skipped"
)

// Class is the kind of an attempt's failure. The values are short texts for a
// log or a metric's label.
type Class string

const (
	// ClassNone means that the attempt delivered.
	ClassNone Class = ""
	// ClassStatus means that there was an answer other than 2xx.
	ClassStatus Class = "status"
	// ClassAborted means that an answer other than 2xx had [DirectiveAbort].
	ClassAborted Class = "aborted"
	// ClassDisabled means that an answer other than 2xx had [DirectiveDisable].
	ClassDisabled Class = "disabled"
	// ClassDNS means that the host could not be resolved.
	ClassDNS Class = "dns"
	// ClassConnect means that no connection could be made.
	ClassConnect Class = "connect"
	// ClassProxy means that the proxy of [WithProxy] could not be reached, or
	// did not connect to the endpoint.
	ClassProxy Class = "proxy"
	// ClassTLS means that the TLS handshake failed. In most cases the
	// certificate is not trusted.
	ClassTLS Class = "tls"
	// ClassTimeout means that there was no answer within the attempt's
	// deadline.
	ClassTimeout Class = "timeout"
	// ClassReset means that the connection ended before there was an answer.
	// The endpoint may have acted on the request.
	ClassReset Class = "reset"
	// ClassProtocol means that the answer was not HTTP, or exceeded a bound.
	ClassProtocol Class = "protocol"
	// ClassCanceled means that the caller's context ended, or the Sender was
	// closed.
	ClassCanceled Class = "canceled"
	// ClassPolicy means that the Sender refused the URL, the address, the
	// headers or the message.
	ClassPolicy Class = "policy"
	// ClassSigner means that the signer failed or signed nothing.
	ClassSigner Class = "signer"
)

// describe returns the class in words, for an error's text.
func (c Class) describe() string {
	switch c {
	case ClassStatus, ClassAborted, ClassDisabled:
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

// Timings are the durations of an attempt's phases. A phase that did not happen
// has zero. On a reused connection only FirstByte and Total are set.
type Timings struct {
	// DNS is how long resolving the host took.
	DNS time.Duration
	// Connect is how long connecting took, without DNS and TLS.
	Connect time.Duration
	// TLS is how long the handshake took.
	TLS time.Duration
	// FirstByte is the time from the start of the attempt to the first byte of the
	// answer.
	FirstByte time.Duration
	// Total is the time from the start of the attempt to its end, the body of the
	// answer included.
	Total time.Duration
}

// Attempt is the record of one attempt to deliver. It has the request, the
// answer and the timings, and no credential (see RequestHeader). It is a plain
// value, and nothing else keeps the memory that it refers to.
type Attempt struct {
	// Number counts the attempts of a delivery from 1. It begins after
	// [Message].Earlier.
	Number int
	// ID is the delivery's ID, the same for all its attempts.
	ID string
	// Type is the event's type.
	Type payload.Type
	// Start is when the attempt began. The signature's timestamp is this time.
	Start time.Time
	// Outcome is the result of the attempt.
	Outcome Outcome
	// Class is the kind of failure. It is empty if delivered.
	Class Class
	// Status is the status code of the answer, or 0 without an answer.
	Status int
	// Err says what went wrong. It is nil exactly if delivered. In most cases
	// it is an [*AttemptError] or an [*EndpointError].
	Err error
	// Timings says where the time went.
	Timings Timings
	// Addr is the address that was dialled, or that of the reused connection.
	// It is not valid if there was neither.
	Addr netip.AddrPort
	// Reused reports whether the connection had served an earlier request.
	Reused bool
	// RequestHeader is the header that was sent. Do not change it. It shows the
	// values of Content-Type, User-Agent, traceparent and the signer's headers
	// with the signature, the timestamp and the ID. Every other value is
	// "[redacted]", because it may be an API key. A shown signature proves what
	// was sent, and does not help to forge another one.
	RequestHeader http.Header
	// ResponseHeader is the header of the answer. The values of Set-Cookie are
	// "[redacted]". Location, Content-Location and Refresh keep scheme and host
	// only.
	ResponseHeader http.Header
	// Body is the start of the answer's body, at most 16 KiB, as it was
	// received. Nothing is decompressed. If the answer repeats a redacted value
	// of the request, or a part of the URL that may be a credential, Body has
	// "[redacted]" there. This covers percent-encoding, JSON escapes and HTML
	// escapes. Only parts of 8 bytes or more count as credentials. Common words
	// of URLs (api, hooks, webhooks) stay.
	Body []byte
	// Truncated reports that the answer's body was longer than Body, or broke off.
	Truncated bool
	// RetryAfter is the pause that the endpoint asked for with Retry-After,
	// capped by [WithMaxRetryAfter]. It is 0 if the endpoint did not ask.
	RetryAfter time.Duration
	// Directive is what the answer asked for with the header Webhook-Delivery.
	// It is empty without [WithDeliveryControl]. After DirectiveDisable, disable
	// the endpoint even if the Outcome is Delivered.
	Directive Directive
	// Wait is how long Send or Deliver waits after this attempt. It is 0 after
	// the last attempt and for [Sender.Attempt].
	Wait time.Duration
}

// Receipt is the record of a delivery.
type Receipt struct {
	// ID is the delivery's ID.
	ID string
	// Outcome is the result of the delivery. [Delivered] comes without an
	// error, and so does [Skipped] if the endpoint's filter caused it. All
	// others come with an error, which is [ErrNoMessage] if the format had no
	// message.
	Outcome Outcome
	// Attempts holds the attempts in order. After more than 32 attempts it has
	// the latest 32.
	Attempts []Attempt
}

// newReceipt returns a receipt with room for one attempt, which is enough for
// most deliveries.
func newReceipt(id string) *Receipt {
	r := &struct {
		Receipt
		first [1]Attempt
	}{}
	r.ID, r.Attempts = id, r.first[:0]
	return &r.Receipt
}

// maxKept bounds the attempts in the receipt of an endless schedule.
const maxKept = 32

// attempts returns the number of attempts, which is 0 for a nil receipt.
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
