//go:build linux && (amd64 || arm64)

package database

import (
	"database/sql"
	"slices"
	"time"

	"github.com/deployhook/deployhook/sender/outbox"
)

const (
	// promptly is how long a healthy endpoint may have a due delivery without an
	// attempt. A process notices a change within a second, and looks again when it
	// has settled.
	promptly = 7 * time.Second
	// takesOver is added when the faults have just ended, since a process can be
	// waiting for a statement that a fault has delayed.
	takesOver = 20 * time.Second
	// lookEvery is how often a world without faults looks.
	lookEvery = 2 * time.Second
)

// planLooks plans looks in addition to those at each event.
func (w *world) planLooks() {
	for at := lookEvery; at < active; at += lookEvery {
		w.Plan(at, "look", func() {})
	}
}

// overdue is a due delivery whose job is asleep.
type overdue struct {
	id, endpoint           string
	due, last, breakerOpen time.Time // the last attempt is one of the endpoint's
}

// checkOverdue looks for endpoints that could get a delivery and get none. In a
// world with faults it does so after they have ended.
func (o *observer) checkOverdue() {
	w := o.world
	since, most := w.begun, promptly
	if !w.fair {
		if since, most = w.calmSince(), promptly+takesOver; since.IsZero() {
			return
		}
	}
	if time.Since(o.looked) < lookEvery {
		return
	}
	o.looked = time.Now()
	asleep := map[string]time.Time{}
	for _, d := range o.overdue() {
		// The job of a crashed process is claimed until its lease ends.
		if asleep[d.id] = o.asleep[d.id]; asleep[d.id].IsZero() {
			asleep[d.id] = time.Now()
		}
		e := w.endpoints[d.endpoint]
		if e == nil || e.ready().IsZero() {
			continue
		}
		from := slices.MaxFunc([]time.Time{since, asleep[d.id], e.ready(), d.due, d.last, d.breakerOpen}, time.Time.Compare)
		if idle := time.Since(from); idle > most && !o.late[d.id] {
			o.late[d.id] = true
			w.Violate("delivery %s was due at %v, and healthy %s has had no attempt for %v", d.id, w.since(d.due), e.address, idle)
		}
	}
	o.asleep = asleep
}

// overdue reads the due deliveries whose jobs are asleep, and what their
// endpoints wait for.
func (o *observer) overdue() (all []overdue) {
	o.query(outboxFile, func(db *sql.DB) error {
		rows, err := db.Query(`SELECT d.id, d.endpoint, d.next_at, e.breaker_open_until, COALESCE(l.at, 0)
			FROM outbox_delivery d JOIN outbox_endpoint e ON e.id = d.endpoint JOIN outbox_job j ON j.id = d.job
			LEFT JOIN (SELECT x.endpoint, max(a.started_at + a.total / 1000) AS at FROM outbox_attempt a JOIN outbox_delivery x ON x.id = a.delivery GROUP BY x.endpoint) l
			ON l.endpoint = e.id
			WHERE e.state <> ? AND d.state = 'pending' AND d.blocked = 0 AND d.next_at < ? AND j.claimed_until <= ?`,
			string(outbox.EndpointDisabled), time.Now().UnixMicro(), time.Now().UnixMicro())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d overdue
			var due, breakerOpen, last int64
			if err := rows.Scan(&d.id, &d.endpoint, &due, &breakerOpen, &last); err != nil {
				return err
			}
			d.due, d.breakerOpen, d.last = time.UnixMicro(due), time.UnixMicro(breakerOpen), time.UnixMicro(last)
			all = append(all, d)
		}
		return rows.Err()
	})
	return all
}

// ready returns since when nothing that the world knows of keeps an endpoint
// from getting deliveries. It is zero while something does.
func (e *endpoint) ready() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mode != healthy || e.slowed || e.removing {
		return time.Time{}
	}
	return e.changed
}

// change notes that an operator has just done something about the endpoint, or
// that it behaves differently.
func (e *endpoint) change() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changed = time.Now()
}

// calmSince returns when the faults ended. It is zero before.
func (w *world) calmSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calmAt
}
