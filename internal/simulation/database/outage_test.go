//go:build linux && (amd64 || arm64)

package database

import (
	"time"
)

const (
	outageEvents = 300
	outageBegins = 3 * time.Second
	outageEnds   = 15 * time.Second
	// rampTime is how long the documented ramp takes after a breaker has closed.
	// Then the window of attempts in flight is limit enough.
	rampTime = 8 * time.Second
)

// planOutage plans nothing but an endpoint that is down while many events are
// published. All processes are killed meanwhile. When the endpoint is back, the
// backlog must come as fast as the ramp allows.
func (w *world) planOutage() {
	w.outage = true
	r := w.Rand("outage")
	w.Plan(outageBegins, "the endpoints are down", func() {
		for _, e := range w.created {
			e.set(failing)
		}
	})
	w.Plan(outageBegins, "publish much", func() {
		w.async(func() {
			for i := range outageEvents {
				time.Sleep(10 * time.Millisecond) // of the bubble
				w.async(func() { w.publish(w.newEvent(2*i, i, i%len(types), false), 9, 0) })
			}
		})
	})
	at := between(r, outageEnds-4*time.Second, outageEnds)
	w.Plan(at, "all processes are killed", func() {
		for _, n := range w.nodes {
			if p := n.running(); p != nil {
				p.crash()
			}
			n.restart(outageEnds + time.Second - at)
		}
	})
	w.Plan(outageEnds, "the endpoints are back", func() {
		for _, e := range w.created {
			e.set(healthy)
		}
	})
}

// judgeOutage checks when the backlog came. It leaves out the few deliveries
// that were being attempted when the processes were killed, and those that wait
// for a retry.
func (w *world) judgeOutage(all []*past) {
	limit := outageEnds + breakerMax*3/2 + rampTime + 10*time.Second
	for _, d := range all {
		e := w.endpoints[d.endpoint]
		if e == nil || e.limit > 0 || len(d.attempts) > 1 || w.events[d.event] == nil {
			continue
		}
		if at := w.since(d.attempts[0].start); at > limit {
			w.Violate("delivery %s waited until %v, and the ramp of %s was over at %v", d.id, at, e.address, limit)
			return
		}
		w.Cover("outage: the backlog is sent")
	}
}

// since returns a time as the time since the world began.
func (w *world) since(t time.Time) time.Duration { return w.Elapsed() - time.Since(t) }
