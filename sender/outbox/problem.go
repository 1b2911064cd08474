package outbox

import (
	"errors"
	"maps"
	"slices"

	"github.com/deployhook/deployhook/sender"
)

// problems are the codes of this package. Package sender has more.
var problems = []struct {
	is         error
	code, text string
}{
	{ErrUnknownApp, "unknown_app", "There is no such app."},
	{ErrUnknownEndpoint, "unknown_endpoint", "There is no such endpoint."},
	{ErrUnknownDelivery, "unknown_delivery", "There is no such delivery."},
	{ErrUnknownEvent, "unknown_event", "There is no such event."},
	{ErrCursorExpired, "cursor_expired", "Events after the cursor have been deleted. Start again without a cursor."},
	{ErrUnknownReplay, "unknown_replay", "There is no such replay."},
	{ErrDuplicateEndpoint, "duplicate_endpoint", "There is an endpoint with this URL already."},
	{ErrTooManyEndpoints, "too_many_endpoints", "There are as many endpoints as are allowed."},
	{ErrEndpointDisabled, "endpoint_disabled", "The endpoint is disabled."},
	{ErrKeyReused, "idempotency_key_reused", "Another endpoint was created with this idempotency key."},
	{ErrEndpointChanged, "endpoint_changed", "The endpoint has changed since it was read. Read it again."},
	{ErrConflict, "event_conflict", "Another event was published under this ID."},
	{ErrBodyTooLarge, "body_invalid", "The body is too long."},
}

// fieldProblems are the codes and texts for fields whose errors have no cause
// in package sender.
var fieldProblems = map[string][2]string{
	"App":             {"app_invalid", "The app's name must be 1 to 255 bytes of text without control characters."},
	"Description":     {"description_invalid", "The description must be at most 1024 bytes of text without control characters."},
	"Metadata":        {"metadata_invalid", "The metadata must have at most 50 keys of up to 40 bytes, with text of up to 500 bytes."},
	"Schedule":        {"schedule_invalid", "There is no such retry schedule."},
	"Timeout":         {"timeout_invalid", "The timeout is out of range."},
	"MaxConcurrency":  {"concurrency_invalid", "The number of attempts at once is out of range."},
	"RateLimit":       {"rate_invalid", "The rate must be from one a day to 100,000 a second, or 0 for none."},
	"WithReplayRate":  {"rate_invalid", "The rate must be from one a day to 100,000 a second."},
	"BodyFormat":      {"format_invalid", "There is no such body format."},
	"SignatureHeader": {"signature_header_invalid", "The signature's header can't be used with this scheme."},
	"Secret":          {"secret_invalid", "The secret does not fit the scheme, or is in use already."},
	"Scheme":          {"scheme_invalid", "The scheme does not exist, or has no secret."},
	"ClientCertificate": {
		"client_certificate_invalid",
		"The client certificate and its private key must be in PEM and belong together, with the client's own certificate first.",
	},
	"grace":          {"grace_invalid", "The grace period must be from 0 to 30 days."},
	"Page.Limit":     {"limit_invalid", "The limit is out of range."},
	"Page.Cursor":    {"cursor_invalid", "The cursor is not one that this list returned."},
	"States":         {"states_invalid", "A state does not exist, or can't be asked for here."},
	"Answer":         {"answer_class_invalid", "The class of answers must be 2xx, 3xx, 4xx, 5xx or none."},
	"DeliveryFilter": {"filter_invalid", "The filter has a text that nothing can match."},
	"IdempotencyKey": {"idempotency_key_invalid", "The idempotency key must be 1 to 255 visible ASCII characters."},
	"event_id":       {"event_id_invalid", "The event's ID must be 1 to 255 visible ASCII characters."},
	"body":           {"body_missing", "The delivery has no body that can be sent."},
}

// ProblemCodes returns all codes of [Problems], sorted, those of
// [sender.ProblemCodes] among them.
func ProblemCodes() []string {
	codes := map[string]bool{"invalid": true, "client_certificate_expired": true}
	for _, code := range sender.ProblemCodes() {
		codes[code] = true
	}
	for _, p := range problems {
		codes[p.code] = true
	}
	for _, p := range fieldProblems {
		codes[p[0]] = true
	}
	return slices.Sorted(maps.Keys(codes))
}

// Problems returns what a customer may see of an error of this package. It uses
// the codes of [sender.Problems] for what both packages refuse. Field is that
// of the [*FieldError].
func Problems(err error) []sender.Problem {
	fault, isField := errors.AsType[*FieldError](err)
	if isField {
		if p := fieldProblem(fault); p.Code != "" {
			return []sender.Problem{p}
		}
	}
	for _, known := range problems {
		if errors.Is(err, known.is) {
			p := sender.Problem{Code: known.code, Text: known.text}
			if isField {
				p.Field = fault.Field
			}
			return []sender.Problem{p}
		}
	}
	if isField {
		return []sender.Problem{{Field: fault.Field, Code: "invalid", Text: "The value is not acceptable."}}
	}
	return sender.Problems(err)
}

func fieldProblem(fault *FieldError) sender.Problem {
	if errors.Is(fault, errCertificateExpired) {
		return sender.Problem{Field: fault.Field, Code: "client_certificate_expired", Text: "The client certificate has expired."}
	}
	if errors.Is(fault, ErrBodyTooLarge) {
		return sender.Problem{}
	}
	for _, p := range sender.Problems(fault.cause) {
		if p.Code != "internal" {
			return sender.Problem{Field: fault.Field, Code: p.Code, Text: p.Text}
		}
	}
	if known, ok := fieldProblems[fault.Field]; ok {
		return sender.Problem{Field: fault.Field, Code: known[0], Text: known[1]}
	}
	return sender.Problem{}
}

// Problem returns what a customer may see of the attempt's failure. It is the
// zero Problem if the attempt succeeded. Error is for the operator.
func (a Attempt) Problem() sender.Problem { return sender.ProblemOf(a.Class, a.Status) }

// Problem returns what a customer may see of the last attempt's failure. It is
// the zero Problem without a failure. LastError is for the operator.
func (d Delivery) Problem() sender.Problem {
	if p := sender.ProblemOf(d.LastClass, d.LastStatus); p.Code != "" || d.LastError == "" || d.State != Failed {
		return p
	}
	return sender.Problem{Field: "BodyFormat", Code: "format_invalid", Text: "The event can't be put into the body format."}
}
