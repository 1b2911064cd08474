package inbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverfloor"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

const (
	benchSenders = 64
	benchWorkers = 100
)

// openFloor returns a client of River that is not started.
type openFloor func(b *testing.B, config river.Config) riverfloor.Client

// eachBench runs a benchmark on both databases.
func eachBench(b *testing.B, bench func(b *testing.B, open openFloor, in func(receiver.EventHandler) *inbox.Inbox)) {
	b.Run("SQLite", func(b *testing.B) {
		dir := b.TempDir()
		bench(b, func(b *testing.B, config river.Config) riverfloor.Client {
			return riverfloor.OpenSQLite(b, filepath.Join(dir, "floor.db"), config)
		}, func(h receiver.EventHandler) *inbox.Inbox {
			in, err := inbox.OpenSQLite(b.Context(), filepath.Join(dir, fmt.Sprintf("ours%d.db", time.Now().UnixNano())), h,
				inbox.WithLogger(quiet()), inbox.WithWorkers(benchWorkers), inbox.WithMaxBacklog(1<<30))
			require.NoError(b, err)
			b.Cleanup(func() { _ = in.Close() })
			return in
		})
	})
	b.Run("Postgres", func(b *testing.B) {
		pool := sqldbtest.NewPool(b)
		bench(b, func(b *testing.B, config river.Config) riverfloor.Client {
			return riverfloor.OpenPostgres(b, pool, "floor", config)
		}, func(h receiver.EventHandler) *inbox.Inbox {
			in, err := inbox.NewPostgres(b.Context(), pool, h, inbox.WithLogger(quiet()), inbox.WithWorkers(benchWorkers),
				inbox.WithMaxBacklog(1<<30), inbox.WithSchema(fmt.Sprintf("ours%d", time.Now().UnixNano())))
			require.NoError(b, err)
			b.Cleanup(func() { _ = in.Close() })
			return in
		})
	})
}

// benchBody returns an event of about 700 bytes.
func benchBody(n int64) string {
	return strings.Replace(started(int(n)), `"app"`, `"metadata":{"note":"`+strings.Repeat("x", 520)+`"},"app"`, 1)
}

type floorArgs struct {
	Body string `json:"body"`
}

func (floorArgs) Kind() string { return "floor" }

type floorWorker struct {
	river.WorkerDefaults[floorArgs]

	worked *atomic.Int64
}

func (w floorWorker) Work(context.Context, *river.Job[floorArgs]) error {
	w.worked.Add(1)
	return nil
}

func newFloor(b *testing.B, open openFloor) (riverfloor.Client, *atomic.Int64) {
	b.Helper()
	worked := &atomic.Int64{}
	workers := river.NewWorkers()
	river.AddWorker(workers, floorWorker{worked: worked})
	return open(b, river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: benchWorkers}},
	}), worked
}

// parallel runs b.N calls on as many goroutines as there are senders and
// reports calls per second.
func parallel(b *testing.B, call func(n int64)) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range benchSenders {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				call(n)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "/s")
}

// BenchmarkAccept compares two ways to store a body from the same number of
// goroutines. One is a POST over loopback that is verified, decoded and stored.
// The baseline is a bare River InsertTx.
func BenchmarkAccept(b *testing.B) {
	eachBench(b, func(b *testing.B, open openFloor, newInbox func(receiver.EventHandler) *inbox.Inbox) {
		b.Run("floor", func(b *testing.B) {
			client, _ := newFloor(b, open)
			parallel(b, func(n int64) {
				if err := client.InsertTx(context.Background(), floorArgs{benchBody(n)}); err != nil {
					b.Error(err)
				}
			})
		})
		b.Run("ours", func(b *testing.B) {
			d := newEndpoint(b, newInbox((&calls{}).handle), "platform")
			server := httptest.NewServer(d.h)
			defer server.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchSenders}}
			defer client.CloseIdleConnections()
			parallel(b, func(n int64) {
				body := []byte(benchBody(n))
				r, _ := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				if err := d.scheme.Sign(r.Context(), r, payload.NewDeliveryID(), time.Now(), body); err != nil {
					b.Error(err)
				}
				answer, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusAccepted {
					b.Error(answer.Status)
				}
			})
		})
	})
}

// BenchmarkHandle compares the inbox with a bare River worker. Both have
// handlers that do nothing, a backlog of b.N and the same number of workers.
func BenchmarkHandle(b *testing.B) {
	eachBench(b, func(b *testing.B, open openFloor, newInbox func(receiver.EventHandler) *inbox.Inbox) {
		wait := func(b *testing.B, worked *atomic.Int64) {
			for worked.Load() < int64(b.N) {
				time.Sleep(time.Millisecond) // a signal of each call would be measured too
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "/s")
		}
		b.Run("floor", func(b *testing.B) {
			client, worked := newFloor(b, open)
			many := make([]river.InsertManyParams, b.N)
			for i := range many {
				many[i].Args = floorArgs{benchBody(int64(i))}
			}
			for len(many) > 0 {
				n := min(len(many), 1000)
				_, err := client.InsertMany(b.Context(), many[:n])
				require.NoError(b, err)
				many = many[n:]
			}
			b.ResetTimer()
			require.NoError(b, client.Start(context.Background()))
			wait(b, worked)
			require.NoError(b, client.Stop(context.Background()))
		})
		b.Run("ours", func(b *testing.B) {
			var worked atomic.Int64
			in := newInbox(func(context.Context, *payload.Event) error { worked.Add(1); return nil })
			d := newEndpoint(b, in, "platform")
			parallel(b, func(n int64) { d.accept(benchBody(n)) })
			b.ResetTimer()
			require.NoError(b, in.Start(context.Background()))
			wait(b, &worked)
			require.NoError(b, in.Stop(context.Background()))
		})
	})
}
