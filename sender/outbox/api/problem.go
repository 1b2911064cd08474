package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/deployhook/deployhook/sender/outbox"
)

// problem is an answer as in RFC 9457. Its texts are for customers, and its
// codes never change their meaning.
type problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   string       `json:"code"`
	Detail string       `json:"detail"`
	Errors []fieldFault `json:"errors,omitempty"`

	allow string
}

// fieldFault says what is wrong with one member of the body or of the query.
type fieldFault struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error is for calls that fail before they reach the outbox.
func (p *problem) Error() string { return "api: " + p.Code }

// problemBase is where the codes are explained.
const problemBase = "https://github.com/deployhook/deployhook/blob/main/sender/outbox/api/PROBLEMS.md#"

// details are the sentences for the codes of this package. Package outbox has
// those for what it refuses.
var details = map[string]string{
	"unknown_path":           "There is no such path.",
	"method_not_allowed":     "The path does not take this method.",
	"cross_origin":           "The request comes from a page of another origin.",
	"unauthenticated":        "The request must be authenticated.",
	"forbidden":              "The caller has no access.",
	"operators_only":         "Only operators have access.",
	"read_only":              "The caller may read only.",
	"unavailable":            "The service can't answer now. Try again later.",
	"internal":               "The service has failed. It was not the request's fault.",
	"content_type":           "The body must be JSON, with Content-Type: application/json.",
	"body_too_large":         "The body is too long.",
	"body_timeout":           "The body took too long to arrive.",
	"body_unreadable":        "The body could not be read.",
	"json_invalid":           "The body is not valid JSON. Names must not repeat, and texts must be UTF-8.",
	"not_an_object":          "The body must be a JSON object.",
	"unknown_member":         "There is no such member.",
	"kind_invalid":           "The value is of the wrong kind.",
	"required":               "The member is required.",
	"unknown_parameter":      "There is no such parameter.",
	"parameter_repeated":     "The parameter must not be given more than once.",
	"time_invalid":           "The time must be as in 2026-03-12T14:22:01Z.",
	"number_invalid":         "The number is out of range.",
	"query_invalid":          "The query string is not valid.",
	"if_match_invalid":       "If-Match must be one ETag that the API has returned.",
	"erased_but_file_in_use": "The event is erased, but its text is still in the file. Repeat the request.",
	"unknown_type":           "There is no such event type.",
	"cursor_invalid":         "The cursor is not one that this list returned.",
	"fields_invalid":         "Some members are not acceptable.",
}

// newProblem returns a problem with a code of this package.
func newProblem(status int, code string) *problem {
	return &problem{Type: problemBase + code, Title: http.StatusText(status), Status: status, Code: code, Detail: details[code]}
}

// wrongField returns a problem with one member or parameter.
func wrongField(field, code string) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "fields_invalid")
	p.Errors = []fieldFault{{field, code, details[code]}}
	return p
}

// statuses are the answers to errors of the outbox.
var statuses = []struct {
	is     error
	status int
}{
	{outbox.ErrUnknownApp, http.StatusNotFound},
	{outbox.ErrUnknownEndpoint, http.StatusNotFound},
	{outbox.ErrUnknownDelivery, http.StatusNotFound},
	{outbox.ErrUnknownEvent, http.StatusNotFound},
	{outbox.ErrUnknownReplay, http.StatusNotFound},
	{outbox.ErrCursorExpired, http.StatusGone},
	{outbox.ErrDuplicateEndpoint, http.StatusConflict},
	{outbox.ErrTooManyEndpoints, http.StatusConflict},
	{outbox.ErrEndpointDisabled, http.StatusConflict},
	{outbox.ErrKeyReused, http.StatusConflict},
	{outbox.ErrConflict, http.StatusConflict},
	{outbox.ErrEndpointChanged, http.StatusPreconditionFailed},
	{outbox.ErrInvalid, http.StatusUnprocessableEntity},
}

// problemOf returns what the client is told about an error.
func (h *Handler) problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, outbox.ErrFileInUse):
		return newProblem(http.StatusServiceUnavailable, "erased_but_file_in_use")
	case errors.Is(err, outbox.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, "unavailable")
	}
	for _, s := range statuses {
		if errors.Is(err, s.is) {
			return outboxProblem(s.status, err)
		}
	}
	return newProblem(http.StatusInternalServerError, "internal")
}

// outboxProblem uses the texts for customers. The error itself may name options
// and internal addresses.
func outboxProblem(status int, err error) *problem {
	all := outbox.Problems(err)
	if p := all[0]; p.Field == "" {
		return &problem{Type: problemBase + p.Code, Title: http.StatusText(status), Status: status, Code: p.Code, Detail: p.Text}
	}
	out := newProblem(status, "fields_invalid")
	for _, p := range all {
		out.Errors = append(out.Errors, fieldFault{fieldName(p.Field), p.Code, p.Text})
	}
	return out
}

// fieldNames are the API's names of fields whose names in package outbox differ
// by more than case.
var fieldNames = map[string]string{
	"BodyFormat": "body_format", "SignatureHeader": "signature_header", "MaxConcurrency": "max_concurrency", "RateLimit": "rate_limit",
	"ClientCertificate": "client_certificate", "Timeout": "timeout_seconds", "States": "state", "Page.Cursor": "cursor", "Page.Limit": "limit",
	"WithReplayRate": "rate_per_second", "DeliveryFilter": "filter", "IdempotencyKey": "Idempotency-Key", "grace": "grace_seconds",
}

func fieldName(field string) string { return cmp.Or(fieldNames[field], strings.ToLower(field)) }

func writeProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	text, _ := json.Marshal(p) // texts always marshal
	write(w, r, p.Status, "application/problem+json", text)
}
