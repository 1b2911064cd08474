package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// apiFunc answers a request with a status and a value, or an error.
type apiFunc func(r *http.Request) (status int, body any, err error)

// fieldError is a mistake in one field of a request.
type fieldError struct {
	Field  string `json:"field"`
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason"`
}

// apiError is an error with the status of its answer.
type apiError struct {
	status int
	text   string
	fields []fieldError
}

func (e *apiError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

func badField(status int, field, reason string) error {
	return &apiError{status: status, text: field + ": " + reason, fields: []fieldError{{Field: field, Reason: reason}}}
}

// answer runs an apiFunc and writes its result.
func (p *platform) answer(f apiFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = limitReading(w, r, p.o.read)
		status, body, err := f(r)
		if err == nil {
			writeJSON(w, status, body)
			return
		}
		e := asAPIError(err)
		if e.status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
			p.logger.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		if e.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		writeError(w, e.status, e.text, e.fields)
	})
}

// limitReading limits how long a request's body may take to arrive, so that a
// slow client cannot hold the connection forever. The limit is removed after
// the body, because the server keeps reading to notice a disconnect and would
// otherwise end the request. The server needs its own body in its own request
// to discard the rest of it.
func limitReading(w http.ResponseWriter, r *http.Request, limit time.Duration) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(limit)) != nil {
		return r
	}
	limited := r.WithContext(r.Context())
	// An error is impossible here, because the deadline could be set above.
	limited.Body = &limitedBody{ReadCloser: r.Body, whole: func() { _ = rc.SetReadDeadline(time.Time{}) }}
	return limited
}

// limitedBody notices the end of the body.
type limitedBody struct {
	io.ReadCloser
	whole func()
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.whole()
	}
	return n, err
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		http.Error(w, `{"error":"internal error"}`, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store") // some answers contain a secret
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
}

func writeError(w http.ResponseWriter, status int, text string, fields []fieldError) {
	writeJSON(w, status, struct {
		Error  string       `json:"error"`
		Fields []fieldError `json:"fields,omitempty"`
	}{text, fields})
}

// statuses maps kinds of errors to answers.
var statuses = []struct {
	is     error
	status int
}{
	{errNotFound, http.StatusNotFound},
	{outbox.ErrUnknownApp, http.StatusNotFound},
	{outbox.ErrUnknownEndpoint, http.StatusNotFound},
	{outbox.ErrUnknownDelivery, http.StatusNotFound},
	{outbox.ErrUnknownReplay, http.StatusNotFound},
	{outbox.ErrDuplicateEndpoint, http.StatusConflict},
	{outbox.ErrTooManyEndpoints, http.StatusConflict},
	{outbox.ErrEndpointDisabled, http.StatusConflict},
	{outbox.ErrConflict, http.StatusConflict},
	{engine.ErrBusy, http.StatusConflict},
	{engine.ErrNothingLive, http.StatusConflict},
	{engine.ErrNothingBefore, http.StatusConflict},
	{engine.ErrUnhealthy, http.StatusConflict},
	{engine.ErrClosed, http.StatusServiceUnavailable},
	{outbox.ErrClosed, http.StatusServiceUnavailable},
}

// asAPIError converts an error to an answer. Errors that the caller should not
// see become an internal error.
func asAPIError(err error) *apiError {
	var known *apiError
	var field *outbox.FieldError
	var wrong *engine.FieldError
	var invalid *payload.ValidationError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &field):
		// The error itself may name Go options and internal addresses.
		p := outbox.Problems(err)[0]
		name := jsonName(p.Field)
		return &apiError{http.StatusUnprocessableEntity, name + ": " + p.Text, []fieldError{{name, p.Code, p.Text}}}
	case errors.As(err, &wrong):
		return &apiError{http.StatusUnprocessableEntity, wrong.Error(), []fieldError{{Field: wrong.Field, Reason: wrong.Reason}}}
	case errors.As(err, &invalid):
		return &apiError{http.StatusUnprocessableEntity, invalid.Error(), failures(invalid)}
	}
	for _, s := range statuses {
		if errors.Is(err, s.is) {
			text := err.Error()
			if p := outbox.Problems(err)[0]; p.Code != "internal" {
				text = p.Text
			}
			return &apiError{status: s.status, text: text}
		}
	}
	return &apiError{status: http.StatusInternalServerError, text: "internal error"}
}

func failures(e *payload.ValidationError) (out []fieldError) {
	for _, f := range e.Failures {
		out = append(out, fieldError{Field: f.Path, Code: "event_invalid", Reason: f.Message})
	}
	return out
}

// jsonNames are the API's names of fields whose name in package outbox differs
// by more than case.
var jsonNames = map[string]string{
	"BodyFormat": "format", "SignatureHeader": "signature_header", "MaxConcurrency": "max_concurrency", "RateLimit": "rate_limit",
	"Timeout": "timeout_seconds", "Header": "headers", "States": "state", "Page.Cursor": "cursor", "Page.Limit": "limit",
	"WithReplayRate": "rate_per_second", "DeliveryFilter": "filter",
}

// jsonName returns a field's name in the API.
func jsonName(field string) string {
	if name, ok := jsonNames[field]; ok {
		return name
	}
	return strings.ToLower(field)
}

// maxRequest bounds a request's body in bytes.
const maxRequest = 64 << 10

// read decodes a request's body. Unknown members are errors, so that misspelt
// settings are not ignored.
func read[T any](r *http.Request) (v T, err error) {
	if r.ContentLength == 0 {
		return v, nil
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return v, &apiError{status: http.StatusUnsupportedMediaType, text: "want Content-Type: application/json"}
	}
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequest))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return v, &apiError{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body is over %d bytes", maxRequest)}
	}
	if err != nil {
		return v, badRequest("cannot read the body")
	}
	if err := json.Unmarshal(text, &v, json.RejectUnknownMembers(true)); err != nil {
		return v, decodeError(err)
	}
	return v, nil
}

func decodeError(err error) error {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return badRequest("the body is not valid JSON")
	}
	name := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
	if name == "" {
		return badRequest("the body must be a JSON object")
	}
	if errors.Is(err, json.ErrUnknownName) {
		return badField(http.StatusBadRequest, name, "there is no such member")
	}
	return badField(http.StatusBadRequest, name, "is of the wrong kind")
}

// limit returns the value of ?limit=, with its default and maximum.
func limit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 50, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 200 {
		return 0, badField(http.StatusBadRequest, "limit", "want 1 to 200")
	}
	return n, nil
}

// moment parses a time, which may be empty.
func moment(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := payload.ParseTime(text)
	if err != nil {
		return time.Time{}, badField(http.StatusBadRequest, field, "want a time such as 2026-03-12T14:22:01Z")
	}
	return t, nil
}

// optional returns nil for a zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
