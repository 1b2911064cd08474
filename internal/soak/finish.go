package main

import (
	"context"
	"math"
	"time"

	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// finish ends publishing, and waits until everything is delivered. It returns
// how long that took.
func (w *world) finish(ctx context.Context, o *operators) time.Duration {
	begin := time.Now()
	sampling, enough := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.sampleAll(sampling) }()
	defer func() { enough(); <-done }()

	w.fleet.hush()
	if w.servers.own != nil {
		// A terminal sends its interrupt to the server, too.
		if err := w.servers.restart(); err != nil {
			w.fail("the server did not start again: %v", err)
			return 0
		}
	}
	calls, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(w.config.drain, cancel)
	defer idle.Stop()
	progress := func() { idle.Reset(w.config.drain) }
	if err := eventually(calls, func() error { return o.finish(calls, progress) }); err != nil {
		w.fail("the operators' last calls failed, and none of them succeeded for %v: %v", w.config.drain, err)
	}
	if w.config.rescueNow {
		w.rescue(ctx)
	}
	w.drain(ctx)
	drained := time.Since(begin)
	w.calmDown(ctx)
	return drained
}

// calmDown waits until the steady processes have reported that they do no more
// than before the drain. Idle connections stay for a while. A leak is noticed
// by settleMemory.
func (w *world) calmDown(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); w.outgrown() && len(w.found()) == 0 && time.Since(begun) < 2*patience; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// rescue ends the leases of all jobs. So nothing waits for those of dead
// processes.
func (w *world) rescue(ctx context.Context) {
	release := func(own *app, schema, table string) {
		if w.place.Postgres != "" {
			table = schema + "." + table
		}
		if _, err := own.ExecContext(ctx, "UPDATE "+table+" SET claimed_until = 0 WHERE claimed_until <> 0"); err != nil {
			w.note("rescue: %v", err)
		}
	}
	release(w.apps[0], "deployhook_outbox", "outbox_job")
	if w.inbox != nil {
		release(w.apps[len(w.apps)-1], "deployhook_inbox", "inbox_job")
	}
}

// drain waits until nothing is pending. It gives up when the number has not
// become smaller for some time. How long it takes in all depends on the backlog
// and on the machine.
func (w *world) drain(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	least, since := math.MaxInt, time.Now()
	for {
		left, err := w.pending(ctx)
		if err == nil && left == 0 {
			return
		}
		if err == nil && left < least {
			least, since = left, time.Now()
		}
		if time.Since(since) > w.config.drain {
			w.fail("%d deliveries are pending, and none of them has ended for %v (%v)", left, w.config.drain, err)
			return
		}
		<-tick.C
	}
}

// pending counts what waits in the outbox and in the inbox. It does not use the
// figures of Stats, which may be some seconds old.
func (w *world) pending(ctx context.Context) (int, error) {
	left := 0
	for cursor := ""; ; {
		list, err := w.outbox.Deliveries(ctx, outbox.DeliveryFilter{States: []outbox.State{outbox.Pending}}, outbox.Page{Limit: outbox.MaxPageLimit, Cursor: cursor})
		if err != nil {
			return 0, err
		}
		left += len(list.Items)
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	if w.inbox == nil {
		return left, nil
	}
	s, err := w.inbox.Stats(ctx)
	return left + s.Pending, err
}

// settle compares what was published with what has happened.
func (w *world) settle(ctx context.Context) {
	var o outcome
	var err error
	if o.releases, err = w.apps[0].releases(ctx); err != nil {
		w.fail("reading the application's rows: %v", err)
		return
	}
	if w.inbox != nil {
		if o.effects, err = w.apps[len(w.apps)-1].effects(ctx); err != nil {
			w.fail("reading the effects: %v", err)
			return
		}
	}
	w.lost, w.doubled = w.ledger.settle(o)
	w.settleDead(ctx)
	w.settleMemory()
}

// settleDead checks that nothing was given up. The schedules never end, and no
// endpoint refuses a delivery for good.
func (w *world) settleDead(ctx context.Context) {
	list, err := w.outbox.Deliveries(ctx, outbox.DeliveryFilter{States: []outbox.State{outbox.Failed}}, outbox.Page{Limit: 5})
	if err != nil {
		w.fail("reading the dead letters: %v", err)
	}
	for _, d := range list.Items {
		w.fail("delivery %s of %s is a dead letter: %s", d.ID, d.EventID, d.LastError)
	}
	for part, n := range w.outbox.Faults() {
		w.fail("the outbox of the operators counts %d faults of %s", n, part)
	}
	if w.inbox == nil {
		return
	}
	dead, err := w.inbox.List(ctx, inbox.Filter{State: inbox.Dead}, inbox.Page{Limit: 5})
	if err != nil {
		w.fail("reading the dead letters of the inbox: %v", err)
	}
	for _, d := range dead.Items {
		w.fail("delivery %s is a dead letter of the inbox: %s", d.DeliveryID, d.LastError)
	}
}
