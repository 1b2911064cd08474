package main

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

// replayed is the endpoint that gets replays.
const replayed = "steady"

// replayRate is how many deliveries of a replay are sent in a second.
const replayRate = 200

// operators make the calls of the platform's pages.
type operators struct {
	*world
	random   *rand.Rand
	ids      map[string]string // of endpoints by name
	secrets  secrets
	rotating bool // the last rotation may have failed
	disabled bool
	replays  []string // of the toggled endpoint, which may have been interrupted
	calls    map[string]int
}

// createEndpoints creates the endpoints of all apps.
func (o *operators) createEndpoints(ctx context.Context) error {
	for _, s := range subscriptions() {
		e, secret, err := o.outbox.App(s.app).CreateEndpoint(ctx, outbox.EndpointConfig{
			URL: sender.NewURL(o.proxy.url() + "/" + s.name), Events: s.events, Timeout: attemptTimeout,
		})
		if err != nil {
			return err
		}
		o.ids[s.name], o.secrets[s.name] = e.ID, []string{secret.Reveal()}
	}
	return o.secrets.write(o.place.secretsFile())
}

// run makes a call now and then, until ctx ends.
func (o *operators) run(ctx context.Context) {
	calls := map[string]func(context.Context) error{
		"rotate": o.rotate, "toggle": o.toggle, "replay": o.replay, "replay-range": o.replayRange,
	}
	names := slices.Sorted(maps.Keys(calls))
	for {
		wait := time.Second + time.Duration(o.random.Int64N(int64(3*time.Second)))
		name := names[o.random.IntN(len(names))]
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		once, cancel := context.WithTimeout(ctx, 20*time.Second)
		if err := calls[name](once); err == nil {
			o.calls[name]++
		} else if ctx.Err() == nil {
			o.note("%s: %v", name, err)
		}
		cancel()
	}
}

// rotate gives an endpoint a new secret. The receivers know it first. If the
// call fails, the next rotation is to the same secret, because it may have been
// stored.
func (o *operators) rotate(ctx context.Context) error {
	if !o.rotating {
		known := o.secrets[rotated]
		o.secrets[rotated] = append([]string{signer.GenerateSecret().Reveal()}, known[:min(2, len(known))]...)
		if err := o.secrets.write(o.place.secretsFile()); err != nil {
			return err
		}
		o.rotating = true
	}
	_, err := o.outbox.App(shop).RotateSecret(ctx, o.ids[rotated], o.secrets[rotated][0], time.Minute)
	o.rotating = err != nil
	return err
}

// toggle disables or enables an endpoint. Half of the time it sends what the
// endpoint missed, and the call may be interrupted, as by a crash.
func (o *operators) toggle(ctx context.Context) error {
	a, id := o.outbox.App(shop), o.ids[toggled]
	if !o.disabled {
		err := a.Disable(ctx, id, "maintenance")
		o.disabled = err == nil
		return err
	}
	if o.random.IntN(2) == 0 {
		err := a.Enable(ctx, id)
		o.disabled = err != nil
		return err
	}
	batches := o.random.IntN(3)
	cut, cancel := context.WithCancel(ctx)
	defer cancel()
	err := a.Enable(cut, id, outbox.WithMissed(outbox.WithReplayRate(replayRate), outbox.WithReplayProgress(func(s outbox.ReplayStatus) {
		o.replays = append(o.replays, s.ID)
		if batches--; batches < 0 {
			cancel()
		}
	})))
	if cut.Err() != nil && ctx.Err() == nil {
		err = nil // it was interrupted on purpose
	}
	o.disabled = err != nil
	return err
}

// replay sends one delivery again.
func (o *operators) replay(ctx context.Context) error {
	id, ok := o.ledger.anyRecent(o.random.IntN)
	if !ok {
		return errors.New("nothing was delivered yet")
	}
	return o.outbox.App(shop).Replay(ctx, id)
}

// replayRange sends all deliveries of two seconds again.
func (o *operators) replayRange(ctx context.Context) error {
	until := time.Now().Add(-time.Duration(o.random.Int64N(int64(time.Minute))))
	_, err := o.outbox.App(shop).ReplayRange(ctx, outbox.DeliveryFilter{
		Endpoint: o.ids[replayed], States: []outbox.State{outbox.Delivered}, Since: until.Add(-2 * time.Second), Until: until,
	}, outbox.WithReplayRate(replayRate))
	return err
}

// finish publishes what no process has acknowledged, and sends the endpoint
// that was disabled what it missed. It calls progress again and again.
func (o *operators) finish(ctx context.Context, progress func()) error {
	for id, at := range o.ledger.unknown() {
		if err := o.publishAgain(ctx, id, at); err != nil {
			return err
		}
		progress()
	}
	progressing := outbox.WithReplayProgress(func(outbox.ReplayStatus) { progress() })
	a := o.outbox.App(shop)
	if err := a.Enable(ctx, o.ids[toggled]); err != nil {
		return err
	}
	slices.Sort(o.replays)
	for _, id := range slices.Compact(o.replays) {
		if _, err := a.ResumeReplay(ctx, id, progressing); err != nil {
			return err
		}
	}
	s, err := a.SendMissed(ctx, o.ids[toggled], time.Time{}, outbox.WithReplayRate(10*replayRate), progressing)
	if err != nil {
		return err
	}
	o.missed = s.Scheduled
	left, err := a.Missed(ctx, o.ids[toggled], time.Time{})
	if err == nil && left.N > 0 {
		o.fail("%v events are still missed after SendMissed", left)
	}
	return err
}

// publishAgain is what an application does that does not know whether it has
// published.
func (o *operators) publishAgain(ctx context.Context, id string, at time.Time) error {
	_, err := o.outbox.App(appOf(id)).Publish(ctx, eventOf(id, at), outbox.WithEventID(id))
	if err == nil {
		o.ledger.noteAck(id)
	}
	return err
}
