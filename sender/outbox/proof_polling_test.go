package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// TestProofPolling shows that a consumer which follows the cursor sees each
// event once and in one order. Many writers publish in transactions of their
// own, which commit in random order. Some are rolled back, and one stays open
// for long. In the middle the database is dumped, restored and used further.
func TestProofPolling(t *testing.T) {
	t.Parallel() // it measures no time
	onEach(t, func(t *testing.T, w *world) {
		p := &polling{w: w, writers: 16, each: fewer(50), open: time.Second, committed: map[string]bool{}}
		if *strict {
			p.writers, p.each, p.open = 64, 40, 10*time.Second
		}
		first := p.phase(t, "first")
		cursor := p.read(t, first, "")
		first.close(t)
		p.w = w.restored(t)
		second := p.phase(t, "second")
		cursor = p.read(t, second, cursor)
		require.NotEmpty(t, cursor)

		require.Len(t, p.seen, len(p.committed), "an event was seen twice, or never")
		for _, id := range p.seen {
			require.True(t, p.committed[id], id)
		}
		all, _ := follow(t, second.app, outbox.EventFilter{}, "", len(p.committed))
		require.Equal(t, p.seen, all, "the order that the consumer saw is not that of the cursor")
		t.Logf("%d writers, %d events committed and seen once, %d rolled back", p.writers, len(p.committed), p.rolledBack)
		second.close(t)
	})
}

// polling is what the writers did and the consumer saw.
type polling struct {
	w       *world
	writers int
	each    int           // events of a writer
	open    time.Duration // how long one transaction stays open

	mu         sync.Mutex
	committed  map[string]bool
	rolledBack int
	seen       []string
}

// phase is the time between two restores.
type phase struct {
	o    *outbox.Outbox
	app  *outbox.App
	done atomic.Bool // all writers have ended
	end  sync.WaitGroup
}

func (p *polling) phase(t *testing.T, name string) *phase {
	o, err := p.w.tryOpen(outbox.WithLogger(testLogger(t)))
	require.NoError(t, err)
	require.NoError(t, o.RegisterApp(t.Context(), "shop"))
	ph := &phase{o: o, app: o.App("shop")}
	store := p.w.transactions(t, ph.app)
	var writers sync.WaitGroup
	for i := range p.writers {
		writers.Go(func() {
			for n := range p.each {
				p.write(t, ph, store, fmt.Sprintf("%s-%d-%d", name, i, n), i == 0 && n == p.each/2)
			}
		})
	}
	ph.end.Go(func() {
		writers.Wait()
		ph.done.Store(true)
	})
	return ph
}

var errRollBack = errors.New("roll back")

// write publishes one event in a transaction of the application.
func (p *polling) write(t *testing.T, ph *phase, store transactions, id string, long bool) {
	back := !long && rand.N(10) == 0
	err := store(event(payload.DeployLive, "dep_"+id), id, func() error {
		switch {
		case long:
			time.Sleep(p.open) // the time that a transaction stays open is what this is about
		case p.w.pool != nil: // on SQLite all others wait meanwhile
			time.Sleep(rand.N(5 * time.Millisecond)) // so that transactions commit in random order
		}
		if back {
			return errRollBack
		}
		return nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case back && errors.Is(err, errRollBack):
		p.rolledBack++
	case err != nil:
		t.Errorf("publishing %s: %v", id, err)
	default:
		p.committed[id] = true
	}
}

// read follows the events until all writers have ended and each event has
// appeared.
func (p *polling) read(t *testing.T, ph *phase, cursor string) string {
	for open := time.Now(); ; { // until then there were writers
		done := ph.done.Load()
		page, err := ph.app.Events(t.Context(), outbox.EventFilter{}, outbox.Page{Cursor: cursor, Limit: 10})
		require.NoError(t, err)
		for _, e := range page.Items {
			p.seen = append(p.seen, e.ID)
		}
		if cursor = page.Next; done && !page.More && len(p.seen) >= len(p.committed) {
			return cursor
		}
		if !done {
			open = time.Now()
		}
		require.Less(t, time.Since(open), patience, "committed events do not appear")
	}
}

func (ph *phase) close(t *testing.T) {
	ph.end.Wait()
	require.NoError(t, ph.o.Close())
}

// transactions publishes an event in a transaction of the application, and
// commits it if the function returns nil.
type transactions func(e *payload.Event, id string, then func() error) error

func (w *world) transactions(t *testing.T, a *outbox.App) transactions {
	ctx := context.Background()
	if w.pool != nil {
		return func(e *payload.Event, id string, then func() error) error {
			return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
				if _, err := a.PublishPgxTx(ctx, tx, e, outbox.WithEventID(id)); err != nil {
					return err
				}
				return then()
			})
		}
	}
	db, err := lite(w.path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return func(e *payload.Event, id string, then func() error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := a.PublishTx(ctx, tx, e, outbox.WithEventID(id)); err != nil {
			return err
		}
		if err := then(); err != nil {
			return err
		}
		return tx.Commit()
	}
}

// restored returns a copy of the database, made with the tools of its own.
func (w *world) restored(t *testing.T) *world {
	t.Helper()
	if w.path != "" {
		copied := &world{path: filepath.Join(t.TempDir(), "restored.db")}
		w.exec(t, `VACUUM INTO '`+copied.path+`'`)
		return copied
	}
	url := sqldbtest.NewDatabase(t)
	dump := exec.CommandContext(t.Context(), servicetest.PostgresTool(t, "pg_dump"), "--format=custom", "--dbname="+w.url)
	restore := exec.CommandContext(t.Context(), servicetest.PostgresTool(t, "pg_restore"), "--exit-on-error", "--dbname="+url)
	pipe, err := dump.StdoutPipe()
	require.NoError(t, err)
	restore.Stdin = pipe
	require.NoError(t, dump.Start())
	out, err := restore.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, dump.Wait())
	return &world{url: url, pool: sqldbtest.OpenPool(t, url)}
}
