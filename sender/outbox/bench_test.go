package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverfloor"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// benchWorkers is the number of concurrent attempts on both sides, unless a
// benchmark sets another.
const benchWorkers = 50

// benchEndpoints are the numbers of endpoints that get each event.
var benchEndpoints = []int{1, 10}

// onBoth runs a benchmark on both databases.
func onBoth(b *testing.B, bench func(b *testing.B, w *world)) {
	b.Run("SQLite", func(b *testing.B) {
		bench(b, &world{path: filepath.Join(b.TempDir(), "outbox.db")})
	})
	b.Run("Postgres", func(b *testing.B) {
		url := sqldbtest.NewDatabase(b)
		bench(b, &world{url: url, pool: sqldbtest.OpenPool(b, url)})
	})
}

// counter is a receiver in the same process that accepts everything.
func counter(b *testing.B) (url string, n *atomic.Int64) {
	n = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n.Add(1)
	}))
	b.Cleanup(server.Close)
	return server.URL, n
}

// benchEvent is an event whose body has about 700 bytes.
func benchEvent() *payload.Event {
	e := event(payload.DeployLive, "dep_a1b2c3d4")
	e.Commit = &payload.Commit{SHA: "abcdef1", Message: strings.Repeat("m", 390)}
	return e
}

// bareArgs is a job of the baseline, which is River with a worker that POSTs
// the body in the job.
type bareArgs struct {
	URL  string `json:"url"`
	Body []byte `json:"body"`
}

func (bareArgs) Kind() string { return "bare" }

type bareWorker struct {
	river.WorkerDefaults[bareArgs]

	client *http.Client
}

func (w *bareWorker) Work(ctx context.Context, job *river.Job[bareArgs]) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, job.Args.URL, bytes.NewReader(job.Args.Body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := w.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", answer.StatusCode)
	}
	return nil
}

// bareRiver is River on the database, with the same settings as the outbox.
func bareRiver(b *testing.B, w *world, atOnce int) riverfloor.Client {
	workers := river.NewWorkers()
	transport := &http.Transport{MaxIdleConnsPerHost: atOnce}
	b.Cleanup(transport.CloseIdleConnections)
	river.AddWorker(workers, &bareWorker{client: &http.Client{Transport: transport, Timeout: sender.DefaultTimeout}})
	config := river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: atOnce}}, Workers: workers,
		FetchPollInterval: 200 * time.Millisecond,
	}
	if w.path != "" {
		return riverfloor.OpenSQLite(b, w.path, config)
	}
	return riverfloor.OpenPostgres(b, w.pool, "bare", config)
}

// BenchmarkDeliver measures how fast waiting deliveries are made, with the same
// number of concurrent attempts on both sides. Each event goes to one or to ten
// endpoints, and b.N counts deliveries. The baseline has a job with the body
// for each delivery. The outbox does more. It reads the delivery, signs, guards
// the dial, and stores the results of the delivery and the attempt.
func BenchmarkDeliver(b *testing.B) {
	onBoth(b, func(b *testing.B, w *world) {
		for _, endpoints := range benchEndpoints {
			for _, atOnce := range []int{benchWorkers, outbox.DefaultWorkers} {
				name := fmt.Sprintf("endpoints=%d/atonce=%d/", endpoints, atOnce)
				b.Run(name+"floor", func(b *testing.B) { benchDeliverFloor(b, w.fresh(b), endpoints, atOnce) })
				b.Run(name+"ours", func(b *testing.B) { benchDeliverOurs(b, w.fresh(b), endpoints, atOnce) })
			}
		}
	})
}

// fresh is another database of the same kind.
func (w *world) fresh(b *testing.B) *world {
	if w.path != "" {
		return &world{path: filepath.Join(b.TempDir(), "outbox.db")}
	}
	url := sqldbtest.NewDatabase(b)
	return &world{url: url, pool: sqldbtest.OpenPool(b, url)}
}

// eventsFor returns how many events make at least b.N deliveries, and how many
// deliveries they make.
func eventsFor(b *testing.B, endpoints int) (events, deliveries int) {
	events = (b.N + endpoints - 1) / endpoints
	return events, events * endpoints
}

func benchDeliverFloor(b *testing.B, w *world, endpoints, atOnce int) {
	url, n := counter(b)
	client := bareRiver(b, w, atOnce)
	body, err := benchEvent().Encode()
	require.NoError(b, err)
	_, deliveries := eventsFor(b, endpoints)
	for first := 0; first < deliveries; first += 500 {
		jobs := make([]river.InsertManyParams, min(deliveries-first, 500))
		for i := range jobs {
			jobs[i].Args = bareArgs{URL: nthURL(url, (first+i)%endpoints), Body: body}
		}
		_, err := client.InsertMany(b.Context(), jobs)
		require.NoError(b, err)
	}
	table := "river_job"
	if w.pool != nil {
		table = "bare.river_job"
	}
	begin(b)
	require.NoError(b, client.Start(context.Background()))
	w.await(b, n, deliveries, table+" WHERE state <> 'completed'")
	finish(b, deliveries, client.Stop)
}

func benchDeliverOurs(b *testing.B, w *world, endpoints, atOnce int) {
	url, n := counter(b)
	o := w.open(b, outbox.WithWorkers(atOnce), outbox.WithMaxConcurrency(atOnce))
	subscribe(b, o, url, endpoints)
	events, deliveries := eventsFor(b, endpoints)
	publishMany(b, w, o, events, benchEvent())
	begin(b)
	require.NoError(b, o.Start(context.Background()))
	w.await(b, n, deliveries, w.table("outbox_delivery")+" WHERE state <> 'delivered'")
	finish(b, deliveries, o.Stop)
}

// subscribe adds endpoints of one server to the app "shop".
func subscribe(t testing.TB, o *outbox.Outbox, url string, endpoints int) {
	t.Helper()
	for i := range endpoints {
		create(t, o.App("shop"), endpointAt(nthURL(url, i)))
	}
}

func nthURL(url string, i int) string { return fmt.Sprintf("%s/%d", url, i) }

func begin(b *testing.B) {
	b.ReportAllocs()
	b.ResetTimer()
}

// await waits until all requests have arrived and no row of a table is left.
func (w *world) await(b *testing.B, n *atomic.Int64, requests int, left string) {
	b.Helper()
	for n.Load() < int64(requests) || w.queryInt(b, "SELECT count(*) FROM "+left) > 0 {
		time.Sleep(2 * time.Millisecond) // a signal of each call would be measured too
	}
}

// finish stops what delivers. Stopping is measured too, since either side then
// writes what its queue has not yet written.
func finish(b *testing.B, deliveries int, stop func(context.Context) error) {
	b.Helper()
	require.NoError(b, stop(context.Background()))
	b.StopTimer()
	b.ReportMetric(float64(deliveries)/b.Elapsed().Seconds(), "deliveries/s")
}

// publishMany publishes n events, many in a transaction.
func publishMany(t testing.TB, w *world, o *outbox.Outbox, n int, e *payload.Event) {
	t.Helper()
	ctx := context.Background()
	publish := func(count int, one func() (outbox.Publication, error)) {
		for range count {
			_, err := one()
			require.NoError(t, err)
		}
	}
	app := o.App("shop")
	if w.pool != nil {
		for left := n; left > 0; left -= 500 {
			tx, err := w.pool.Begin(ctx)
			require.NoError(t, err)
			publish(min(left, 500), func() (outbox.Publication, error) { return app.PublishPgxTx(ctx, tx, e) })
			require.NoError(t, tx.Commit(ctx))
		}
		return
	}
	db, err := lite(w.path)
	require.NoError(t, err)
	defer db.Close()
	for left := n; left > 0; left -= 500 {
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		publish(min(left, 500), func() (outbox.Publication, error) { return app.PublishTx(ctx, tx, e) })
		require.NoError(t, tx.Commit())
	}
}
