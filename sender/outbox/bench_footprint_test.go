package outbox_test

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox"
)

// BenchmarkFootprint publishes b.N events to ten endpoints, and delivers them.
// It reports the bytes that they take on disk, and what the process allocates
// for a delivery.
func BenchmarkFootprint(b *testing.B) {
	onBoth(b, func(b *testing.B, w *world) {
		const endpoints = 10
		url, n := sink(b, "200 OK")
		o := w.open(b, outbox.WithWorkers(benchWorkers), outbox.WithMaxConcurrency(benchWorkers))
		subscribe(b, o, url, endpoints)
		empty, deliveries := w.bytesOfTables(b), b.N*endpoints
		publishMany(b, w, o, b.N, benchEvent())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(b, o.Start(context.Background()))
		w.await(b, n, deliveries, w.table("outbox_delivery")+" WHERE state <> 'delivered'")
		require.NoError(b, o.Stop(context.Background()))
		runtime.ReadMemStats(&after)
		full := w.bytesOfTables(b)
		per := func(count uint64, unit string) { b.ReportMetric(float64(count)/float64(deliveries), unit) }
		per(uint64(full-empty), "disk-B/delivery")
		b.ReportMetric(float64(full-empty)/float64(b.N), "disk-B/event")
		per(after.Mallocs-before.Mallocs, "allocs/delivery")
		per(after.TotalAlloc-before.TotalAlloc, "alloc-B/delivery")
		b.ReportMetric(0, "ns/op") // which BenchmarkDeliver measures
	})
}

// BenchmarkScheduled lets b.N deliveries fail once, so that their retries wait
// for an hour. It reports the heap of an outbox that has started, with the
// retries in its database.
func BenchmarkScheduled(b *testing.B) {
	onBoth(b, func(b *testing.B, w *world) {
		const endpoints = 100 // one that fails gets one attempt at a time
		url, n := sink(b, "503 Service Unavailable")
		o := w.open(b, outbox.WithMaxEndpoints(endpoints), outbox.WithWorkers(endpoints), outbox.WithBreaker(1_000_000, time.Second, time.Second),
			outbox.WithSchedule(outbox.SchedulePlatform, hourly))
		subscribe(b, o, url, endpoints)
		events, deliveries := eventsFor(b, endpoints)
		publishMany(b, w, o, events, benchEvent())
		before := heapInUse()
		require.NoError(b, o.Start(context.Background()))
		w.await(b, n, deliveries, w.table("outbox_delivery")+" WHERE attempts = 0")
		after := heapInUse()
		b.ReportMetric(float64(after)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(after-before)/float64(deliveries), "heap-B/retry")
		b.ReportMetric(0, "ns/op")
	})
}

// heapInUse is the heap without garbage. A pool keeps what it has for one
// collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	return heapBytes()
}

// bytesOfTables is what the outbox's tables and their indexes take on disk when
// dead rows have been removed.
func (w *world) bytesOfTables(b *testing.B) int64 {
	b.Helper()
	if w.pool != nil {
		w.exec(b, "VACUUM")
		return w.queryInt(b, `SELECT CAST(COALESCE(sum(pg_total_relation_size(c.oid)), 0) AS bigint) FROM pg_class c
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'deployhook_outbox' AND c.relkind = 'r'`)
	}
	w.exec(b, "PRAGMA wal_checkpoint(TRUNCATE)")
	log, err := os.Stat(w.path + "-wal")
	require.NoError(b, err)
	require.Zero(b, log.Size(), "some transaction is still open")
	file, err := os.Stat(w.path)
	require.NoError(b, err)
	return file.Size()
}

// sink is a receiver that gives every request the same answer. It allocates
// nothing for a request, so that the process only allocates what the sender
// does.
func sink(t testing.TB, status string) (url string, n *atomic.Int64) {
	n = new(atomic.Int64)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { answerAll(conn, status, n) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		conns.Wait() // senders have closed their connections
	})
	return "http://" + listener.Addr().String(), n
}

// answerAll answers the requests of a connection until the sender closes it.
func answerAll(conn net.Conn, status string, n *atomic.Int64) {
	defer conn.Close()
	answer := []byte("HTTP/1.1 " + status + "\r\nDate: Mon, 02 Mar 2026 10:00:00 GMT\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nok")
	r := bufio.NewReader(conn)
	for {
		length := 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			line = bytes.TrimSpace(line)
			if len(line) == 0 {
				break
			}
			if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(value))
			}
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
		n.Add(1)
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
