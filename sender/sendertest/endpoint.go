package sendertest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// Endpoint is a receiver of deliveries that does what a test wants. It records
// what arrives.
//
// An endpoint checks some things by itself, and fails the test if they do not
// hold. All attempts of a delivery have the same bytes. An attempt has a fresh
// timestamp, if the scheme sends one in Webhook-Timestamp or
// X-Webhook-Timestamp. With [Endpoint.Verify], each signature is valid.
//
// It is safe for concurrent use.
type Endpoint struct {
	// URL is where it listens, with plain http.
	URL string

	network     *Network
	perDelivery bool
	ctx         context.Context // ends with the test

	mu       sync.Mutex
	verifier signer.Verifier
	steps    []Step // the last one is for all requests that follow
	done     int    // steps that were done, unless perDelivery
	arrivals []*arrival
	changed  chan struct{} // closed with the next arrival or answer
}

// Endpoint returns an endpoint that does one step for each request, in their
// order. The last step is for all requests that follow. Without steps it
// accepts everything.
func (n *Network) Endpoint(steps ...Step) *Endpoint { return n.endpoint(false, steps) }

// Flaky returns an endpoint that goes through the steps with each delivery
// anew. With Flaky(Status(500), OK()), every first attempt fails.
func (n *Network) Flaky(steps ...Step) *Endpoint { return n.endpoint(true, steps) }

func (n *Network) endpoint(perDelivery bool, steps []Step) *Endpoint {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Endpoint{network: n, perDelivery: perDelivery, ctx: ctx, changed: make(chan struct{})}
	e.Does(steps...)
	e.URL = n.serve(http.HandlerFunc(e.serve), cancel)
	return e
}

// To returns the endpoint for a Sender, with that signer. For other fields, set
// them in the result.
func (e *Endpoint) To(s signer.Signer) sender.Endpoint {
	return sender.Endpoint{URL: sender.NewURL(e.URL), Signer: s}
}

// Verify makes the endpoint verify each request. A request that is not
// authentic fails the test and gets 401. It returns the endpoint.
func (e *Endpoint) Verify(v signer.Verifier) *Endpoint {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.verifier = v
	return e
}

// Does replaces the steps from now on.
func (e *Endpoint) Does(steps ...Step) {
	if len(steps) == 0 {
		steps = []Step{OK()}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.steps, e.done = steps, 0
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	r = r.WithContext(ctx)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender gave up before the request was complete
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	a, step, wrong := e.arrived(r, body)
	for _, text := range wrong {
		e.network.t.Errorf("sendertest: %s: %v", text, a.Arrival)
	}
	own := &answering{ResponseWriter: w, endpoint: e, arrival: a}
	step(own, r)
	own.end(ctx.Err() == nil)
}

// arrived records a request, and returns what to do with it and what is wrong
// with it.
func (e *Endpoint) arrived(r *http.Request, body []byte) (a *arrival, step Step, wrong []string) {
	a = newArrival(r, body)
	e.mu.Lock()
	defer e.mu.Unlock()
	previous := e.last(a.ID)
	a.Attempt = 1
	if previous != nil {
		a.Attempt = previous.Attempt + 1
	}
	step = e.step(a)
	if e.verifier != nil {
		verified, err := e.verifier.Verify(r, body)
		if a.Verified = verified; err != nil {
			wrong, step = append(wrong, "a request is not authentic ("+err.Error()+")"), Status(http.StatusUnauthorized)
		}
	}
	wrong = append(wrong, a.differs(previous)...)
	e.arrivals = append(e.arrivals, a)
	e.notify()
	return a, step, wrong
}

// notify wakes those that wait. The caller holds the lock.
func (e *Endpoint) notify() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// step takes the next step. The caller holds the lock.
func (e *Endpoint) step(a *arrival) Step {
	n := e.done
	if e.perDelivery {
		n = a.Attempt - 1
	} else {
		e.done++
	}
	return e.steps[min(n, len(e.steps)-1)]
}

// last returns the latest attempt of a delivery, or nil. The caller holds the
// lock.
func (e *Endpoint) last(id string) (found *arrival) {
	for _, a := range e.arrivals {
		if a.ID == id && id != "" {
			found = a
		}
	}
	return found
}

// Arrival is one request that arrived.
type Arrival struct {
	// ID is the delivery's ID, from Webhook-Id, X-Webhook-Id or the event. It
	// is empty if there is none.
	ID string
	// Type is the type of the event in the body, or empty.
	Type payload.Type
	// Attempt counts the requests with this ID from 1.
	Attempt int
	// At is when the request had arrived.
	At time.Time
	// Path is the path and the query of the URL.
	Path string
	// Header is the request's header.
	Header http.Header
	// Body is the request's body.
	Body []byte
	// Verified is the result of [Endpoint.Verify].
	Verified signer.Verified
	// Status is the status of the answer. It is 0 if there was none, or if the
	// step took over the connection.
	Status int
}

// String is for the text of a failure.
func (a Arrival) String() string {
	what := fmt.Sprintf("%d bytes", len(a.Body))
	if a.Type != "" {
		what = string(a.Type)
	}
	id, answer := "", "no answer"
	if a.ID != "" {
		id = fmt.Sprintf(", attempt %d of delivery %s", a.Attempt, a.ID)
	}
	if a.Status != 0 {
		answer = fmt.Sprintf("answered %d", a.Status)
	}
	return what + id + ", " + answer
}

// arrival is an Arrival whose answer may not be complete. The endpoint's lock
// is for both.
type arrival struct {
	Arrival
	// ended is true if the sender was still there at the end of the answer.
	ended bool
}

func newArrival(r *http.Request, body []byte) *arrival {
	a := Arrival{At: time.Now(), Path: r.URL.RequestURI(), Header: r.Header, Body: body}
	a.ID = cmp.Or(r.Header.Get("Webhook-Id"), r.Header.Get("X-Webhook-Id"))
	if event, err := payload.DecodeEvent(body); err == nil {
		a.ID, a.Type = cmp.Or(a.ID, event.DeliveryID), event.Type
	}
	return &arrival{Arrival: a}
}

// differs says what is wrong with an attempt after the previous one.
func (a *arrival) differs(previous *arrival) (wrong []string) {
	if previous == nil {
		return nil
	}
	if !bytes.Equal(a.Body, previous.Body) {
		wrong = append(wrong, "the body differs from that of the previous attempt")
	}
	at, ok := timestamp(a.Header)
	// An attempt whose sender gave up may have arrived after the next one was
	// signed.
	if ok && previous.ended && previous.Status != 0 && at < previous.At.Unix() {
		wrong = append(wrong, "the timestamp is older than the previous attempt")
	}
	return wrong
}

func timestamp(h http.Header) (seconds int64, ok bool) {
	seconds, err := strconv.ParseInt(cmp.Or(h.Get("Webhook-Timestamp"), h.Get("X-Webhook-Timestamp")), 10, 64)
	return seconds, err == nil
}

// answering notes the status before it is sent.
type answering struct {
	http.ResponseWriter
	endpoint *Endpoint
	arrival  *arrival
	hijacked bool
}

// setStatus notes the first status.
func (w *answering) setStatus(code int) {
	w.endpoint.mu.Lock()
	defer w.endpoint.mu.Unlock()
	if w.arrival.Status == 0 {
		w.arrival.Status = code
		w.endpoint.notify()
	}
}

// end notes the end of a step. A step that wrote nothing has answered 200.
func (w *answering) end(there bool) {
	if !w.hijacked && there {
		w.setStatus(http.StatusOK)
	}
	w.endpoint.mu.Lock()
	defer w.endpoint.mu.Unlock()
	w.arrival.ended = there
}

// WriteHeader notes the status of an answer that is not interim.
func (w *answering) WriteHeader(code int) {
	if code >= http.StatusOK {
		w.setStatus(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write notes a 200 if there was no other status.
func (w *answering) Write(p []byte) (int, error) {
	w.setStatus(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Hijack notes that the server does not answer.
func (w *answering) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = err == nil
	return conn, rw, err
}

// Unwrap is for [http.ResponseController].
func (w *answering) Unwrap() http.ResponseWriter { return w.ResponseWriter }
