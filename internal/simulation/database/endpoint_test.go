//go:build linux && (amd64 || arm64)

package database

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

// lag is how long after a change a request may arrive that was on the way: the
// network delays a copy by a minute at most.
const lag = 90 * time.Second

// endpoint is a customer's endpoint. Its receiver remembers what it got.
type endpoint struct {
	world   *world
	id, app string
	address string
	filter  []string
	limit   float64

	mu       sync.Mutex
	keys     []signer.Secret
	periods  []period
	mode     mode
	changed  time.Time // when something was last done that may affect deliveries
	slowed   bool      // its rate limit may be very low
	disabled time.Time // when it was known to be disabled; zero if it may be enabled
	deleted  time.Time
	enabling int                  // calls that may enable it
	enables  int                  // all such calls so far
	removing bool                 // it may be deleted
	ids      map[string]string    // delivery ID by event
	bodies   map[string]string    // body by delivery ID
	accepted map[string]time.Time // first 2xx by event
}

// period is a time in which an endpoint was known to be disabled.
type period struct{ from, to time.Time }

// mode is how a receiver behaves.
type mode int

const (
	healthy mode = iota
	failing
	slow
	limiting
	gone
)

var modes = map[mode]string{healthy: "healthy", failing: "failing", slow: "slow", limiting: "limiting", gone: "gone"}

// newEndpoint draws an endpoint and starts its receiver.
func (w *world) newEndpoint(app string) *endpoint {
	e := w.plainEndpoint(app)
	if w.rand.IntN(2) == 0 {
		for _, typ := range types {
			if w.rand.IntN(2) == 0 {
				e.filter = append(e.filter, string(typ))
			}
		}
	}
	if w.rand.IntN(4) == 0 {
		e.limit = []float64{2, 5, 20}[w.rand.IntN(3)]
	}
	return e
}

// plainEndpoint starts the receiver of an endpoint without filter and limit.
func (w *world) plainEndpoint(app string) *endpoint {
	n := len(w.created) + 1
	e := &endpoint{
		world: w, app: app, address: fmt.Sprintf("10.0.0.%d:80", n),
		ids: map[string]string{}, bodies: map[string]string{}, accepted: map[string]time.Time{},
	}
	w.created = append(w.created, e)
	w.Start(fmt.Sprintf("receiver-%d", n), sim.NewClock(), func(p *sim.Process) { serve(w, p, e.address, e) })
	return e
}

// serve runs an HTTP server in a process until its end.
func serve(w *world, p *sim.Process, address string, h http.Handler) {
	listener, err := p.Listen(address)
	if err != nil {
		w.Violate("%s can't listen: %v", p.Name, err)
		return
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	p.Go(func() { _ = server.Serve(listener) }) // ErrServerClosed
	p.AtEnd(func() { _ = server.Close() })      // the listener is closed already
}

// createEndpoint registers an endpoint.
func (n *node) createEndpoint(e *endpoint) error {
	p := n.running()
	if p == nil {
		return errDown
	}
	ctx, cancel := context.WithTimeout(p.sim.Context(), 15*time.Second)
	defer cancel()
	if err := p.outbox.RegisterApp(ctx, e.app); err != nil {
		return err
	}
	text := n.world.newSecret()
	if err := e.learn(text); err != nil {
		return err
	}
	made, _, err := p.outbox.App(e.app).CreateEndpoint(ctx, outbox.EndpointConfig{
		URL: sender.NewURL("http://" + e.address + "/"), Events: e.filter, Schedule: "steps", RateLimit: e.limit,
		Secret: outbox.NewSecret(text),
	})
	if err != nil {
		return err
	}
	e.id = made.ID
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.world.endpoints[e.id] = e
	return nil
}

// learn adds a secret to those that the receiver verifies with.
func (e *endpoint) learn(text string) error {
	secret, err := signer.ParseSecret(text)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys = append(e.keys, secret)
	return nil
}

func (e *endpoint) set(m mode) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mode, e.changed = m, time.Now()
}

// accepts reports whether the filter takes a type.
func (e *endpoint) accepts(typ payload.Type) bool {
	return len(e.filter) == 0 || slices.Contains(e.filter, string(typ))
}

// ServeHTTP is the receiver.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.serve(w, r, nil) }

// serve takes a request, and lets next answer it if there is one.
func (e *endpoint) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the network cut it off
	}
	e.verify(r, body)
	id := e.receive(r.Header.Get("Webhook-Id"), body)
	e.mu.Lock()
	mode := e.mode
	e.mu.Unlock()
	switch mode {
	case failing:
		w.WriteHeader(http.StatusInternalServerError)
	case slow:
		timer := time.NewTimer(2 * attemptTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	case limiting:
		w.Header().Set("Retry-After", strconv.Itoa(6))
		w.WriteHeader(http.StatusTooManyRequests)
	case gone:
		w.WriteHeader(http.StatusGone)
	default:
		if next != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			e.pass(w, r, id, next)
			return
		}
		e.accept(id)
		w.WriteHeader(http.StatusOK)
	}
}

// pass lets another handler answer.
func (e *endpoint) pass(w http.ResponseWriter, r *http.Request, event string, next http.Handler) {
	status := &statusWriter{ResponseWriter: w}
	next.ServeHTTP(status, r)
	if status.code/100 == 2 {
		e.accept(event)
	}
}

type statusWriter struct {
	http.ResponseWriter

	code int
}

func (s *statusWriter) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (e *endpoint) accept(event string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.accepted[event].IsZero() {
		e.accepted[event] = time.Now()
	}
}

// verify checks the signature with the keys that the receiver knows.
func (e *endpoint) verify(r *http.Request, body []byte) {
	e.mu.Lock()
	keys := slices.Clone(e.keys)
	e.mu.Unlock()
	for _, key := range keys {
		if scheme, err := signer.NewStandard(key); err == nil {
			if _, err := scheme.Verify(r, body); err == nil {
				return
			}
		}
	}
	e.world.Violate("%s got a request without a valid signature", e.address)
}

// received is what the receiver reads of a body.
type received struct {
	EventID      string       `json:"event_id"`
	DeliveryID   string       `json:"delivery_id"`
	Event        payload.Type `json:"event"`
	DeploymentID string       `json:"deployment_id"`
	App          string       `json:"app"`
}

// receive checks a request against everything that was known before.
func (e *endpoint) receive(id string, body []byte) (event string) {
	w := e.world
	var got received
	if err := json.Unmarshal(body, &got); err != nil {
		w.Violate("%s got a body that is not JSON: %v", e.address, err)
		return ""
	}
	if got.DeliveryID != id {
		w.Violate("%s got delivery %s with the body of %s", e.address, id, got.DeliveryID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch before, seen := e.bodies[id]; {
	case seen && before != string(body):
		w.Violate("%s got other bytes for delivery %s", e.address, id)
	case !seen:
		e.bodies[id] = string(body)
	}
	switch before, seen := e.ids[got.EventID]; {
	case seen && before != id:
		w.Violate("%s got event %s as deliveries %s and %s", e.address, got.EventID, before, id)
	case !seen:
		e.ids[got.EventID] = id
	}
	if since := e.disabled; !since.IsZero() && time.Since(since) > lag {
		w.Violate("%s got event %s although it is disabled since %v", e.address, got.EventID, time.Since(since))
	}
	if since := e.deleted; !since.IsZero() && time.Since(since) > lag {
		w.Violate("%s got event %s although it was deleted %v ago", e.address, got.EventID, time.Since(since))
	}
	e.checkEvent(&got)
	return got.EventID
}

func (e *endpoint) checkEvent(got *received) {
	w := e.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if got.Event == outbox.EventEndpointDisabled {
		if other := w.endpoints[got.DeploymentID]; other == nil || other.app != e.app {
			w.Violate("%s of %s was told about endpoint %s", e.address, e.app, got.DeploymentID)
		}
		return
	}
	known := w.events[got.EventID]
	switch {
	case known == nil:
		w.Violate("%s got event %s, which nobody published", e.address, got.EventID)
	case known.app != e.app:
		w.Violate("%s of %s got event %s of %s", e.address, e.app, known.id, known.app)
	case known.rolledBack:
		w.Violate("%s got event %s, whose transaction was rolled back", e.address, known.id)
	case !e.accepts(known.typ):
		w.Violate("%s got event %s of type %s, which its filter %v does not take", e.address, known.id, known.typ, e.filter)
	}
}
