package crashtest

import (
	"context"
	"database/sql"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/signer"
)

var crashFor = flag.Duration("crash.for", 0, "how long each mode is run; 0 means one round")

// patience is the limit for one round. Only a hang takes longer.
const patience = 10 * time.Minute

// round is how many events are sent before effects are counted.
const round = 200

// mode is one way to run the receiver.
type mode struct {
	store     string
	tx        bool
	instances int
	// server starts the database server if the mode has one. It returns a
	// server that can be paused and killed.
	server func(t testing.TB) *servicetest.Server
}

var modes = map[string]mode{
	"memory":               {store: "memory", instances: 1},
	"redis":                {store: "redis", instances: 3, server: func(t testing.TB) *servicetest.Server { return servicetest.StartRedis(t) }},
	"postgres":             {store: "postgres", instances: 3, server: func(t testing.TB) *servicetest.Server { return servicetest.StartPostgres(t) }},
	"postgres transaction": {store: "postgres", tx: true, instances: 3, server: func(t testing.TB) *servicetest.Server { return servicetest.StartPostgres(t) }},
	"sqlite":               {store: "sqlite", instances: 2},
	"sqlite transaction":   {store: "sqlite", tx: true, instances: 2},
}

func TestCrash(t *testing.T) {
	t.Parallel()
	for name, m := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runMode(t, m)
		})
	}
}

func runMode(t *testing.T, m mode) {
	secret := signer.GenerateSecret()
	config := childConfig{Store: m.store, Tx: m.tx, Secret: secret.Reveal(), Dir: t.TempDir()}
	var server *servicetest.Server
	if m.server != nil {
		server = m.server(t)
		config.URL = server.URL()
	} else {
		config.URL = filepath.Join(config.Dir, "dedupe.db")
	}
	var effects *sql.DB
	if m.tx {
		effects = openEffects(t, config)
	}
	f := newFleet(t, config, m.instances)

	began := time.Now()
	var attempts int64
	events := 0
	for {
		attempts += oneRound(t, f, server, secret, events)
		events += round
		if t.Failed() || time.Since(began) >= *crashFor {
			break
		}
	}
	f.stop()

	twice := 0
	if m.tx {
		twice = checkTransactions(t, effects, events)
	} else {
		twice = checkJournal(t, config, events)
	}
	checkCrashes(t, config.Dir, events)
	t.Log(describe(f, events, attempts, twice))
}

// checkCrashes checks that processes were killed at every step. A random kill
// may come before a planned one, so not every planned crash happens.
func checkCrashes(t *testing.T, dir string, events int) {
	t.Helper()
	plans, done := make(map[step]int), make(map[step]int)
	for i := 0; i < events; i += crashEvery {
		event := eventName(i)
		at, _ := planned(event)
		plans[at]++
		if _, err := os.Stat(crashMark(dir, event)); err == nil {
			done[at]++
		}
	}
	for _, at := range steps {
		assert.GreaterOrEqual(t, done[at], plans[at]/2, "%d processes were planned to be killed %s, but too few were", plans[at], at)
	}
	t.Logf("killed by plan: %v", done)
}

// oneRound sends a round of events. Meanwhile it kills processes, and the
// server once.
func oneRound(t *testing.T, f *fleet, server *servicetest.Server, secret signer.Secret, first int) int64 {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	killing, enough := context.WithCancel(ctx)
	done := make(chan struct{})
	var p progress
	go func() { defer close(done); killRandomly(killing, f, &p) }()
	sent := make(chan int64, 1)
	go func() { sent <- stream(ctx, t, f.url, secret, first, round, &p) }()
	if server != nil {
		p.await(ctx, round/4) // halfway through the events
		server.Kill()
		server.Restart()
	}
	attempts := <-sent
	enough()
	<-done
	return attempts
}

// checkJournal checks the bound for stores that cannot commit with the effect.
func checkJournal(t *testing.T, config childConfig, events int) (twice int) {
	tallies := count(t, config.Dir)
	for i := range events {
		event := eventName(i)
		one := tallies[event]
		if !assert.NotNil(t, one, "%s was acknowledged and never took effect", event) {
			continue
		}
		if one.effects > 1 {
			twice++
		}
		if config.Store != "memory" {
			// Each further effect then comes from a call that was killed
			// between its effect and its completion.
			assert.LessOrEqual(t, one.completions, 1, "%s took effect again after its claim had been completed", event)
			continue
		}
		for process, n := range one.byProcess {
			assert.Equal(t, 1, n, "process %s handled %s again, although it had not died", process, event)
		}
	}
	assert.Len(t, tallies, events, "an event took effect that was never sent")
	return twice
}

// checkTransactions requires that every event took effect exactly once.
func checkTransactions(t *testing.T, db *sql.DB, events int) (twice int) {
	rows, err := db.QueryContext(t.Context(), "SELECT event, count(*) FROM effects GROUP BY event")
	require.NoError(t, err)
	defer rows.Close()
	counts := make(map[string]int)
	for rows.Next() {
		var event string
		var n int
		require.NoError(t, rows.Scan(&event, &n))
		counts[event] = n
	}
	require.NoError(t, rows.Err())
	for i := range events {
		n := counts[eventName(i)]
		assert.Equal(t, 1, n, "%s took effect %d times", eventName(i), n)
		if n > 1 {
			twice++
		}
	}
	assert.Len(t, counts, events, "an event took effect that was never sent")
	return twice
}

// openEffects creates the application's table in the database that holds the
// claims.
func openEffects(t *testing.T, config childConfig) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", config.URL
	if config.Store == "sqlite" {
		driver, dsn = "sqlite", sqliteDSN(config.URL)
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE effects (event text NOT NULL, process text NOT NULL)")
	require.NoError(t, err)
	return db
}

func sqliteDSN(file string) string {
	return "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_txlock=immediate"
}
