package outbox_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// The proofs are short by default. The gate makes them longer with these flags.
var (
	crashFor       = flag.Duration("outbox.crash.for", 0, "how long TestProofCrash goes on killing, for each database; 6 times at least")
	scheduledCount = flag.Int("outbox.scheduled", 0, "how many retries TestProofScheduled lets wait; 0: 500, or 50 without -outbox.full")
	strict         = flag.Bool("outbox.strict", false, "run the whole of the proofs, one after the other, and hold what they measure to a bound")
)

// assertUndelayed asserts that deliveries next to a load that must not delay
// them take at most a second. On a machine that is slow at the moment, the
// bound is ten times what deliveries take alone.
func assertUndelayed(t *testing.T, alone, beside quantiles) {
	t.Helper()
	if *strict {
		assert.Less(t, beside.p99, max(time.Second, 10*alone.p99), "%v alone", alone)
	}
}

// fewer returns n with -outbox.full. It returns a tenth of n without the flag,
// and under the race detector.
func fewer(n int) int {
	if underRace || !*outbox.Full && !*strict {
		return n / 10
	}
	return n
}

// given returns the value of a flag, and if that is 0 a number like fewer.
func given(value, n int) int {
	if value != 0 {
		return value
	}
	return fewer(n)
}

// proveOnEach runs a proof on both databases. It runs in parallel with other
// tests, unless the proof measures time.
func proveOnEach(t *testing.T, test func(t *testing.T, w *world)) {
	if *strict {
		oneByOne(t, test)
		return
	}
	t.Parallel()
	onEach(t, test)
}

// oneByOne runs a test on both databases, one after the other, with no other
// test at the same time.
func oneByOne(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, &world{path: outbox.NewSQLite(t)})
	})
	t.Run("Postgres", func(t *testing.T) {
		url := sqldbtest.NewDatabase(t)
		test(t, &world{url: url, pool: sqldbtest.OpenPool(t, url)})
	})
}

// lite opens the SQLite file as an application would.
func lite(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+
		"?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
}

// queryInt returns the number that a query finds.
func (w *world) queryInt(t testing.TB, query string) (n int64) {
	t.Helper()
	if w.pool != nil {
		require.NoError(t, w.pool.QueryRow(context.Background(), query).Scan(&n))
		return n
	}
	db, err := lite(w.path)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.QueryRow(query).Scan(&n))
	return n
}

// queryTexts returns the first column of what a query finds.
func (w *world) queryTexts(t testing.TB, query string) (all []string) {
	t.Helper()
	scan := func(next func() bool, scan func(...any) error) {
		for next() {
			var s string
			require.NoError(t, scan(&s))
			all = append(all, s)
		}
	}
	if w.pool != nil {
		rows, err := w.pool.Query(context.Background(), query)
		require.NoError(t, err)
		defer rows.Close()
		scan(rows.Next, rows.Scan)
		require.NoError(t, rows.Err())
		return all
	}
	db, err := lite(w.path)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.Query(query)
	require.NoError(t, err)
	defer rows.Close()
	scan(rows.Next, rows.Scan)
	require.NoError(t, rows.Err())
	return all
}

// rowCounts counts the rows of all tables with published events and registered
// endpoints, and of their jobs.
func (w *world) rowCounts(t testing.TB) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for _, name := range []string{"outbox_app", "outbox_endpoint", "outbox_event", "outbox_delivery", "outbox_attempt", "outbox_replay", "outbox_job"} {
		counts[name] = w.queryInt(t, "SELECT count(*) FROM "+w.table(name))
	}
	return counts
}

// diskBytes is what the database takes on disk.
func (w *world) diskBytes(t testing.TB) (n int64) {
	t.Helper()
	if w.pool != nil {
		return w.queryInt(t, "SELECT pg_database_size(current_database())")
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(w.path + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}

// residentBytes returns the process's resident memory, or 0 if the system does
// not report it.
func residentBytes() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// heapPeak watches the heap until stop is called. stop returns how much the
// heap grew beyond its size after a garbage collection.
func heapPeak() (stop func() int64) {
	runtime.GC()
	base := heapBytes()
	var (
		peak atomic.Int64
		done = make(chan struct{})
		wg   sync.WaitGroup
	)
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), heapBytes()-base))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() int64 {
		close(done)
		wg.Wait()
		return peak.Load()
	}
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// quantiles summarizes durations.
type quantiles struct{ p50, p99, max time.Duration }

func quantilesOf(ds []time.Duration) quantiles {
	slices.Sort(ds)
	at := func(q float64) time.Duration {
		return ds[min(int(q*float64(len(ds))), len(ds)-1)].Round(100 * time.Microsecond)
	}
	return quantiles{at(0.5), at(0.99), at(1)}
}

func (q quantiles) String() string { return fmt.Sprintf("p50 %v, p99 %v, max %v", q.p50, q.p99, q.max) }

// watched is an endpoint that accepts everything and measures the time from
// publishing an event to its arrival. It tells events apart by deployment ID.
type watched struct {
	*hook
	mu    sync.Mutex
	begin map[string]time.Time
	took  []time.Duration
}

func newWatched(t testing.TB) *watched {
	w := &watched{begin: map[string]time.Time{}}
	w.hook = newHook(t, func(_ int, r received) int {
		e, err := payload.DecodeEvent(r.body)
		if err != nil {
			return 400
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if begin, ok := w.begin[e.DeploymentID]; ok {
			w.took = append(w.took, r.at.Sub(begin))
			delete(w.begin, e.DeploymentID)
		}
		return 200
	})
	return w
}

func (w *watched) publish(t testing.TB, o *outbox.Outbox, app, deployment string) {
	t.Helper()
	w.mu.Lock()
	w.begin[deployment] = time.Now()
	w.mu.Unlock()
	publish(t, o.App(app), event(payload.DeployLive, deployment))
}

// arrived waits until n of the events have.
func (w *watched) arrived(t testing.TB, n int) {
	t.Helper()
	eventually(t, func() bool { return len(w.durations()) == n }, "some events do not arrive")
}

func (w *watched) durations() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.took)
}

func (w *watched) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = nil
	clear(w.begin)
}

// countOf is how many deliveries there are in the given states.
func countOf(t testing.TB, o *outbox.Outbox, f outbox.DeliveryFilter) (n int) {
	t.Helper()
	for p := (outbox.Page{Limit: outbox.MaxPageLimit}); ; {
		page, err := o.Deliveries(context.Background(), f, p)
		require.NoError(t, err)
		n += len(page.Items)
		if p.Cursor = page.Next; p.Cursor == "" {
			return n
		}
	}
}
