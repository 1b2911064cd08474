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

// takeover is how long it takes until another process leads the queue, which
// makes jobs due that sleep, and until it has rescued those of dead processes.
const takeover = 70 * time.Second

// rescued is how many deliveries the processes may have been attempting
// when they were killed. They come when their jobs are rescued.
const rescued = 40

// judgeOutage checks when the backlog came. It leaves out what waits for a
// retry.
func (w *world) judgeOutage(all []*past) {
	late, limit := 0, outageEnds+breakerMax*3/2+rampTime+takeover
	for _, d := range all {
		e := w.endpoints[d.endpoint]
		if e == nil || e.limit > 0 || len(d.attempts) > 1 || w.events[d.event] == nil {
			continue
		}
		if w.since(d.attempts[0].start) > limit {
			late++
			continue
		}
		w.Cover("outage: the backlog is sent")
	}
	if late > rescued {
		w.Violate("%d deliveries waited until after %v, and the ramp was over then", late, limit)
	}
}

// since returns a time as the time since the world began.
func (w *world) since(t time.Time) time.Duration { return w.Elapsed() - time.Since(t) }
