package outbox_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

var (
	rowCount = flag.Int("outbox.rows", 0, "how many deliveries there are in TestProofReading; 0: 2,000, or 200 without -outbox.full")
	readFor  = flag.Duration("outbox.read.for", time.Second, "how long TestProofReading publishes in each of its rounds")
)

// readCall is a call whose time TestProofReading measures while events are
// published.
type readCall struct {
	name string
	call func(ctx context.Context, o *outbox.Outbox, f *fullLog) error
}

// fullLog is an app with a long log.
type fullLog struct {
	app, endpoint, event, deployment, later string
}

// readCalls are the lists, and publishing again.
func readCalls() []readCall {
	list := func(filter func(f *fullLog) outbox.DeliveryFilter, cursor func(f *fullLog) string) func(context.Context, *outbox.Outbox, *fullLog) error {
		return func(ctx context.Context, o *outbox.Outbox, f *fullLog) error {
			_, err := o.App(f.app).Deliveries(ctx, filter(f), outbox.Page{Cursor: cursor(f)})
			return err
		}
	}
	first := func(*fullLog) string { return "" }
	return []readCall{
		{"list app", list(func(*fullLog) outbox.DeliveryFilter { return outbox.DeliveryFilter{} }, first)},
		{"list app, later", list(func(*fullLog) outbox.DeliveryFilter { return outbox.DeliveryFilter{} }, func(f *fullLog) string { return f.later })},
		{"list endpoint", list(func(f *fullLog) outbox.DeliveryFilter { return outbox.DeliveryFilter{Endpoint: f.endpoint} }, first)},
		{"list event", list(func(f *fullLog) outbox.DeliveryFilter { return outbox.DeliveryFilter{EventID: f.event} }, first)},
		{"list deployment", list(func(f *fullLog) outbox.DeliveryFilter { return outbox.DeliveryFilter{DeploymentID: f.deployment} }, first)},
		{"list rare state", list(func(*fullLog) outbox.DeliveryFilter {
			return outbox.DeliveryFilter{States: []outbox.State{outbox.Superseded}}
		}, first)},
		{"list rare type", list(func(*fullLog) outbox.DeliveryFilter { return outbox.DeliveryFilter{Type: payload.BuildCompleted} }, first)},
		{"list of the operator", func(ctx context.Context, o *outbox.Outbox, _ *fullLog) error {
			_, err := o.Deliveries(ctx, outbox.DeliveryFilter{States: []outbox.State{outbox.Failed}}, outbox.Page{})
			return err
		}},
		{"missed", func(ctx context.Context, o *outbox.Outbox, f *fullLog) error {
			_, err := o.App(f.app).Missed(ctx, f.endpoint, time.Now().Add(-time.Hour))
			return err
		}},
		{"publish again", func(ctx context.Context, o *outbox.Outbox, f *fullLog) error {
			p, err := o.App(f.app).Publish(ctx, benchEvent(), outbox.WithEventID(f.event))
			if err == nil && !p.Duplicate {
				return fmt.Errorf("%s was published twice", f.event)
			}
			return err
		}},
	}
}

// TestProofReading reads a log of 2,000 deliveries, or 1,000,000 with
// -outbox.rows 1000000, while events are published as fast as possible. With
// -outbox.strict and at least 100,000 deliveries it bounds how long a call
// takes, and how much the publishers lose compared with the same time without
// readers. It then goes on for at least four times as long as figures are
// shared.
func TestProofReading(t *testing.T) {
	proveOnEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		rows := given(*rowCount, 2000)
		log := w.fillLog(t, o, rows)
		f := newFigures(t, o, log)
		hold, long := *strict && rows >= 100_000, *readFor
		if hold {
			long = max(long, 4*outbox.StatsAge)
		}
		quiet := publishFor(t, o, log, long)
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		readers.Go(func() { readAll(ctx, f, log) })
		readers.Go(func() { f.run(ctx) })
		busy := publishFor(t, o, log, long)
		stop()
		readers.Wait()
		ctx, stop = context.WithCancel(t.Context())
		readers.Go(func() { f.uncached(ctx, w, log.app) })
		publishFor(t, o, log, long)
		stop()
		readers.Wait()
		t.Logf("publishes a second: %.0f, and %.0f next to readers (%.2f)", quiet, busy, busy/quiet)
		f.report(hold, w.path != "")
		if hold {
			assert.GreaterOrEqual(t, busy, 0.8*quiet)
		}
	})
}

// readAll makes up to 50 calls a second, one after the other, until ctx ends.
// It makes each at least once.
func readAll(ctx context.Context, f *figures, log *fullLog) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for round := 0; round == 0 || ctx.Err() == nil; round++ {
		for _, c := range readCalls() {
			<-tick.C
			begin := time.Now()
			if !assert.NoError(f.t, c.call(f.t.Context(), f.o, log), c.name) {
				return
			}
			f.add(c.name, time.Since(begin))
		}
	}
}

// publishFor publishes with eight publishers and returns their rate.
func publishFor(t *testing.T, o *outbox.Outbox, f *fullLog, d time.Duration) float64 {
	var (
		n       atomic.Int64
		writers sync.WaitGroup
		begin   = time.Now()
	)
	for range 8 {
		writers.Go(func() {
			for time.Since(begin) < d {
				if _, err := o.App(f.app).Publish(t.Context(), benchEvent()); !assert.NoError(t, err) {
					return
				}
				n.Add(1)
			}
		})
	}
	writers.Wait()
	return float64(n.Load()) / time.Since(begin).Seconds()
}

// fillLog makes n deliveries behind the outbox's back, which are copies of one.
// Their events exist. One in 100 has failed.
func (w *world) fillLog(t *testing.T, o *outbox.Outbox, n int) *fullLog {
	f := &fullLog{app: "shop", event: "one", deployment: "dep_" + fmt.Sprint(n/20)}
	e, _ := create(t, o.App(f.app), endpointAt("http://127.0.0.1:1/"))
	f.endpoint = e.ID
	p, err := o.App(f.app).Publish(t.Context(), benchEvent(), outbox.WithEventID(f.event))
	require.NoError(t, err)
	for part := 0; part < n; part += 100_000 {
		w.copyDelivery(t, p.Deliveries[0].ID, part, min(100_000, n-part))
	}
	if w.pool != nil {
		w.exec(t, `ANALYZE`)
	}
	page, err := o.App(f.app).Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{})
	require.NoError(t, err)
	f.later = page.Next
	return f
}

// copyDelivery inserts n copies of a delivery, its event and its body.
func (w *world) copyDelivery(t *testing.T, id string, from, n int) {
	numbers := fmt.Sprintf(`generate_series(%d, %d) AS i`, from, from+n-1)
	newID := `'whk_' || lpad(to_hex(1760000000000 + i), 12, '0') || lpad(CAST(i AS text), 20, '0')`
	if w.path != "" {
		numbers = fmt.Sprintf(`(WITH RECURSIVE s (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s) AS numbers`, from, from+n-1)
		newID = `printf('whk_%012x%020d', 1760000000000 + i, i)`
	}
	done := `1760000000000000 + i * 1000`
	for _, c := range []struct {
		table, of string
		changed   map[string]string
	}{
		{"outbox_event", `o.app = 'shop' AND o.id = 'one'`, map[string]string{
			"position": "1760000000000000 + i", "id": "'evt_' || i", "deployment": "'dep_' || (i / 10)", "created_at": done,
		}},
		{"outbox_body", `o.app = 'shop' AND o.event = 'one'`, map[string]string{"event": "'evt_' || i", "created_at": done}},
		{"outbox_delivery", `o.id = '` + id + `'`, map[string]string{
			"id": newID, "event": "'evt_' || i", "deployment": "'dep_' || (i / 10)", "created_at": done, "next_at": "0", "done_at": done, "job": "0",
			"state": "CASE WHEN i % 100 = 7 THEN 'failed' WHEN i % 1000 = 9 THEN 'superseded' ELSE 'delivered' END",
		}},
	} {
		names, values := w.columns(t, c.table, c.changed)
		w.exec(t, `INSERT INTO `+w.table(c.table)+` (`+names+`) SELECT `+values+` FROM `+w.table(c.table)+` o, `+numbers+` WHERE `+c.of)
	}
}

// columns returns the names of a table's columns, and their values in a copy of
// row o.
func (w *world) columns(t *testing.T, table string, changed map[string]string) (names, values string) {
	var all, from []string
	query := `SELECT name FROM pragma_table_info('` + table + `')`
	if w.pool != nil {
		query = `SELECT column_name FROM information_schema.columns WHERE table_schema = 'deployhook_outbox' AND table_name = '` + table + `'`
	}
	for _, name := range w.queryTexts(t, query) {
		value, ok := changed[name]
		if !ok {
			value = "o." + name
		}
		all, from = append(all, name), append(from, value)
	}
	return strings.Join(all, ", "), strings.Join(from, ", ")
}
