package linearize

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// result sums up the histories of one store, subject and fault.
type result struct {
	store, subject, fault string

	histories, calls int
	lost             int // calls without an answer
	ok               int // linearizable histories
	bounded          int // histories that are linearizable only up to the documented bound
	violations       int
	took             time.Duration
}

// table collects the results.
type table struct {
	mu   sync.Mutex
	rows []*result
}

func (all *table) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "store\tsubject\tfault\thistories\tcalls\tlost answers\tlinearizable\tup to the bound\tviolations\ttime\t")
	for _, r := range all.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1fs\t\n",
			r.store, r.subject, r.fault, r.histories, r.calls, r.lost, r.ok, r.bounded, r.violations, r.took.Seconds())
	}
	_ = w.Flush()
	return text.String()
}

// histories plays the histories of one world and fault, or a few of them unless
// -linear.histories is set.
func (all *table) histories(t *testing.T, few int, store string, w *world, f *fault) {
	n := few
	if *full > 0 {
		n = *full
	}
	if n == 0 {
		return
	}
	r := &result{store: store, subject: w.name, fault: f.name}
	all.mu.Lock()
	all.rows = append(all.rows, r)
	all.mu.Unlock()
	t.Run(w.name+"/"+f.name, func(t *testing.T) {
		for range n {
			w.play(t, f, r)
		}
		t.Logf("%d histories with %d calls: %d linearizable, %d up to the bound, %d violations",
			r.histories, r.calls, r.ok, r.bounded, r.violations)
	})
}

// TestLinearizable prints a table with -v.
func TestLinearizable(t *testing.T) {
	all := &table{}
	t.Run("on", func(t *testing.T) {
		t.Run("memory", all.memory)
		t.Run("sqlite", all.sqlite)
		all.postgres(t)
		t.Run("redis", all.redis)
		for _, setting := range []string{"always", "everysec", "no"} {
			t.Run("redis, appendfsync "+setting, func(t *testing.T) { all.redisKilled(t, setting) })
		}
		t.Run("sentinel", func(t *testing.T) { all.sentinel(t, failover) })
		t.Run("sentinel, replication stopped", func(t *testing.T) { all.sentinel(t, failoverBehind) })
	})
	t.Logf("\n%s", all)
}

func (all *table) memory(t *testing.T) {
	t.Parallel()
	for _, s := range []*subject{&claims, &ledger} {
		for _, f := range []*fault{none, clientFrozen, clientKilled} {
			all.histories(t, 3, "memory", &world{subject: s, store: "memory", processes: 1}, f)
		}
	}
	all.histories(t, 0, "memory", &world{subject: &claims, store: "memory", processes: 1}, expiry)
}

func (all *table) sqlite(t *testing.T) {
	t.Parallel()
	for _, s := range subjects {
		w := &world{subject: s, store: "sqlite", processes: 2, address: filepath.Join(t.TempDir(), s.name+".db")}
		w.prepare(t)
		for _, f := range []*fault{none, clientFrozen, clientKilled} {
			all.histories(t, 3, "sqlite", w, f)
		}
		if s == &claims {
			all.histories(t, 0, "sqlite", w, expiry)
		}
	}
}

// prepare creates what the processes share.
func (w *world) prepare(t *testing.T) {
	t.Helper()
	shared := task{Subject: w.name, Store: w.store, Address: w.address, TTL: time.Hour}
	if w.subject == &publish {
		require.NoError(t, createEndpoints(t.Context(), shared))
		return
	}
	_, closeStore, err := w.open(t.Context(), shared)
	require.NoError(t, err)
	require.NoError(t, closeStore())
}

// postgres uses one server, or one for each subject in long runs.
func (all *table) postgres(t *testing.T) {
	if *full == 0 {
		t.Run("postgres", func(t *testing.T) {
			t.Parallel()
			all.onPostgres(t, subjects...)
		})
		return
	}
	for _, s := range subjects {
		t.Run("postgres, "+s.name, func(t *testing.T) {
			t.Parallel()
			all.onPostgres(t, s)
		})
	}
}

func (all *table) onPostgres(t *testing.T, subjects ...*subject) {
	server := servicetest.StartPostgres(t)
	p := newProxy(t, server.Addr())
	for _, s := range subjects {
		w := &world{subject: s, store: "postgres", processes: 2, address: server.URL(), server: server, proxy: p}
		w.prepare(t)
		for _, f := range []*fault{none, clientFrozen, clientKilled, connectionsCut, backendsTerminated, serverFrozen, serverKilled} {
			few := 0
			if s == &claims || f == clientKilled || f == connectionsCut {
				few = 1
			}
			all.histories(t, few, "postgres", w, f)
		}
		if s == &claims {
			all.histories(t, 0, "postgres", w, expiry)
		}
	}
}

func (all *table) redis(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	w := &world{subject: &claims, store: "redis", processes: 2, address: server.URL(), server: server, proxy: newProxy(t, server.Addr())}
	for _, f := range []*fault{none, clientFrozen, clientKilled, connectionsCut, serverFrozen} {
		all.histories(t, 1, "redis", w, f)
	}
	all.histories(t, 0, "redis", w, expiry)
}

// redisKilled kills a server that syncs its data always or every second, or has
// no data on disk.
func (all *table) redisKilled(t *testing.T, setting string) {
	t.Parallel()
	name, f, args := "redis, appendfsync "+setting, serverKilled, []string{"--appendfsync", setting}
	if setting == "no" {
		name, f, args = "redis, appendonly no", memoryLost, []string{"--appendonly", "no"}
	}
	server := servicetest.StartRedis(t, args...)
	w := &world{subject: &claims, store: "redis", processes: 2, address: server.URL(), server: server}
	all.histories(t, 1, name, w, f)
}

// sentinel uses new servers for each history, because a failover uses them up.
func (all *table) sentinel(t *testing.T, f *fault) {
	t.Parallel()
	all.histories(t, 1, "redis sentinel", &world{subject: &claims, store: "sentinel", processes: 2}, f)
}
