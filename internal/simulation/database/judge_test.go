//go:build linux && (amd64 || arm64)

package database

import (
	"database/sql"
	"slices"
	"time"
)

const (
	// early is how long before its time a job may run.
	early = 100 * time.Millisecond
	// underWay is how long an attempt may begin after its endpoint was disabled,
	// since its delivery was read before. The disk hangs for 3 seconds at most.
	underWay = 8 * time.Second
)

// judge checks at the end what can't be known before.
func (w *world) judge() {
	for _, e := range w.created {
		w.judgeEndpoint(e)
	}
	w.inboxes.judge()
	w.ledgers.judge()
	deliveries := w.observer.history()
	for _, d := range deliveries {
		d.judgeWaits(w)
		d.judgeDisabled(w)
	}
	w.judgeRates(deliveries)
	if w.outage {
		w.judgeOutage(deliveries)
	}
	if w.ordering {
		w.judgeOrder(deliveries)
	}
}

// judgeEndpoint looks for acknowledged events that an endpoint did not accept.
func (w *world) judgeEndpoint(e *endpoint) {
	if e.removing {
		return
	}
	for _, event := range w.events {
		if !event.acked.IsZero() && event.app == e.app && e.accepts(event.typ) && e.accepted[event.id].IsZero() {
			w.Violate("%s never accepted event %s, which was published at %v", e.address, event.id, event.acked)
		}
	}
}

// judge compares the deliveries that the inbox accepted with their effects.
func (s *inboxes) judge() {
	if len(s.nodes) == 0 {
		return
	}
	effects := s.effects
	if s.transactional {
		effects = map[string]int{}
		s.world.observer.query(inboxFile, func(db *sql.DB) error { return collectEffects(db, effects) })
	}
	for event := range s.endpoint.accepted {
		id := s.endpoint.ids[event]
		n := effects[id]
		if n == 0 || n > 1 && s.transactional {
			s.world.Violate("delivery %s of event %s had %d effects", id, event, n)
		}
		if n > 1 {
			s.world.Cover("inbox: an effect twice, without a transaction")
		}
	}
}

func collectEffects(db *sql.DB, effects map[string]int) error {
	rows, err := db.Query(`SELECT delivery, count(*) FROM effect GROUP BY delivery`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			return err
		}
		effects[id] = n
	}
	return rows.Err()
}

// past is a delivery with its attempts.
type past struct {
	id, event, endpoint, deployment, state string
	replays                                int64
	eventAt, created, done                 time.Time
	attempts                               []attempt
}

type attempt struct {
	number     int64
	start      time.Time
	total      time.Duration
	retryAfter time.Duration
}

// history reads all deliveries and attempts.
func (o *observer) history() (all []*past) {
	byID := map[string]*past{}
	o.query(outboxFile, func(db *sql.DB) error {
		rows, err := db.Query(`SELECT d.id, d.event, d.endpoint, d.deployment, d.state, d.replays, d.event_at, d.created_at, d.done_at,
			a.number, a.started_at, a.total, a.retry_after FROM outbox_delivery d JOIN outbox_attempt a ON a.delivery = d.id ORDER BY d.id, a.number`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d past
			var a attempt
			var eventAt, created, done, start, total, retryAfter int64
			if err := rows.Scan(&d.id, &d.event, &d.endpoint, &d.deployment, &d.state, &d.replays, &eventAt, &created, &done, &a.number, &start, &total, &retryAfter); err != nil {
				return err
			}
			d.eventAt, d.created, d.done = time.UnixMicro(eventAt), time.UnixMicro(created), time.UnixMicro(done)
			a.start, a.total, a.retryAfter = time.UnixMicro(start), time.Duration(total), time.Duration(retryAfter)
			if byID[d.id] == nil {
				byID[d.id] = &d
				all = append(all, &d)
			}
			byID[d.id].attempts = append(byID[d.id].attempts, a)
		}
		return rows.Err()
	})
	return all
}

// judgeWaits checks that no retry came before its time.
func (d *past) judgeWaits(w *world) {
	if d.replays > 0 {
		return
	}
	for i, a := range d.attempts {
		if i == 0 {
			continue
		}
		before := d.attempts[i-1]
		if before.number > int64(len(waits)) {
			w.Violate("delivery %s had attempt %d, and the schedule has %d", d.id, a.number, len(waits)+1)
			return
		}
		wait := max(waits[before.number-1], before.retryAfter)
		if got := a.start.Sub(before.start.Add(before.total)); got < wait-early {
			w.Violate("delivery %s was tried again after %v, which is less than %v", d.id, got, wait)
		}
	}
}

// judgeDisabled checks that no attempt began while the endpoint was disabled.
func (d *past) judgeDisabled(w *world) {
	e := w.endpoints[d.endpoint]
	if e == nil {
		return
	}
	for _, a := range d.attempts {
		for _, p := range e.periods {
			if a.start.After(p.from.Add(underWay)) && a.start.Before(p.to) {
				w.Violate("delivery %s was tried at %v, while %s was disabled from %v to %v", d.id, a.start, e.address, p.from, p.to)
			}
		}
	}
}

// judgeRates checks that no second has more than one attempt over the limit.
func (w *world) judgeRates(all []*past) {
	starts := map[string][]time.Time{}
	for _, d := range all {
		for _, a := range d.attempts {
			starts[d.endpoint] = append(starts[d.endpoint], a.start)
		}
	}
	for id, at := range starts {
		e := w.endpoints[id]
		if e == nil || e.limit == 0 {
			continue
		}
		slices.SortFunc(at, time.Time.Compare)
		n := int(e.limit) + 1
		for i := range at {
			if i+n < len(at) && at[i+n].Sub(at[i]) < time.Second {
				w.Violate("%s got %d attempts in %v, and its limit is %v a second", e.address, n+1, at[i+n].Sub(at[i]), e.limit)
				return
			}
		}
	}
}

// judgeOrder checks that a delivery began after the older ones of its
// deployment had ended, if those were published before it.
func (w *world) judgeOrder(all []*past) {
	type sequence struct{ endpoint, deployment string }
	bySequence := map[sequence][]*past{}
	for _, d := range all {
		if d.replays == 0 && w.events[d.event] != nil {
			s := sequence{d.endpoint, d.deployment}
			bySequence[s] = append(bySequence[s], d)
		}
	}
	for _, ds := range bySequence {
		for _, older := range ds {
			for _, newer := range ds {
				acked := w.events[older.event].acked
				if acked.IsZero() || !acked.Before(newer.eventAt) || !older.created.Before(newer.created) {
					continue
				}
				w.Cover("order: two deliveries of a deployment")
				if newer.attempts[0].start.Before(older.done) {
					w.Violate("delivery %s began at %v, and the older %s ended at %v", newer.id, newer.attempts[0].start, older.id, older.done)
				}
			}
		}
	}
}
