package outbox_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/deployhook/deployhook/internal/riverdb/riverdbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

// The proofs run for a short time by default. These flags make them longer, and stricter where time is measured: a machine that
// has other work to do misses a second now and then through no fault of the outbox.
var (
	crashFor       = flag.Duration("outbox.crash.for", 4*time.Second, "how long TestProofCrash goes on killing, for each database")
	scheduledCount = flag.Int("outbox.scheduled", max(fewer(1000)/2, 50), "how many retries TestProofScheduled lets wait")
	strictTimes    = flag.Bool("outbox.strict", false, "hold the proofs to a second where they otherwise allow 5, or 15 under the race detector")
)

// withinASecond is what "within a second" means on this machine. It is always well below the 30 s for which some endpoints hang.
func withinASecond() time.Duration {
	switch {
	case *strictTimes:
		return time.Second
	case underRace:
		return 15 * time.Second
	}
	return 5 * time.Second
}

// fewer is n, or a tenth of it under the race detector: the counts are for the times that are measured.
func fewer(n int) int {
	if underRace {
		return n / 10
	}
	return n
}

// oneByOne runs a test on both databases, and nothing beside it: it measures time.
func oneByOne(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, &world{path: filepath.Join(t.TempDir(), "outbox.db")})
	})
	t.Run("Postgres", func(t *testing.T) {
		url := riverdbtest.NewDatabase(t)
		test(t, &world{url: url, pool: riverdbtest.OpenPool(t, url)})
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

// rowCounts counts the rows of all tables that hold what was published and registered, River's jobs included.
func (w *world) rowCounts(t testing.TB) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for _, name := range []string{"outbox_app", "outbox_endpoint", "outbox_event", "outbox_delivery", "outbox_attempt", "outbox_replay", "river_job"} {
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

// residentBytes is the process's resident memory, 0 where the system doesn't say.
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

// heapPeak watches the heap until stop is called, which returns by how much it grew over what it was after a collection.
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

// quantiles sorts ds and says what is usual among them.
type quantiles struct{ p50, p99, max time.Duration }

func quantilesOf(ds []time.Duration) quantiles {
	slices.Sort(ds)
	at := func(q float64) time.Duration {
		return ds[min(int(q*float64(len(ds))), len(ds)-1)].Round(100 * time.Microsecond)
	}
	return quantiles{at(0.5), at(0.99), at(1)}
}

func (q quantiles) String() string { return fmt.Sprintf("p50 %v, p99 %v, max %v", q.p50, q.p99, q.max) }

// stopwatch measures from publishing an event to its arrival; deployment IDs tell events apart.
type stopwatch struct {
	mu    sync.Mutex
	begin map[string]time.Time
	took  []time.Duration
}

func newStopwatch() *stopwatch { return &stopwatch{begin: map[string]time.Time{}} }

func (s *stopwatch) published(deployment string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin[deployment] = time.Now()
}

func (s *stopwatch) arrived(deployment string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begin, ok := s.begin[deployment]; ok {
		s.took = append(s.took, time.Since(begin))
		delete(s.begin, deployment)
	}
}

func (s *stopwatch) durations() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.took)
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
