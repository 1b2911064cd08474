package main

import (
	"fmt"
	"sync"
	"time"
)

// arrival is a delivery of an event at an endpoint.
type arrival struct{ endpoint, event, delivery string }

// published is what is known about an event.
type published struct {
	at    time.Time
	acked bool
}

// received is what is known about a delivery.
type received struct {
	hash      string
	event     string
	handled   int
	claim     string // under which it was handled last
	completed time.Time
}

// ledger knows what was published and what arrived. It finds violations while
// the run goes on.
type ledger struct {
	failed        func(format string, args ...any) // takes a violation
	subscriptions map[string]subscription

	mu         sync.Mutex
	events     map[string]*published
	deliveries map[[2]string]*received // by endpoint and delivery ID
	byEvent    map[[2]string]string    // delivery ID, by endpoint and event
	counts
	latencies []float64 // in seconds, since the last sample
	all       []float64 // in seconds, of the whole run
	recent    []string  // deliveries at the endpoint that replays go to
}

// counts are totals since the start.
type counts struct {
	intended, acked   int
	requests          int // that arrived as a whole
	delivered         int // deliveries that were handled, each counted once
	handled, repeated int // calls of handlers that took effect, and those of them after the first
}

func newLedger(failed func(format string, args ...any)) *ledger {
	l := &ledger{
		failed: failed, subscriptions: map[string]subscription{}, events: map[string]*published{},
		deliveries: map[[2]string]*received{}, byEvent: map[[2]string]string{},
	}
	for _, s := range subscriptions() {
		l.subscriptions[s.name] = s
	}
	return l
}

// take takes what a process reports.
func (l *ledger) take(r report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r.Kind {
	case isIntended:
		l.intended++
		l.events[r.Event] = &published{at: r.At}
	case isAcked:
		l.acked++
		l.events[r.Event].acked = true
	case isReceived:
		l.requests++
		l.arrived(r)
	case isHandled:
		l.handle(r)
	case isCompleted:
		l.delivery(r).completed = r.At
	case isViolation:
		l.failed("%s", r.Text)
	}
}

func (l *ledger) delivery(r report) *received {
	id := [2]string{r.Endpoint, r.Delivery}
	d := l.deliveries[id]
	if d == nil {
		d = &received{}
		l.deliveries[id] = d
	}
	return d
}

func (l *ledger) arrived(r report) {
	d := l.delivery(r)
	if d.hash == "" {
		d.hash = r.Hash
	}
	if d.hash != r.Hash {
		l.failed("two attempts of delivery %s at %s had different bytes", r.Delivery, r.Endpoint)
	}
}

func (l *ledger) handle(r report) {
	d := l.delivery(r)
	if s := l.subscriptions[r.Endpoint]; !s.wants(r.Event) {
		l.failed("%s got %s, to which it is not subscribed", r.Endpoint, r.Event)
	}
	if first, ok := l.byEvent[[2]string{r.Endpoint, r.Event}]; ok && first != r.Delivery {
		l.failed("%s got %s as %s and as %s", r.Endpoint, r.Event, first, r.Delivery)
	}
	l.byEvent[[2]string{r.Endpoint, r.Event}] = r.Delivery
	if !d.completed.IsZero() && r.Begin.After(d.completed) {
		l.failed("%s handled %s again, %v after its claim was completed", r.Endpoint, r.Event, r.Begin.Sub(d.completed))
	}
	if d.handled > 0 && d.claim == r.Claim && r.Claim != noClaim {
		l.failed("%s handled %s twice under one claim", r.Endpoint, r.Event)
	}
	d.event, d.claim = r.Event, r.Claim
	l.handled++
	if d.handled++; d.handled > 1 {
		l.repeated++
		return
	}
	l.delivered++
	l.measure(r)
}

// noClaim is the claim of a delivery that comes from an inbox.
const noClaim = "0"

// measure takes the time from publishing to handling. The endpoint that is
// disabled now and then is late on purpose.
func (l *ledger) measure(r report) {
	if r.Endpoint == replayed && len(l.recent) < 1000 {
		l.recent = append(l.recent, r.Delivery)
	}
	if e := l.events[r.Event]; e != nil && r.Endpoint != toggled {
		seconds := r.At.Sub(e.at).Seconds()
		l.latencies = append(l.latencies, seconds)
		l.all = append(l.all, seconds)
	}
}

// totals returns the totals.
func (l *ledger) totals() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// sample returns the totals, and the latencies since the last call.
func (l *ledger) sample() (counts, []float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	latencies := l.latencies
	l.latencies = nil
	return l.counts, latencies
}

// anyRecent returns a delivery that was handled at the endpoint of replays.
func (l *ledger) anyRecent(choose func(n int) int) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) == 0 {
		return "", false
	}
	id := l.recent[choose(len(l.recent))]
	l.recent = l.recent[len(l.recent)/2:]
	return id, true
}

// unknown returns the events outside a transaction of which no process has said
// that they were published. Publishing them again has to be harmless.
func (l *ledger) unknown() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := map[string]time.Time{}
	for id, e := range l.events {
		if !e.acked && !inTransaction(id) {
			left[id] = e.at
		}
	}
	return left
}

// noteAck notes that an event was published by the command itself.
func (l *ledger) noteAck(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[id].acked = true
}

// outcome is what the databases say in the end.
type outcome struct {
	releases map[string]bool // rows of the application by event
	effects  map[arrival]int // nil without transactions
}

// settle compares everything at the end. It returns how many deliveries are
// lost, and how many effects happened twice.
func (l *ledger) settle(o outcome) (lost, doubled int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	effects := map[[2]string]int{}
	for a, n := range o.effects {
		effects[[2]string{a.endpoint, a.event}] += n
	}
	for id, e := range l.events {
		l.settleTx(id, e, o.releases)
		exists := e.acked || o.releases[id]
		for _, s := range l.subscriptions {
			where := [2]string{s.name, id}
			n := effects[where]
			if o.effects == nil && l.byEvent[where] != "" {
				n = 1
			}
			if exists && s.wants(id) && n == 0 {
				lost++
				l.failed("%s never got %s, published at %s", s.name, id, e.at.Format(time.RFC3339Nano))
			}
			if n > 1 {
				doubled++
				l.failed("%s took effect %d times at %s", id, n, s.name)
			}
		}
	}
	return lost, doubled
}

// settleTx checks that an event and the application's row exist both or
// neither.
func (l *ledger) settleTx(id string, e *published, releases map[string]bool) {
	if !inTransaction(id) {
		return
	}
	if e.acked && !releases[id] {
		l.failed("the commit of %s succeeded, and the application's row is missing", id)
	}
	for name := range l.subscriptions {
		if l.byEvent[[2]string{name, id}] != "" && !releases[id] {
			l.failed("%s got %s, and the application's row is missing", name, id)
		}
	}
}

func (c counts) String() string {
	return fmt.Sprintf("%d events acknowledged of %d, %d deliveries, %d requests, %d handled again", c.acked, c.intended, c.delivered, c.requests, c.repeated)
}
