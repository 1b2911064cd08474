package sendertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Arrivals returns the requests so far, in the order in which they arrived.
func (e *Endpoint) Arrivals() []Arrival {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.copies()
}

// copies is Arrivals for a caller that holds the lock.
func (e *Endpoint) copies() []Arrival {
	all := make([]Arrival, len(e.arrivals))
	for i, a := range e.arrivals {
		all[i] = a.Arrival
	}
	return all
}

// Attempts returns the requests of one delivery so far.
func (e *Endpoint) Attempts(id string) []Arrival {
	return slices.DeleteFunc(e.Arrivals(), func(a Arrival) bool { return a.ID != id })
}

// Wait returns when n requests have arrived. It ends the test if that takes
// longer than atMost. It is for senders that work in the background, such as an
// outbox. The last request may not have its answer yet.
func (e *Endpoint) Wait(n int, atMost time.Duration) {
	e.network.t.Helper()
	if !e.wait(atMost, func() bool { return len(e.arrivals) >= n }) {
		all := e.Arrivals()
		e.network.t.Fatalf("sendertest: got %s at %s within %v, want %d%s", requests(len(all)), e.URL, atMost, n, list(all))
	}
}

// WaitAccepted returns when n deliveries were answered with 2xx. It ends the
// test if that takes longer than atMost.
func (e *Endpoint) WaitAccepted(n int, atMost time.Duration) {
	e.network.t.Helper()
	if !e.wait(atMost, func() bool { return len(accepted(e.copies())) >= n }) {
		all := e.Arrivals()
		e.network.t.Fatalf("sendertest: %s has accepted %d deliveries within %v, want %d%s", e.URL, len(accepted(all)), atMost, n, list(all))
	}
}

// wait reports whether the condition held in time. The condition is called with
// the lock.
func (e *Endpoint) wait(atMost time.Duration, condition func() bool) bool {
	limit := time.NewTimer(atMost)
	defer limit.Stop()
	for {
		e.mu.Lock()
		held, changed := condition(), e.changed
		e.mu.Unlock()
		if held {
			return true
		}
		select {
		case <-changed:
		case <-limit.C:
			return false
		}
	}
}

// accepted returns the types of the deliveries that were answered with 2xx.
func accepted(all []Arrival) (types []payload.Type) {
	seen := map[string]bool{}
	for _, a := range all {
		if a.Status >= 200 && a.Status <= 299 && !seen[a.ID] {
			seen[a.ID] = a.ID != "" // without an ID, each request counts
			types = append(types, a.Type)
		}
	}
	return types
}

// WantRequests fails the test if not exactly n requests have arrived.
func (e *Endpoint) WantRequests(n int) *Endpoint {
	e.network.t.Helper()
	if all := e.Arrivals(); len(all) != n {
		e.network.t.Errorf("sendertest: got %s at %s, want %d%s", requests(len(all)), e.URL, n, list(all))
	}
	return e
}

// WantAttempts fails the test if not exactly n requests of the delivery have
// arrived.
func (e *Endpoint) WantAttempts(id string, n int) *Endpoint {
	e.network.t.Helper()
	if got := len(e.Attempts(id)); got != n {
		e.network.t.Errorf("sendertest: got %s of delivery %s at %s, want %d%s", requests(got), id, e.URL, n, list(e.Arrivals()))
	}
	return e
}

// WantAccepted fails the test if the deliveries that were answered with 2xx do
// not have events of exactly these types. Each delivery counts once, however
// often it arrived, and their order does not matter.
func (e *Endpoint) WantAccepted(types ...payload.Type) *Endpoint {
	e.network.t.Helper()
	all := e.Arrivals()
	got, want := accepted(all), slices.Sorted(slices.Values(types))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		e.network.t.Errorf("sendertest: %s has accepted the types %v, want %v%s", e.URL, got, want, list(all))
	}
	return e
}

// WantWaits fails the test if the times between the requests are not within
// these bounds, each a minimum and a maximum in turn. It is exact in a
// testing/synctest bubble.
func (e *Endpoint) WantWaits(bounds ...time.Duration) *Endpoint {
	e.network.t.Helper()
	all := e.Arrivals()
	if len(all) != len(bounds)/2+1 {
		e.network.t.Errorf("sendertest: got %s at %s, want %d with a wait before all but the first%s", requests(len(all)), e.URL, len(bounds)/2+1, list(all))
		return e
	}
	for i := 1; i < len(all); i++ {
		least, most := bounds[2*i-2], bounds[2*i-1]
		if waited := all[i].At.Sub(all[i-1].At); waited < least || waited > most {
			e.network.t.Errorf("sendertest: request %d came %v after the one before it, want %v to %v: %v", i+1, waited, least, most, all[i])
		}
	}
	return e
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}

// list shows arrivals in the text of a failure.
func list(all []Arrival) string {
	var out strings.Builder
	for i, a := range all {
		fmt.Fprintf(&out, "\n\t%d. %v", i+1, a)
	}
	return out.String()
}
