//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/deployhook/deployhook/sender/outbox"
)

// recover ends all faults, and sends everything again that was missed or
// failed.
func (w *world) recover() {
	w.Net.Disturb(nil)
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	for _, e := range w.created {
		e.set(healthy)
	}
	if !w.heal() {
		return
	}
	w.calls.Wait() // or a limit could be lowered after it was lifted
	w.mu.Lock()
	w.calmAt = time.Now()
	w.mu.Unlock()
	// In the first round an attempt may be in flight that ends with a 410. It
	// disables its endpoint after that was enabled.
	for round := range 6 {
		left := w.resend()
		w.observer.look()
		if !w.drain() || left == 0 && round > 0 {
			return
		}
	}
	w.Violate("there is something to send again after each round")
}

// heal ends the faults of all processes and starts those that are down.
func (w *world) heal() bool {
	all := w.programs()
	for range 60 {
		down := 0
		for _, n := range all {
			if p := n.running(); p != nil {
				p.faults.release()
				continue
			}
			down++
			if err := n.start(); err != nil {
				w.Log("%s does not start: %v", n.name, err)
			}
		}
		if down == 0 {
			return true
		}
		time.Sleep(time.Second) // of the bubble
	}
	w.Violate("not all processes start again")
	return false
}

// resend enables all endpoints and sends what they missed or what failed. It
// returns how many deliveries that were.
func (w *world) resend() (scheduled int) {
	p := w.nodes[0].running()
	for _, e := range w.created {
		n, err := e.resend(context.Background(), p.outbox.App(e.app))
		e.change()
		if err != nil {
			w.Violate("sending again to %s: %v", e.address, err)
		}
		scheduled += n
	}
	return scheduled
}

func (e *endpoint) resend(ctx context.Context, a *outbox.App) (int, error) {
	if e.removing {
		return 0, e.remove(ctx, a)
	}
	if err := e.limitTo(e.limit)(ctx, a); err != nil {
		return 0, err
	}
	if err := e.enable(outbox.WithMissed(outbox.WithReplayRate(100)))(ctx, a); err != nil {
		return 0, err
	}
	missed, err := a.SendMissed(ctx, e.id, time.Now().Add(-time.Hour), outbox.WithReplayRate(100))
	if err != nil {
		return 0, err
	}
	again, err := a.ReplayRange(ctx, outbox.DeliveryFilter{Endpoint: e.id, States: []outbox.State{outbox.Failed}}, outbox.WithReplayRate(100))
	return missed.Scheduled + again.Scheduled, err
}

// drain waits until nothing is left to do.
func (w *world) drain() bool {
	begun := time.Now()
	for time.Since(begun) < patience {
		time.Sleep(2 * time.Second) // of the bubble
		w.observer.look()
		if len(w.observer.waiting()) == 0 && w.inboxes.pending() == 0 && w.ledgers.pending() == 0 {
			w.Log("drained in %v", time.Since(begun))
			return true
		}
	}
	w.Violate("after %v without faults, these wait: %s; in the inbox: %d; reports: %d", patience, strings.Join(w.observer.waiting(), ", "), w.inboxes.pending(), w.ledgers.pending())
	return false
}

// waiting describes the deliveries that wait.
func (o *observer) waiting() (all []string) {
	o.query(outboxFile, func(db *sql.DB) error {
		rows, err := db.Query(`SELECT d.id || ' at ' || d.endpoint || ' attempts ' || attempts || ' next ' || datetime(next_at / 1000000, 'unixepoch') ||
			' blocked ' || blocked || ' job ' || COALESCE((SELECT 'at ' || datetime(run_at / 1000000, 'unixepoch') || ' claimed until ' || datetime(claimed_until / 1000000, 'unixepoch') || ' failures ' || failures FROM outbox_job WHERE id = d.job), 'none')
			FROM outbox_delivery d WHERE state = 'pending'`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			all = append(all, text)
		}
		return rows.Err()
	})
	return all
}

// pending returns how many deliveries the inbox has not handled.
func (s *inboxes) pending() (n int) {
	if len(s.nodes) == 0 {
		return 0
	}
	s.world.observer.query(inboxFile, func(db *sql.DB) error {
		return db.QueryRow(`SELECT count(*) FROM inbox_delivery WHERE state <> 'handled'`).Scan(&n)
	})
	return n
}
