package sender

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/deployhook/deployhook/payload"
)

// Problem is an error in a form that a platform can show its customers. It has
// a stable code, and a sentence that names no Go identifier, no option and no
// address. The error itself is for the operator.
type Problem struct {
	// Field is the name of the invalid field. It belongs to an [Endpoint] or a
	// [Message], or is a member of the event in its JSON spelling. It is empty
	// if the error concerns no field.
	Field string
	// Code is for programs. Codes never change their meaning.
	Code string
	// Text is one sentence in English.
	Text string
}

// problemTexts are the codes that there are. The table in the package's
// documentation lists them.
var problemTexts = map[string]string{
	"url_invalid": "The URL must be absolute and begin with https://, with a host name in ASCII and without a user name, " +
		"a password and a fragment.",
	"url_not_https":              "The URL must begin with https://.",
	"url_port":                   "The URL's port is not allowed.",
	"host_unreachable":           "The host name does not resolve to an address that deliveries may go to.",
	"signer_invalid":             "Deliveries to the endpoint can't be signed with its settings.",
	"format_invalid":             "The body format can't be used.",
	"events_invalid":             "Each event must be *, a family such as deploy.*, or an exact type such as deploy.failed that exists.",
	"header_invalid":             "A header is reserved, is not valid, or is too long.",
	"timeout_invalid":            "The timeout is out of range.",
	"client_certificate_invalid": "The client certificate can't be used with this URL.",
	"message_id_invalid":         "The delivery ID must be 1 to 255 visible ASCII characters without a dot.",
	"body_invalid":               "The body is empty or too long.",
	"content_type_invalid":       "The content type is not valid.",
	"event_invalid":              "The event is not valid.",
	"format_no_message":          "The body format has no message for this event.",
	"redirected":                 "The endpoint redirects, and redirects are not followed.",
	"gone":                       "The endpoint answered 410, which ends its deliveries.",
	"aborted":                    "The endpoint refused the delivery and asked for no more attempts of it.",
	"disabled":                   "The endpoint asked for no more deliveries.",
	"throttled":                  "The endpoint answered 429 because it gets too many requests.",
	"client_error":               "The endpoint rejected the request with a client error (4xx).",
	"server_error":               "The endpoint failed with a server error (5xx).",
	"status_unexpected":          "The endpoint answered with an unexpected status.",
	"connection_failed":          "No connection to the endpoint could be made.",
	"tls_failed":                 "The TLS handshake with the endpoint failed. Its certificate may be invalid, or it may want another client certificate.",
	"timeout":                    "The endpoint did not answer in time.",
	"connection_closed":          "The endpoint closed the connection before it answered.",
	"answer_invalid":             "The endpoint's answer is not acceptable HTTP.",
	"interrupted":                "Sending was interrupted. This says nothing about the endpoint.",
	"not_signed":                 "The delivery could not be signed.",
	"internal":                   "Something went wrong on the sending side.",
}

// ProblemCodes returns all codes, sorted, for a platform that translates the
// texts or lists them in the documentation of its API.
func ProblemCodes() []string { return slices.Sorted(maps.Keys(problemTexts)) }

func problem(field, code string) Problem { return Problem{field, code, problemTexts[code]} }

// Problems returns the parts of an error that a customer may see. It returns
// nil for nil. It takes every error of this package and
// [*payload.ValidationError]. Any other error becomes one Problem with the code
// "internal".
//
// A host that does not resolve and one with an address that is not public give
// the same Problem. Otherwise a customer could learn which names exist in your
// network.
func Problems(err error) []Problem {
	if err == nil {
		return nil
	}
	var found []Problem
	collect(err, func(p Problem) {
		if !slices.Contains(found, p) {
			found = append(found, p)
		}
	})
	if len(found) == 0 {
		return []Problem{problem("", "internal")}
	}
	return found
}

// Problem returns the part of the attempt's failure that a customer may see. It
// returns the zero Problem if the attempt delivered.
func (a Attempt) Problem() Problem {
	if a.Outcome == Delivered {
		return Problem{}
	}
	if found := Problems(a.Err); len(found) > 0 && found[0].Code != "internal" {
		return found[0]
	}
	return ProblemOf(a.Class, a.Status)
}

// ProblemOf is [Attempt.Problem] for a recorded class and status. It returns
// the zero Problem for [ClassNone].
func ProblemOf(class Class, status int) Problem {
	codes := map[Class]string{
		ClassDNS: "host_unreachable", ClassPolicy: "host_unreachable", ClassConnect: "connection_failed", ClassProxy: "connection_failed",
		ClassTLS: "tls_failed", ClassTimeout: "timeout", ClassReset: "connection_closed", ClassProtocol: "answer_invalid",
		ClassCanceled: "interrupted", ClassSigner: "not_signed", ClassAborted: "aborted", ClassDisabled: "disabled",
	}
	switch code, ok := codes[class]; {
	case class == ClassNone:
		return Problem{}
	case class == ClassStatus:
		return statusProblem(status)
	case ok:
		return problem("", code)
	}
	return problem("", "internal")
}

func statusProblem(status int) Problem {
	switch {
	case isRedirect(status):
		return problem("", "redirected")
	case status == http.StatusGone:
		return problem("", "gone")
	case status == http.StatusTooManyRequests:
		return problem("", "throttled")
	case status >= 400 && status <= 499:
		return problem("", "client_error")
	case status >= 500 && status <= 599:
		return problem("", "server_error")
	}
	return problem("", "status_unexpected")
}

// collect calls add with the Problems of err and of the errors that it wraps.
func collect(err error, add func(Problem)) {
	switch e := err.(type) {
	case *EndpointError:
		add(endpointProblem(e))
	case *MessageError:
		add(messageProblem(e))
	case *AttemptError:
		p := ProblemOf(e.Class, e.Status)
		if refused, ok := errors.AsType[*violation](e.cause); ok && e.Class == ClassPolicy {
			p = problem("", refused.code)
		}
		if e.Class == ClassPolicy || e.Class == ClassDNS {
			p.Field = "URL"
		}
		add(p)
	case *formatError:
		if errors.Is(e, ErrNoMessage) {
			add(problem("BodyFormat", "format_no_message"))
		} else {
			add(problem("BodyFormat", "format_invalid"))
		}
	case *signingError:
		add(problem("", "not_signed"))
	case *payload.ValidationError:
		for _, failure := range e.Failures {
			add(Problem{failure.Path, "event_invalid", failure.String() + "."})
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			collect(inner, add)
		}
	case interface{ Unwrap() error }:
		collect(e.Unwrap(), add)
	default:
		if errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			add(problem("", "interrupted"))
		}
	}
}

func endpointProblem(e *EndpointError) Problem {
	if e.code != "" {
		return problem(e.Field, e.code)
	}
	codes := map[string]string{
		"URL": "url_invalid", "Signer": "signer_invalid", "BodyFormat": "format_invalid", "Events": "events_invalid",
		"Header": "header_invalid", "Timeout": "timeout_invalid", "ClientCertificate": "client_certificate_invalid",
	}
	if code, ok := codes[e.Field]; ok {
		return problem(e.Field, code)
	}
	return problem("", "internal")
}

func messageProblem(e *MessageError) Problem {
	codes := map[string]string{"ID": "message_id_invalid", "Body": "body_invalid", "ContentType": "content_type_invalid"}
	if code, ok := codes[e.Field]; ok {
		return problem(e.Field, code)
	}
	return problem("", "internal")
}

// String is the code and the text.
func (p Problem) String() string { return fmt.Sprintf("%s: %s", p.Code, p.Text) }
