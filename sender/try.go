package sender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/redact"
	"github.com/deployhook/deployhook/signer"
)

// Attempt makes exactly one attempt to deliver msg to ep and returns its
// record. It never retries, and waits only for the endpoint. It is for queues
// that keep their own schedule. It does not apply the endpoint's filter,
// because the queue has done that. Everything else is checked as in
// [Sender.Deliver].
//
// The record's Err is nil exactly if the Outcome is [Delivered]. Any 2xx is
// delivered, even if its body breaks off. Redirects are not followed, because a
// 307 would send body and signature to an unchecked address.
//
// The endpoint sees the request at most once. net/http by itself repeats some
// requests:
//
//   - over HTTP/1, if a reused connection breaks and the request is safe to
//     repeat or nothing was written yet
//   - over HTTP/2, after GOAWAY, REFUSED_STREAM and PROTOCOL_ERROR, although
//     the endpoint may have acted after the last one
//
// Both need a body that can be read again (Request.GetBody). The requests of a
// Sender have none. Therefore an attempt fails if its connection dies before
// anything was written. The schedule then makes another attempt, which the
// record shows.
func (s *Sender) Attempt(ctx context.Context, ep Endpoint, msg Message) Attempt {
	var t target
	err := s.resolve(&t, &ep)
	if err == nil {
		err = msg.check(s.maxBody)
	}
	number := max(msg.Earlier, 0) + 1
	started, header := s.startAttempt(ctx, &t, &msg, number)
	var a Attempt
	if err != nil {
		a = Attempt{Number: number, ID: msg.ID, Type: msg.Type, Start: time.Now(), Outcome: Refused, Class: ClassPolicy, Err: err}
	} else {
		a = s.try(started, &t, &msg, number, header)
	}
	s.endAttempt(started, &a)
	s.observe(started, a)
	return a
}

func (s *Sender) observe(ctx context.Context, a Attempt) {
	if s != nil && s.observer != nil {
		s.observed(ctx, a)
	}
}

// try makes one attempt. header is what [Sender.startAttempt] returned.
func (s *Sender) try(parent context.Context, t *target, msg *Message, number int, header http.Header) Attempt {
	a := Attempt{Number: number, ID: msg.ID, Type: msg.Type, Start: time.Now()}
	if parent.Err() != nil {
		a.cancel(t, contextError(parent))
		return a
	}
	if !s.conns.begin() {
		a.cancel(t, ErrClosed)
		return a
	}
	defer s.conns.end()
	ctx, cancel := context.WithTimeout(parent, t.timeout)
	defer cancel()
	tr := &trace{Context: ctx, cancel: cancel, start: a.Start, url: t.url}
	req, err := s.request(tr, t, msg, header)
	if err != nil {
		a.unsigned(parent, t, err)
		return a
	}
	resp, err := s.transport(t).RoundTrip(req)
	if err == nil {
		s.read(&a, resp)
	}
	at := tr.finish(&a)
	var values [4]string
	shown, sent := redactRequest(values[:0], req.Header, t, err != nil)
	a.RequestHeader = shown
	if err == nil {
		s.redacted(&a, t, sent)
	} else if parent.Err() != nil {
		a.cancel(t, contextError(parent))
	} else {
		a.fail(newAttemptError(ctx, t, err, at))
	}
	return a
}

// contextError is why ctx ended, with the cause if it was given one.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// unsigned notes why there was nothing to send. The application's signer may
// ask a key service, which can fail and recover. A retry does not help only
// after a misuse of the signer.
func (a *Attempt) unsigned(parent context.Context, t *target, err error) {
	if parent.Err() != nil {
		a.cancel(t, contextError(parent))
		return
	}
	a.Outcome, a.Class, a.Err = Failed, ClassSigner, err
	for _, misuse := range [...]error{
		ErrRefused, signer.ErrConfig, signer.ErrInvalidSecret, signer.ErrNoActiveKey, signer.ErrInvalidMessage,
	} {
		if errors.Is(err, misuse) {
			a.Outcome = Refused
		}
	}
}

func (a *Attempt) cancel(t *target, cause error) {
	a.Outcome, a.Class = Canceled, ClassCanceled
	a.Err = &AttemptError{Endpoint: t.origin(), Class: ClassCanceled, cause: cause}
}

func (a *Attempt) fail(e *AttemptError) {
	a.Outcome, a.Class, a.Err = Failed, e.Class, e
	if e.Class == ClassPolicy {
		a.Outcome = Refused
	}
}

// redacted judges an answer and removes the credentials from its record. They
// are those of the URL and the hidden values of the request.
func (s *Sender) redacted(a *Attempt, t *target, sent []string) {
	room := s.rooms.Get().(*redact.Room)
	defer s.rooms.Put(room)
	known := secrets{url: t.hidden, room: room, sent: worthStealing(sent)}
	s.judge(a, t, &known)
	redactResponse(a, &known)
}

// judge decides what an answer means.
func (s *Sender) judge(a *Attempt, t *target, known *secrets) {
	if s.deliveryControl {
		a.Directive = directive(a.ResponseHeader)
	}
	if a.Status >= 200 && a.Status <= 299 {
		a.Outcome = Delivered
		return
	}
	failure := statusError(t.origin(), a.Status)
	if isRedirect(a.Status) {
		failure.detail += ": it redirects to " + redirectTarget(&t.url, a.ResponseHeader, known) + ", and redirects are never followed"
	}
	a.fail(failure)
	var asked bool
	a.RetryAfter, asked = retryAfter(a.ResponseHeader, time.Now(), s.maxRetryAfter)
	switch {
	case a.Status == http.StatusGone:
		a.Outcome, failure.cause = Gone, ErrGone
	case a.Directive != DirectiveNone:
		a.obey(failure)
	case s.stopOnClient && a.Status >= 400 && a.Status <= 499 && !asked && !retryable(a.Status):
		a.Outcome, failure.cause = Rejected, ErrRejected
	}
}

// retryable reports whether a client error can go away by itself.
func retryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return false
}

// signingError is a signer's failure. A signer sees the URL and may quote it.
type signingError struct {
	text  string
	cause error
}

func (e *signingError) Error() string { return e.text }
func (e *signingError) Unwrap() error { return e.cause }

func (s *Sender) transport(t *target) http.RoundTripper {
	switch {
	case t.plain:
		return s.plain
	case !t.cert.IsZero():
		return s.certified.transport(t.cert)
	}
	return s.secure
}

// request builds and signs the request of one attempt. It sends exactly what
// was signed. A signer may only set headers, so request restores everything
// else after it. A header that the signer must not change is an error.
//
// The request uses the given header. Nil means a new one.
func (s *Sender) request(tr *trace, t *target, msg *Message, header http.Header) (*http.Request, error) {
	if header == nil {
		header = make(http.Header, usualHeaders)
	}
	req := (&http.Request{
		Method: http.MethodPost, URL: &tr.url,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: t.url.Host,
	}).WithContext(tr.attach(t.plain))
	s.setHeader(tr, req.Header, t, msg)
	before := len(req.Header)
	if err := s.sign(tr.Context, t, req, msg.ID, tr.start, msg.Body); err != nil {
		return nil, &signingError{text: "sender: signing for " + t.origin() + ": " + t.hidden.Text(err.Error()), cause: err}
	}
	if t.signed && len(req.Header) <= before {
		return nil, endpointError(ErrUnsigned, "Signer", "%T set no header", t.signer)
	}
	if err := checkSigned(req.Header, t, msg); err != nil {
		return nil, err
	}
	tr.url = t.url
	tr.body.Reset(msg.Body)
	req.Method, req.URL, req.Host = http.MethodPost, &tr.url, t.url.Host
	// net/http writes header and body at once only if it knows this type of
	// reader. Without GetBody it can't repeat the request.
	req.Body, req.GetBody = io.NopCloser(&tr.body), nil
	req.ContentLength, req.TransferEncoding = int64(len(msg.Body)), nil
	return req, nil
}

// usualHeaders is the number of headers that most requests have at most.
const usualHeaders = 8

// setHeader sets all headers except the signature's and the telemetry's. It
// copies their values, so that a caller who changes one record changes no
// other.
func (s *Sender) setHeader(tr *trace, h http.Header, t *target, msg *Message) {
	tr.values = [2]string{s.userAgent, contentType}
	if msg.ContentType != "" {
		tr.values[1] = msg.ContentType
	}
	h["User-Agent"] = tr.values[0:1:1]
	h["Content-Type"] = tr.values[1:2:2]
	for _, static := range t.header {
		h[static.name] = slices.Clone(static.values)
	}
}

// checkSigned refuses a signer that replaced a header, or set one that makes
// net/http repeat the request.
func checkSigned(h http.Header, t *target, msg *Message) error {
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if _, ok := h[name]; ok {
			return endpointError(ErrRefused, "Signer", "%T set %s, with which net/http may send a request twice", t.signer, name)
		}
	}
	for _, static := range t.header {
		if !slices.Equal(h[static.name], static.values) {
			return endpointError(ErrRefused, "Header", "%s is set by the signer; leave it out", static.name)
		}
	}
	want := msg.ContentType
	if want == "" {
		want = contentType
	}
	if got := h["Content-Type"]; len(got) != 1 || got[0] != want {
		return endpointError(ErrRefused, "Signer", "%T changed Content-Type", t.signer)
	}
	return nil
}
