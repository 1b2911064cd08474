// The race detector makes SQLite about twenty times slower, and these tests
// have large tables. The gate also runs them without it.

//go:build !race

package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// hotEvent is one of a deployment that has many deliveries.
func hotEvent(typ payload.Type) *payload.Event {
	e := &payload.Event{
		Type: typ, Timestamp: time.Now().UTC().Truncate(time.Millisecond), DeploymentID: "hot", App: "big", Environment: "production",
	}
	if typ == payload.DeployFailed {
		e.Error = "timed out"
	}
	return e
}

func (g *grown) publish(t *testing.T, typ payload.Type, id string) {
	opts := []PublishOption{}
	if id != "" {
		opts = append(opts, WithEventID(id))
	}
	_, err := g.App("big").Publish(t.Context(), hotEvent(typ), opts...)
	require.NoError(t, err)
}

func (g *grown) inTx(t *testing.T, f func(ctx context.Context, tx *jobdb.Tx) error) {
	require.NoError(t, g.db.InTx(t.Context(), f))
}

// publishing are the statements of publishers.
func publishing() []operation {
	again := hotEvent("deploy.canary")
	return []operation{
		{name: "publish", run: func(t *testing.T, g *grown) { g.publish(t, "deploy.canary", "") }},
		{name: "publish what begins a deployment", run: func(t *testing.T, g *grown) { g.publish(t, payload.DeployStarted, "") }},
		{name: "publish what ends a deployment", rows: 12_000, pages: 150_000, run: func(t *testing.T, g *grown) { g.publish(t, payload.DeployFailed, "") }},
		{name: "publish again", run: func(t *testing.T, g *grown) {
			for range 2 {
				_, err := g.App("big").Publish(t.Context(), again, WithEventID("again"))
				require.NoError(t, err)
			}
		}},
		{name: "erase", run: func(t *testing.T, g *grown) {
			require.NoError(t, g.App("big").EraseEvent(t.Context(), fmt.Sprintf("evt_%d", g.n/2+100)))
		}},
		{name: "poll", rows: maxExamined + 600, pages: 5000, run: func(t *testing.T, g *grown) {
			_, err := g.App("big").Events(t.Context(), EventFilter{}, Page{})
			require.NoError(t, err)
		}},
		{name: "poll since", rows: maxExamined + 600, pages: 5000, run: func(t *testing.T, g *grown) {
			_, err := g.App("big").Events(t.Context(), EventFilter{Since: g.at(g.n / 2)}, Page{})
			require.NoError(t, err)
		}},
	}
}

// delivering are the statements of workers.
func delivering() []operation {
	at := func(g *grown, i int) *loaded { return g.loaded(g.id(i)) }
	return []operation{
		{name: "load", run: func(t *testing.T, g *grown) {
			_, err := g.worker.loader.loadBatch(t.Context(), []string{g.id(63), g.id(103), g.id(15), g.id(0)})
			require.NoError(t, err)
		}},
		{name: "record", run: func(t *testing.T, g *grown) {
			a, b, c := at(g, 7), at(g, 15), at(g, 23)
			g.write(a.delivered(time.Now()), b.failed(time.Now(), time.Now().Add(time.Hour)), c.failed(time.Now(), time.Time{}))
			end := at(g, 31)
			g.write(&result{id: end.id, job: end.job, state: Canceled, reason: "x", doneAt: time.Now()})
		}},
		{name: "look for an earlier dead letter", rows: 2*scanRows + 600, pages: 3000, run: func(t *testing.T, g *grown) {
			d := at(g, g.n/2+1)
			d.failingSince = g.at(g.n / 2)
			_, err := g.health.hasEarlierDeadLetter(t.Context(), d, &result{state: Failed, doneAt: time.Now()})
			require.NoError(t, err)
			d.failingSince = time.Now()
			_, err = g.health.hasEarlierDeadLetter(t.Context(), d, &result{state: Failed, doneAt: time.Now()})
			require.NoError(t, err)
		}},
		{name: "look for failures", rows: 1500, pages: 3000, run: func(t *testing.T, g *grown) {
			_, err := g.health.failedThroughout(t.Context(), at(g, 7))
			require.NoError(t, err)
		}},
	}
}

// reading are the calls of an application that read one thing, and replays.
func reading() []operation {
	return []operation{
		{name: "delivery", run: func(t *testing.T, g *grown) {
			_, err := g.App("big").Delivery(t.Context(), g.id(g.n/2+1))
			require.NoError(t, err)
			_, err = g.App("small").Delivery(t.Context(), g.id(g.n/2+1))
			require.ErrorIs(t, err, ErrUnknownDelivery)
			_, err = g.App("big").Attempts(t.Context(), g.id(g.n/2+1))
			require.NoError(t, err)
		}},
		{name: "replay", run: func(t *testing.T, g *grown) {
			require.NoError(t, g.App("big").Replay(t.Context(), g.id(g.n/2)))
		}},
		{name: "replay status", rows: 50_000, pages: 2000, run: func(t *testing.T, g *grown) {
			_, err := g.App("big").ReplayStatus(t.Context(), grownReplay)
			require.NoError(t, err)
			_, err = g.App("big").Replays(t.Context(), Page{})
			require.NoError(t, err)
		}},
		scanning("count replay", func(t *testing.T, g *grown) {
			_, err := g.App("big").CountReplay(t.Context(), DeliveryFilter{Answer: Answer5xx})
			require.NoError(t, err)
		}),
		scanning("replay range", func(t *testing.T, g *grown) {
			row := &replayRow{app: "big", filter: `{"States":["failed","canceled"]}`, cursor: g.id(g.n / 2)}
			g.inTx(t, func(ctx context.Context, tx *jobdb.Tx) error {
				_, _, err := g.replayer.nextBatch(ctx, tx, row)
				return err
			})
		}),
		{name: "enable", run: func(t *testing.T, g *grown) { require.NoError(t, g.App("big").Enable(t.Context(), g.big[0])) }},
		{name: "endpoints", run: func(t *testing.T, g *grown) {
			_, err := g.App("big").Endpoints(t.Context())
			require.NoError(t, err)
			e, _, err := g.App("big").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/" + newID("x"))})
			require.NoError(t, err)
			require.NoError(t, g.App("big").Disable(t.Context(), e.ID, "x"))
			require.NoError(t, g.App("big").DeleteEndpoint(t.Context(), e.ID))
		}},
	}
}

// missing are the calls that count and send what an endpoint missed.
func missing() []operation {
	return []operation{
		{name: "missed", rows: 2*MaxCount + 600, pages: 60_000, run: func(t *testing.T, g *grown) {
			_, err := g.App("big").Missed(t.Context(), g.big[0], g.at(g.n/2))
			require.NoError(t, err)
		}},
		{name: "send missed", rows: 2*maxExamined + 600, pages: 10_000, run: func(t *testing.T, g *grown) {
			e, _, err := g.endpoints.read(t.Context(), g.db, g.big[0])
			require.NoError(t, err)
			g.inTx(t, func(ctx context.Context, tx *jobdb.Tx) error {
				_, err := nextMissed(ctx, g.db.Dialect(), tx, e, &DeliveryFilter{Until: time.Now()}, missedCursor(micros(g.at(g.n/2)), ""))
				return err
			})
		}},
	}
}

// maintaining are the statements that run about once a minute.
func maintaining() []operation {
	pruning := func(change func(g *grown, r *retention)) func(t *testing.T, g *grown) {
		return func(t *testing.T, g *grown) {
			r := *g.retention
			r.eventAge, r.age, r.deadAge = 30*24*time.Hour, 30*24*time.Hour, 30*24*time.Hour
			change(g, &r)
			_, err := r.prune(t.Context(), &walks{})
			require.NoError(t, err)
		}
	}
	// They write in batches.
	all := []operation{
		{name: "maintain", run: func(t *testing.T, g *grown) { g.retention.maintain(t.Context()) }},
		{name: "prune nothing", run: pruning(func(*grown, *retention) {})},
		{name: "prune deliveries", run: pruning(func(g *grown, r *retention) { r.age = time.Since(g.at(700)) })},
		{name: "prune old dead letters", run: pruning(func(g *grown, r *retention) { r.deadAge = time.Since(g.at(2000)) })},
		{name: "keep events with deliveries", run: pruning(func(_ *grown, r *retention) { r.eventAge = time.Hour })},
		{name: "keep bodies", run: pruning(func(g *grown, r *retention) { r.bodyAge = time.Since(g.at(1200)) })},
		{name: "measure", run: pruning(func(_ *grown, r *retention) { r.maxBytes = 1 << 40 })},
		{name: "prune by size", run: pruning(func(g *grown, r *retention) { r.maxBytes = int64(g.n) * 1140 })},
		{name: "cancel", run: func(t *testing.T, g *grown) {
			g.exec(`UPDATE {schema}outbox_endpoint SET state = 'disabled' WHERE id = ?`, g.big[3])
			require.NoError(t, g.retention.cancelForgotten(t.Context()))
			require.NoError(t, g.health.cancelPending(t.Context(), owned{"big", g.big[3]}, "x"))
			require.NoError(t, g.App("big").Enable(t.Context(), g.big[3]))
		}},
	}
	for i := range all {
		all[i].rows, all[i].pages = 12_000, 30_000
	}
	return all
}

// needing are calls that read few rows with an index, and too many without it.
func needing() map[string][]operation {
	const last = 20 // the number of rows that they read
	late := func(g *grown) time.Time { return g.at(g.n - last) }
	one := func(run func(t *testing.T, g *grown) error) []operation {
		return []operation{{name: "call", pages: 250, run: func(t *testing.T, g *grown) { require.NoError(t, run(t, g)) }}}
	}
	count := one(func(t *testing.T, g *grown) error {
		_, err := g.retention.count(t.Context())
		return err
	})
	all := map[string][]operation{
		"outbox_delivery_done": count,
		"outbox_delivery_terminal": one(func(t *testing.T, g *grown) error {
			_, err := g.worker.loader.loadBatch(t.Context(), []string{g.id(23), g.id(63)})
			return err
		}),
		"outbox_body_age": one(func(t *testing.T, g *grown) error {
			_, err := g.retention.pruneBodyBatch(t.Context(), micros(late(g)), 0)
			return err
		}),
		"outbox_body_delivery": one(func(t *testing.T, g *grown) error {
			old, err := g.retention.oldest(t.Context(), isFinished, 1)
			if err == nil {
				_, err = g.retention.deleteDeliveries(t.Context(), old)
			}
			return err
		}),
	}
	for _, index := range []string{
		"outbox_delivery_app", "outbox_delivery_endpoint", "outbox_delivery_deployment", "outbox_delivery_event",
		"outbox_delivery_pending", "outbox_delivery_failed", "outbox_delivery_replay",
	} {
		all[index] = lists()
	}
	return all
}
