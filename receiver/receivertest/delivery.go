package receivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// margin is how far outside the tolerance the time of a stale or a future
// request is. It is long, so that a slow machine does not make a future request
// valid.
const margin = time.Hour

// A Delivery is a body with its ID. Each request that it makes is one attempt
// of the same delivery. Change ID, Body and ContentType before the first
// request.
type Delivery struct {
	// ID is the delivery's ID. Required if the scheme sends one.
	ID string
	// Body is what is signed and sent. It may be empty.
	Body []byte
	// ContentType is the value of Content-Type. Empty means application/json.
	ContentType string

	scheme *Scheme
	what   string
}

// Request returns a valid request, signed now. A second one is a retry: it has
// the same ID and body, and a fresh signature.
func (d *Delivery) Request() *http.Request {
	d.scheme.t.Helper()
	return d.At(time.Now())
}

// At returns a request that is signed at the given time.
func (d *Delivery) At(at time.Time) *http.Request {
	d.scheme.t.Helper()
	return d.request("signed", d.scheme.sign, at, d.Body, d.Body)
}

// Copies returns n copies of one valid request, as of a sender that repeats
// itself or of somebody who replays what was captured.
func (d *Delivery) Copies(n int) []*http.Request {
	d.scheme.t.Helper()
	at := time.Now()
	copies := make([]*http.Request, n)
	for i := range copies {
		copies[i] = d.At(at)
	}
	return copies
}

// Unsigned returns a request without a signature.
func (d *Delivery) Unsigned() *http.Request {
	d.scheme.t.Helper()
	r := d.request("unsigned", nil, time.Time{}, nil, d.Body)
	d.refused(r, d.Body, "Unsigned", "it verifies nothing")
	return r
}

// Stale returns a request whose signature is right, and an hour older than the
// tolerance. It ends the test if the scheme signs no time.
func (d *Delivery) Stale() *http.Request {
	d.scheme.t.Helper()
	r := d.request("stale", d.scheme.sign, time.Now().Add(-d.scheme.tolerance()-margin), d.Body, d.Body)
	d.refused(r, d.Body, "Stale", "it signs no time, so a request can't be too old for it")
	return r
}

// Future returns a request whose signature is right, and an hour further ahead
// than the tolerance. It ends the test if the scheme signs no time.
func (d *Delivery) Future() *http.Request {
	d.scheme.t.Helper()
	r := d.request("future", d.scheme.sign, time.Now().Add(d.scheme.tolerance()+margin), d.Body, d.Body)
	d.refused(r, d.Body, "Future", "it signs no time, so a request can't come from the future for it")
	return r
}

// Forged returns a request that is signed with another key.
func (d *Delivery) Forged() *http.Request {
	d.scheme.t.Helper()
	r := d.request("forged", d.scheme.forge, time.Now(), d.Body, d.Body)
	d.refused(r, d.Body, "Forged", "the key of the forged requests is one of its keys; leave out signer.WithKey")
	return r
}

// Tampered returns a request whose body was changed after it was signed. The
// new body is valid JSON if the old one is. It ends the test if the scheme does
// not cover the body.
func (d *Delivery) Tampered() *http.Request {
	d.scheme.t.Helper()
	body := tampered(d.Body)
	r := d.request("tampered", d.scheme.sign, time.Now(), d.Body, body)
	d.refused(r, body, "Tampered", "it does not cover the body")
	return r
}

// tampered adds a member to an object, and a space to anything else.
func tampered(body []byte) []byte {
	if rest, ok := bytes.CutPrefix(body, []byte("{\"")); ok {
		return append([]byte(`{"tampered":true,"`), rest...)
	}
	return append(bytes.Clone(body), ' ')
}

// Oversized returns a valid request whose body is one byte longer than limit,
// with spaces at its end.
func (d *Delivery) Oversized(limit int) *http.Request {
	d.scheme.t.Helper()
	body := append(bytes.Clone(d.Body), bytes.Repeat([]byte(" "), max(0, limit+1-len(d.Body)))...)
	return d.request("oversized", d.scheme.sign, time.Now(), body, body)
}

// Dripping returns a valid request that sends one byte of its body at a time,
// with a pause before each. A receiver can only refuse it if it is served over
// a connection, see [Serve]. Use it in a testing/synctest bubble, where the
// pauses take no time.
func (d *Delivery) Dripping(pause time.Duration) *http.Request {
	d.scheme.t.Helper()
	r := d.Request()
	r.GetBody = func() (io.ReadCloser, error) {
		return &drip{rest: d.Body, pause: pause, closed: make(chan struct{})}, nil
	}
	return describe(r, "dripping delivery "+d.ID+" of "+d.what)
}

// request makes a request whose signature is over signed.
func (d *Delivery) request(kind string, s signer.Signer, at time.Time, signed, sent []byte) *http.Request {
	d.scheme.t.Helper()
	r := httptest.NewRequestWithContext(d.scheme.t.Context(), http.MethodPost, d.scheme.target, bytes.NewReader(sent))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sent)), nil }
	r.Header.Set("Content-Type", "application/json")
	if d.ContentType != "" {
		r.Header.Set("Content-Type", d.ContentType)
	}
	if s != nil {
		if err := s.Sign(r.Context(), r, d.ID, at, signed); err != nil {
			d.scheme.t.Fatalf("receivertest: a %s request can't be signed: %v", kind, err)
		}
	}
	return describe(r, kind+" delivery "+d.ID+" of "+d.what)
}

// refused ends the test if a request that must not pass does.
func (d *Delivery) refused(r *http.Request, body []byte, method, why string) {
	d.scheme.t.Helper()
	if _, err := d.scheme.verifier.Verify(r, body); err == nil {
		d.scheme.t.Fatalf("receivertest: %s: the scheme accepts this request: %s", method, why)
	}
}

// tolerance is the verifier's, or the default for those that do not say.
func (s *Scheme) tolerance() time.Duration {
	if v, ok := s.verifier.(interface{ Tolerance() time.Duration }); ok {
		return v.Tolerance()
	}
	return signer.DefaultTolerance
}

type descriptionKey struct{}

// describe notes what the request is, for the text of a failure.
func describe(r *http.Request, what string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), descriptionKey{}, what))
}

func description(r *http.Request) string {
	if what, ok := r.Context().Value(descriptionKey{}).(string); ok {
		return what
	}
	return r.Method + " " + r.URL.Path
}

// drip is a body that arrives byte by byte.
type drip struct {
	rest   []byte
	pause  time.Duration
	closed chan struct{}
	once   sync.Once
}

var errClosed = errors.New("receivertest: the body was closed")

func (d *drip) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	pause := time.NewTimer(d.pause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-d.closed:
		return 0, errClosed
	}
	n := copy(p, d.rest[:1])
	d.rest = d.rest[n:]
	return n, nil
}

func (d *drip) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}
