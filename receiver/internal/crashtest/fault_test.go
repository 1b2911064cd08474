package crashtest

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

var (
	faultFor = flag.Duration("fault.for", 2*time.Second, "how long each fault of a store lasts at least")
	faultAll = flag.Bool("fault.all", false, "inject every fault, and not one for each kind of store")
)

// readyStore is a store with a write check.
type readyStore interface {
	dedupe.Store
	Ready(ctx context.Context) error
}

// storeFault is a store, and a fault that can be injected and undone.
type storeFault struct {
	store        readyStore
	inject, undo func()
}

// faultCase is one fault.
type faultCase struct {
	name string
	open func(t *testing.T) storeFault
	// says is in the log while the fault lasts.
	says string
	// accepts reports that deliveries are still handled.
	accepts bool
	// long leaves the fault to -fault.all.
	long bool
}

func faultCases() []faultCase {
	all := []faultCase{
		{name: "Redis full", open: redisFault("1"), says: "Redis has reached its maxmemory; raise it"},
		{name: "Redis policy changed", open: redisFault("100mb", "allkeys-lru"), says: "set maxmemory-policy noeviction", accepts: true, long: true},
		{name: "PostgreSQL read-only", open: postgresReadOnly, says: "the database is read-only; connect to the primary"},
		{name: "PostgreSQL killed", open: postgresKilled, says: "check that the database server runs", long: true},
		{name: "PostgreSQL full", open: postgresFull, says: "free space on the database server's disk", long: true},
		{name: "SQLite locked", open: sqliteLocked, says: "another process holds the lock on the file", long: true},
		{name: "SQLite full", open: sqliteFull, says: "free space on the file's disk", long: true},
		{name: "SQLite deleted", open: sqliteDeleted, says: "the SQLite file was deleted or replaced"},
	}
	return slices.DeleteFunc(all, func(c faultCase) bool { return c.long && !*faultAll })
}

// Each fault of a store turns readiness, costs a bounded number of log lines
// that say what to do, and loses nothing. The test prints a table. All faults
// take half a minute:
//
//	go test -run TestStoreFaults -v . -args -fault.all -fault.for=30s
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	rows := map[string]string{}
	t.Run("each", func(t *testing.T) {
		for _, c := range faultCases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				row := runFault(t, c)
				mu.Lock()
				defer mu.Unlock()
				rows[c.name] = row
			})
		}
	})
	table := "\n| fault | /readyz | lines/s | the log says | answers a second | events | lost |\n|---|---|---|---|---|---|---|\n"
	for _, c := range faultCases() {
		table += rows[c.name]
	}
	t.Log(table)
}

// runFault sends events all the time, injects the fault and undoes it.
func runFault(t *testing.T, c faultCase) string {
	t.Helper()
	f := c.open(t)
	s := newFaultService(t, f.store)
	traffic := startTraffic(t, s)
	require.Eventually(t, func() bool { return traffic.acknowledged() > 20 && s.ready(t) == http.StatusOK }, patience, 10*time.Millisecond)

	s.log.reset()
	traffic.reset()
	begun := time.Now()
	f.inject()
	require.Eventually(t, func() bool { return s.ready(t) == http.StatusServiceUnavailable }, patience, 10*time.Millisecond, "readiness turns")
	turned := time.Since(begun)
	require.Eventually(t, func() bool {
		text := s.log.String()
		return time.Since(begun) >= *faultFor && strings.Contains(text, c.says) && strings.Contains(text, `msg="service: not ready"`)
	}, patience, 10*time.Millisecond, "%s: the log does not say %q, or that it is not ready", c.name, c.says)
	seconds := time.Since(begun).Seconds()
	lines, text, answers := s.log.lines(), s.log.String(), traffic.answers(seconds)
	f.undo()
	require.Eventually(t, func() bool { return s.ready(t) == http.StatusOK }, patience, 10*time.Millisecond, "readiness recovers")
	sent, lost := traffic.end()

	require.Empty(t, lost)
	require.Equal(t, c.accepts, !strings.Contains(text, "outcome=unavailable"), text)
	require.LessOrEqual(t, float64(lines), 60+2*seconds, "a bounded number of lines:\n%s", text)
	return fmt.Sprintf("| %s | 503 after %.1f s | %.1f | %s | %s | %d | %d |\n", c.name, turned.Seconds(), float64(lines)/seconds, c.says, answers, sent, len(lost))
}

// faultLog counts lines.
type faultLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *faultLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(p), "level=INFO") {
		return len(p), nil // one line for each delivery that was handled
	}
	return l.text.Write(p)
}

func (l *faultLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *faultLog) lines() int { return strings.Count(l.String(), "\n") }

func (l *faultLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

// faultService is a receiving service.
type faultService struct {
	url    string
	secret signer.Secret
	log    faultLog

	mu      sync.Mutex
	handled map[string]int
}

func newFaultService(t *testing.T, store readyStore) *faultService {
	t.Helper()
	s := &faultService{secret: signer.GenerateSecret(), handled: map[string]int{}}
	logger := slog.New(slog.NewTextHandler(&s.log, nil))
	scheme, err := signer.NewStandard(s.secret)
	require.NoError(t, err)
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, source), receiver.WithLogger(logger), receiver.WithStoreTimeout(time.Second),
		receiver.WithLease(time.Second))
	require.NoError(t, err)
	srv, err := service.New(rcv.Events(func(_ context.Context, e *payload.Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.handled[e.DeploymentID]++
		return nil
	}), service.WithLogger(logger), service.WithDrain(0), service.WithCheck("deliveries", store.Ready))
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return s
}

func (s *faultService) ready(t *testing.T) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(s.url + "/readyz")
	require.NoError(t, err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// traffic is senders that repeat each event until it is acknowledged.
type traffic struct {
	t       *testing.T
	service *faultService
	stop    context.CancelFunc
	all     sync.WaitGroup

	mu       sync.Mutex
	acked    []string
	statuses map[string]int
}

const faultSenders = 32

func startTraffic(t *testing.T, service *faultService) *traffic {
	t.Helper()
	tr := &traffic{t: t, service: service, statuses: map[string]int{}}
	scheme, err := signer.NewStandard(service.secret)
	require.NoError(t, err)
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), sender.WithTimeout(patience),
		sender.WithMaxRetryAfter(100*time.Millisecond), sender.WithObserver(tr.observe),
		sender.WithSchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(50 * time.Millisecond) }))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	tr.stop = cancel
	t.Cleanup(func() { cancel(); tr.all.Wait() })
	to := sender.Endpoint{URL: sender.NewURL(service.url + "/webhooks"), Signer: scheme}
	for i := range faultSenders {
		tr.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				tr.send(s, to, eventName(i*1_000_000+n))
				time.Sleep(5 * time.Millisecond) // real servers: some thousand events a second
			}
		})
	}
	return tr
}

func (tr *traffic) send(s *sender.Sender, to sender.Endpoint, event string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	_, err := s.Send(ctx, to, &payload.Event{
		Type: payload.DeployStarted, Timestamp: time.Now(), DeploymentID: event, DeliveryID: deliveryID(event), App: "api",
	})
	if err != nil {
		tr.t.Errorf("%s was never acknowledged: %v", event, err)
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.acked = append(tr.acked, event)
}

func (tr *traffic) observe(_ context.Context, a sender.Attempt) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	name := fmt.Sprint(a.Status)
	if a.Status == 0 {
		name = string(a.Class)
	}
	tr.statuses[name]++
}

func (tr *traffic) acknowledged() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.acked)
}

func (tr *traffic) reset() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.statuses = map[string]int{}
}

// answers describes what the senders saw.
func (tr *traffic) answers(seconds float64) string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(tr.statuses)) {
		all = append(all, fmt.Sprintf("%s: %.0f", name, float64(tr.statuses[name])/seconds))
	}
	return strings.Join(all, ", ")
}

// end waits until each event is acknowledged. It returns the acknowledged
// events that no handler has seen.
func (tr *traffic) end() (sent int, lost []string) {
	tr.stop()
	tr.all.Wait()
	tr.service.mu.Lock()
	defer tr.service.mu.Unlock()
	for _, event := range tr.acked {
		if tr.service.handled[event] == 0 {
			lost = append(lost, event)
		}
	}
	return len(tr.acked), lost
}

// redisFault sets maxmemory, and maybe the policy.
func redisFault(limit string, policy ...string) func(t *testing.T) storeFault {
	return func(t *testing.T) storeFault {
		t.Helper()
		options, err := redis.ParseURL(servicetest.StartRedis(t).URL())
		require.NoError(t, err)
		options.ContextTimeoutEnabled = true
		client := redis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		store, err := redisdedupe.New(client)
		require.NoError(t, err)
		set := func(name, value string) {
			require.NoError(t, client.ConfigSet(context.Background(), name, value).Err())
		}
		return storeFault{store, func() {
			if len(policy) > 0 {
				set("maxmemory-policy", policy[0])
			}
			set("maxmemory", limit)
		}, func() {
			set("maxmemory", "0")
			set("maxmemory-policy", "noeviction")
		}}
	}
}

// postgresStore opens a store on a server of its own. exec runs a statement as
// its administrator.
func postgresStore(t *testing.T) (store readyStore, server *servicetest.Server, exec func(statement string)) {
	t.Helper()
	server = servicetest.StartPostgres(t)
	open := func() *sql.DB {
		db, err := sql.Open("pgx", server.URL())
		require.NoError(t, err)
		db.SetMaxOpenConns(8)
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	store, err := sqldedupe.NewPostgres(t.Context(), open())
	require.NoError(t, err)
	admin := open()
	return store, server, func(statement string) {
		t.Helper()
		_, err := admin.ExecContext(context.Background(), statement)
		require.NoError(t, err)
	}
}

func postgresReadOnly(t *testing.T) storeFault {
	t.Helper()
	store, _, exec := postgresStore(t)
	set := func(value string) func() {
		return func() {
			exec("ALTER SYSTEM SET default_transaction_read_only = " + value)
			exec("SELECT pg_reload_conf()")
		}
	}
	return storeFault{store, set("on"), set("off")}
}

func postgresKilled(t *testing.T) storeFault {
	t.Helper()
	store, server, _ := postgresStore(t)
	return storeFault{store, server.Kill, server.Restart}
}

// postgresFull has a trigger that fails like a full disk.
func postgresFull(t *testing.T) storeFault {
	t.Helper()
	store, _, exec := postgresStore(t)
	exec(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE 'could not extend file "base/5/16390": No space left on device' USING ERRCODE = 'disk_full'; END $$`)
	return storeFault{
		store, func() {
			exec("CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON deployhook_dedupe FOR EACH STATEMENT EXECUTE FUNCTION full_disk()")
		}, func() { exec("DROP TRIGGER full_disk ON deployhook_dedupe") },
	}
}

func sqliteStore(t *testing.T) (store readyStore, db *sql.DB, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "dedupe.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(200)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	store, err = sqldedupe.NewSQLite(t.Context(), db)
	require.NoError(t, err)
	return store, db, path
}

// sqliteLocked has another process, such as a backup, that holds the lock.
func sqliteLocked(t *testing.T) storeFault {
	t.Helper()
	store, _, path := sqliteStore(t)
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	var tx *sql.Tx
	return storeFault{store, func() {
		var err error
		tx, err = other.BeginTx(context.Background(), nil)
		require.NoError(t, err)
	}, func() { require.NoError(t, tx.Rollback()) }}
}

func sqliteFull(t *testing.T) storeFault {
	t.Helper()
	store, db, _ := sqliteStore(t)
	limit := func(pages int) {
		_, err := db.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		require.NoError(t, err)
	}
	return storeFault{store, func() { limit(1) }, func() { limit(1 << 30) }} // SQLite keeps the pages that are in use
}

// sqliteDeleted moves the file away, which looks like a deletion and can be
// undone.
func sqliteDeleted(t *testing.T) storeFault {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not delete open files")
	}
	store, _, path := sqliteStore(t)
	return storeFault{store, func() { require.NoError(t, os.Rename(path, path+".gone")) }, func() { require.NoError(t, os.Rename(path+".gone", path)) }}
}
