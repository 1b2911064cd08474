//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// event is an event of a platform.
type event struct {
	id, app    string
	deployment string
	typ        payload.Type
	at         time.Time
	acked      time.Time // when a call that published it returned nil
	rolledBack bool      // all transactions that published it were rolled back
}

// types are the types of events.
var types = [...]payload.Type{"sim.alpha", "sim.beta", "sim.gamma"}

// planPublishing plans what the platforms publish.
func (w *world) planPublishing() {
	r := w.Rand("publishing")
	n := 10 + r.IntN(40)
	for i := range n {
		w.planEvent(i, between(r, 0, active-5*time.Second), r.IntN(8), r.IntN(3), r.IntN(10), r.IntN(len(w.nodes)))
	}
	if chance(r, 0.15) {
		at := between(r, 5*time.Second, active/2)
		deployments := r.Perm(100)
		w.Plan(at, "publish many", func() {
			for i, deployment := range deployments {
				e := w.newEvent(1000+i, 100+deployment/2, i%len(types), false)
				w.async(func() { w.publish(e, 9, i) })
			}
		})
	}
}

// planEvent plans one event. how says how it is published.
func (w *world) planEvent(i int, at time.Duration, deployment, typ, how, on int) {
	w.Plan(at, "publish", func() {
		e := w.newEvent(i, deployment, typ, how == 0)
		w.async(func() { w.publish(e, how, on) })
	})
}

// newEvent makes an event, of the first app if i is even.
func (w *world) newEvent(i, deployment, typ int, rolledBack bool) *event {
	app := apps[i%2]
	e := &event{
		id: fmt.Sprintf("evt-%d", i), app: app, deployment: fmt.Sprintf("%s-%d", app, deployment),
		typ: types[typ], at: time.Now(), rolledBack: rolledBack,
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[e.id] = e
	return e
}

// publish publishes an event until a call returns nil, as a platform does that
// must not lose it.
func (w *world) publish(e *event, how, on int) {
	for try := range 30 {
		n := w.anyNode(on + try)
		if n == nil {
			time.Sleep(time.Second) // of the bubble
			continue
		}
		if p := n.running(); p != nil {
			err := p.publish(e, how)
			if err == nil && p.sim.Alive() {
				w.mu.Lock()
				if e.acked.IsZero() && !e.rolledBack {
					e.acked = time.Now()
				}
				w.mu.Unlock()
				if how != 1 || try > 0 {
					return
				}
				w.Cover("publish: the same event twice")
				continue
			}
			w.Log("publishing %s: %v", e.id, err)
			w.Cover("publish: failed")
		}
		time.Sleep(500 * time.Millisecond) // of the bubble
	}
}

// publish publishes an event once: directly, or in a transaction of the
// platform, which may be rolled back.
func (p *process) publish(e *event, how int) error {
	ctx, cancel := context.WithTimeout(p.sim.Context(), 15*time.Second)
	defer cancel()
	app := p.outbox.App(e.app)
	record := &payload.Event{Type: e.typ, Timestamp: e.at, DeploymentID: e.deployment, App: e.app}
	if how > 2 || how == 1 {
		_, err := app.Publish(ctx, record, outbox.WithEventID(e.id))
		if err == nil {
			p.node.world.Cover("publish: directly")
		}
		return err
	}
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	_, err = tx.ExecContext(ctx, `INSERT INTO release (event) VALUES (?) ON CONFLICT DO NOTHING`, e.id)
	if err == nil {
		_, err = app.PublishTx(ctx, tx, record, outbox.WithEventID(e.id))
	}
	if err != nil {
		return err
	}
	if e.rolledBack {
		p.node.world.Cover("publish: rolled back")
		return nil
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(errors.New("commit"), err)
	}
	p.node.world.Cover("publish: in a transaction")
	return nil
}
