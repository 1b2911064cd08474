package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

const (
	// benchWorkers is the number of attempts or handlers at once.
	benchWorkers = 50
	// benchFillers fill a queue before its benchmark starts.
	benchFillers = 32
)

// eachDatabase runs a benchmark on both databases, with each telemetry.
func eachDatabase(b *testing.B, bench func(b *testing.B, postgres bool, ratio float64)) {
	for _, name := range []string{"SQLite", "Postgres"} {
		b.Run(name, func(b *testing.B) {
			for _, c := range sampling {
				b.Run(c.name, func(b *testing.B) { bench(b, name == "Postgres", c.ratio) })
			}
		})
	}
}

// countdown is closed when it was called n times.
type countdown struct {
	left atomic.Int64
	done chan struct{}
}

func newCountdown(n int) *countdown {
	c := &countdown{done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) call() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

// fill makes n calls on several goroutines.
func fill(n int, call func()) {
	left := atomic.Int64{}
	left.Store(int64(n))
	var all sync.WaitGroup
	for range benchFillers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				call()
			}
		})
	}
	all.Wait()
}

// benchEvent is an event whose body has about 700 bytes.
func benchEvent() *payload.Event {
	e := event(payload.DeployLive)
	e.Commit = &payload.Commit{SHA: "abcdef1", Message: strings.Repeat("m", 450)}
	return e
}

// measure runs the part of a benchmark that is measured. stop waits until all
// results are stored.
func measure(b *testing.B, n *countdown, start func(context.Context) error, stop func(context.Context) error) {
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, start(context.Background()))
	<-n.done
	require.NoError(b, stop(context.Background()))
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkOutbox measures how fast waiting deliveries are made.
func BenchmarkOutbox(b *testing.B) {
	eachDatabase(b, func(b *testing.B, postgres bool, ratio float64) {
		n := newCountdown(b.N)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			n.call()
		}))
		b.Cleanup(server.Close)
		o := benchOutbox(b, postgres, ratio)
		app := o.App("shop")
		_, _, err := app.CreateEndpoint(b.Context(), outbox.EndpointConfig{URL: sender.NewURL(server.URL)})
		require.NoError(b, err)
		fill(b.N, func() {
			if _, err := app.Publish(b.Context(), benchEvent()); err != nil {
				b.Error(err)
			}
		})
		measure(b, n, o.Start, o.Stop)
	})
}

func benchOutbox(b *testing.B, postgres bool, ratio float64) *outbox.Outbox {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	key, err := outbox.NewSealingKey("k1", secret)
	require.NoError(b, err)
	opts := []outbox.Option{
		outbox.WithSealingKeys(key), outbox.WithLogger(slog.New(slog.DiscardHandler)), outbox.WithWorkers(benchWorkers),
		outbox.WithMaxConcurrency(benchWorkers), outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
	}
	p := newProviders(b, ratio)
	if p != nil {
		opts = append(opts, outbox.WithTelemetry(oteloutbox.Open(otelsender.WithMeterProvider(p.meters), otelsender.WithTracerProvider(p.tracers))))
	}
	var o *outbox.Outbox
	if postgres {
		o, err = outbox.NewPostgres(b.Context(), sqldbtest.NewPool(b), opts...)
	} else {
		o, err = outbox.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "outbox.db"), opts...)
	}
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, o.Close()) })
	p.scrape(b)
	return o
}

// BenchmarkInbox measures how fast waiting deliveries are handled.
func BenchmarkInbox(b *testing.B) {
	eachDatabase(b, func(b *testing.B, postgres bool, ratio float64) {
		n := newCountdown(b.N)
		in := benchInbox(b, postgres, ratio, func(context.Context, *payload.Event) error { n.call(); return nil })
		scheme, err := signer.NewStandard(signer.GenerateSecret())
		require.NoError(b, err)
		h, err := in.Handler(scheme, "platform")
		require.NoError(b, err)
		body, err := benchEvent().Encode()
		require.NoError(b, err)
		fill(b.N, func() {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			if err := scheme.Sign(b.Context(), r, payload.NewDeliveryID(), time.Now(), body); err != nil {
				b.Error(err)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusAccepted {
				b.Errorf("the answer is %d", w.Code)
			}
		})
		measure(b, n, in.Start, in.Stop)
	})
}

func benchInbox(b *testing.B, postgres bool, ratio float64, h func(context.Context, *payload.Event) error) *inbox.Inbox {
	opts := []inbox.Option{
		inbox.WithLogger(slog.New(slog.DiscardHandler)), inbox.WithWorkers(benchWorkers), inbox.WithMaxBacklog(1 << 30), inbox.WithStoreTimeout(patience),
	}
	p := newProviders(b, ratio)
	if p != nil {
		opts = append(opts, inbox.WithTelemetry(otelinbox.Open(otelreceiver.WithMeterProvider(p.meters), otelreceiver.WithTracerProvider(p.tracers))))
	}
	var (
		in  *inbox.Inbox
		err error
	)
	if postgres {
		in, err = inbox.NewPostgres(b.Context(), sqldbtest.NewPool(b), h, opts...)
	} else {
		in, err = inbox.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "inbox.db"), h, opts...)
	}
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, in.Close()) })
	p.scrape(b)
	return in
}
