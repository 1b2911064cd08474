package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
)

// apiFunc answers a request with a status and a value, or an error.
type apiFunc func(r *http.Request) (status int, body any, err error)

// answer runs an apiFunc and writes its result.
func (p *platform) answer(f apiFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body, err := f(r)
		if err == nil {
			writeJSON(w, status, "application/json", body)
			return
		}
		what := problemOf(err)
		if what.Status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
			p.logger.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		writeProblem(w, what)
	})
}

// problem is an error as in RFC 9457, with the members of the mounted API.
type problem struct {
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   string       `json:"code"`
	Detail string       `json:"detail"`
	Errors []fieldFault `json:"errors,omitempty"`
}

// fieldFault is a mistake in one field of a request.
type fieldFault struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Detail }

func newProblem(status int, code, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func badField(field, detail string) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "fields_invalid", "Some members are not acceptable.")
	p.Errors = []fieldFault{{field, detail}}
	return p
}

func writeProblem(w http.ResponseWriter, p *problem) {
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	h := w.Header()
	h.Set("Cache-Control", "no-store") // some answers contain a token
	h.Set("X-Content-Type-Options", "nosniff")
	if body == nil {
		w.WriteHeader(status)
		return
	}
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
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
		return v, newProblem(http.StatusUnsupportedMediaType, "content_type", "The body must be JSON, with Content-Type: application/json.")
	}
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequest))
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		return v, newProblem(http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("The body is over %d bytes.", maxRequest))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return v, newProblem(http.StatusRequestTimeout, "body_timeout", "The body took too long to arrive.")
	case err != nil:
		return v, newProblem(http.StatusBadRequest, "body_unreadable", "The body could not be read.")
	}
	if err := json.Unmarshal(text, &v, json.RejectUnknownMembers(true)); err != nil {
		return v, decodeError(err)
	}
	return v, nil
}

func decodeError(err error) error {
	fault, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return newProblem(http.StatusBadRequest, "json_invalid", "The body is not valid JSON.")
	}
	name := strings.ReplaceAll(strings.TrimPrefix(string(fault.JSONPointer), "/"), "/", ".")
	switch {
	case name == "":
		return newProblem(http.StatusBadRequest, "not_an_object", "The body must be a JSON object.")
	case errors.Is(err, json.ErrUnknownName):
		return badField(name, "There is no such member.")
	}
	return badField(name, "The value is of the wrong kind.")
}
