//go:build linux && (amd64 || arm64)

package database

import (
	"slices"
	"time"
)

const (
	outageEvents = 450
	outageBegins = 3 * time.Second
	outageEnds   = 24 * time.Second
	// outageLasts is when the world sends everything again, which hides how fast
	// the backlog came.
	outageLasts = 2 * time.Minute
)

// planOutage plans nothing but an endpoint that fails or hangs while many
// events are published. All processes are killed meanwhile, or just after the
// endpoint has accepted the first deliveries again. The backlog must then come
// as fast as the ramp allows.
func (w *world) planOutage() {
	r := w.Rand("outage")
	how := []mode{failing, slow, slow}[r.IntN(3)]
	w.Plan(outageBegins, "the endpoints are down", func() {
		for _, e := range w.created {
			e.set(how)
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
	down := between(r, 500*time.Millisecond, 5*time.Second)
	early, accepted := chance(r, 0.2), 1+r.IntN(5)
	if early {
		w.Plan(between(r, outageEnds-4*time.Second, outageEnds), "all processes are killed", func() { w.replaceAll(down) })
	}
	w.Plan(outageEnds, "the endpoints are back", func() {
		for _, e := range w.created {
			e.set(healthy)
		}
		if !early {
			w.async(func() {
				if w.waitAccepted(accepted) {
					w.replaceAll(down)
				}
			})
		}
	})
}

// replaceAll kills all processes and starts others after a time.
func (w *world) replaceAll(after time.Duration) {
	w.Log("all processes are killed")
	for _, n := range w.nodes {
		if p := n.running(); p != nil {
			p.crash()
		}
		n.restart(after)
	}
}

// waitAccepted waits until the endpoint has accepted n events. By then the
// breaker is closed, and most of the backlog is asleep for a time that was
// drawn while it was open.
func (w *world) waitAccepted(n int) bool {
	for !w.isCalm() {
		time.Sleep(20 * time.Millisecond) // of the bubble
		if w.created[0].acceptedCount() >= n {
			return true
		}
	}
	return false
}

func (e *endpoint) acceptedCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.accepted)
}

// ramped is how long nineteen of twenty deliveries of the backlog take at most.
// With or without new processes they took up to 25 seconds in the runs that
// chose the bound. They take a minute and more if each waits for the end of its
// own snooze.
const ramped = 35 * time.Second

// judgeOutage checks that the backlog came by the ramp, as it would have come
// without new processes. It leaves out what waits for a retry, and a twentieth
// for jobs that ran when their process was killed and are rescued later. The
// time counts from the first delivery to the processes that run now.
func (w *world) judgeOutage(all []*past) {
	var from time.Time
	var starts []time.Time
	for _, n := range w.nodes {
		if p := n.running(); p != nil && p.started.After(from) {
			from = p.started
		}
	}
	for _, d := range all {
		if e := w.endpoints[d.endpoint]; e != nil && len(d.attempts) == 1 && w.events[d.event] != nil && d.attempts[0].start.After(from) {
			starts = append(starts, d.attempts[0].start)
		}
	}
	if len(starts) == 0 {
		return
	}
	slices.SortFunc(starts, time.Time.Compare)
	w.Cover("outage: the backlog is sent")
	last := starts[(len(starts)-1)*19/20]
	if took := last.Sub(starts[0]); took > ramped {
		w.Violate("nineteen of twenty deliveries of the backlog took %v after the restart, which is more than %v", took, ramped)
	}
}

// since returns a time as the time since the world began.
func (w *world) since(t time.Time) time.Duration { return w.Elapsed() - time.Since(t) }
