package sqldedupe_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// endpoint is a service with a receiver, and its sender.
type endpoint struct {
	t      testing.TB
	scheme *signer.Standard
	server *httptest.Server
}

// newEndpoint takes further options for the receiver, whose lease is short.
func newEndpoint(t testing.TB, s dedupe.Store, handler receiver.EventHandler, opts ...receiver.Option) *endpoint {
	t.Helper()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	opts = append([]receiver.Option{
		receiver.WithDedupe(s, "test"), receiver.WithLease(time.Second), receiver.WithStoreTimeout(2 * time.Second),
		receiver.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)
	rcv, err := receiver.New(scheme, opts...)
	require.NoError(t, err)
	server := httptest.NewServer(rcv.Events(handler))
	t.Cleanup(server.Close)
	return &endpoint{t: t, scheme: scheme, server: server}
}

func (e *endpoint) post(id string) (status int, answer string) {
	e.t.Helper()
	const body = `{"event":"deploy.succeeded","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"api"}`
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.server.URL, strings.NewReader(body))
	require.NoError(e.t, err)
	r.Header.Set("Content-Type", "application/json")
	require.NoError(e.t, e.scheme.Sign(r.Context(), r, id, time.Now(), []byte(body)))
	response, err := e.server.Client().Do(r)
	require.NoError(e.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(e.t, err)
	if response.StatusCode == http.StatusServiceUnavailable {
		require.NotEmpty(e.t, response.Header.Get("Retry-After"))
	}
	return response.StatusCode, string(text)
}

// insist sends a delivery until it is accepted, as senders do, and returns the
// earlier answers.
func (e *endpoint) insist(id string) (refused []int) {
	e.t.Helper()
	_, refused = e.answer(id)
	return refused
}

// answer returns the last answer to insist, and the earlier ones.
func (e *endpoint) answer(id string) (accepted string, refused []int) {
	e.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		status, answer := e.post(id)
		if status == http.StatusOK {
			return answer, refused
		}
		require.Contains(e.t, []int{409, 500, 503}, status, answer)
		refused = append(refused, status)
		require.True(e.t, time.Now().Before(deadline), "not accepted: %v", refused)
		time.Sleep(50 * time.Millisecond) // the servers' clocks are real
	}
}

// inTx returns a handler whose effect is in the transaction of the completion.
// It calls before inside the transaction.
func inTx(b *backend, s *sqldedupe.Store, before func()) receiver.EventHandler {
	return func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		return d.CompleteWith(func(c dedupe.Claim) error {
			err := s.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
				before()
				return b.effect(d.ID)(ctx, tx)
			})
			if err != nil {
				return receiver.TryAgain(time.Second, err)
			}
			return nil
		})
	}
}

// A lost connection at any point costs an attempt but never the delivery, and
// the effect takes place once.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	server, err := url.Parse(servicetest.PostgresURL(t))
	require.NoError(t, err)
	p := newProxy(t, server.Host)
	s := b.store(postgresDB(t, p.url(server.String())))
	var before func()
	e := newEndpoint(t, s, inTx(b, s, func() { before() }), receiver.WithLease(patience), receiver.WithStoreTimeout(patience))

	for name, test := range map[string]struct {
		onCommit int32
		before   func()
		refused  bool
	}{
		"between claim and completion": {pass, p.cut, true},
		"before the commit arrived":    {loseCommit, func() {}, true},
		// The store asks for the outcome of the commit, and learns that it took
		// effect.
		"after the commit": {loseAnswer, func() {}, false},
	} {
		id := "whk_" + strings.ReplaceAll(name, " ", "_")
		var once sync.Once
		before = func() {
			p.onCommit.Store(pass)
			once.Do(func() {
				p.onCommit.Store(test.onCommit)
				test.before()
			})
		}
		refused := e.insist(id)
		p.onCommit.Store(pass)
		require.Equal(t, test.refused, len(refused) > 0, "%s: %v", name, refused)
		require.Equal(t, 1, b.count(id), name)
		e.insist(id)
		require.Equal(t, 1, b.count(id), name)
	}
}

// If the outcome of a commit cannot be determined, the error says so. The
// delivery stays in flight until the outcome is known.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	server, err := url.Parse(servicetest.PostgresURL(t))
	require.NoError(t, err)
	p := newProxy(t, server.Host)
	db := postgresDB(t, p.url(server.String()))
	s, other := b.store(db), b.store(b.db)
	c := claim(t, s, key("1"), 50*time.Millisecond, dedupe.Claimed)
	p.onCommit.Store(holdCommit)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-p.held; cancel() }()
	err = s.InTx(ctx, c, b.effect("1"))
	require.ErrorIs(t, err, sqldedupe.ErrOutcomeUnknown)
	require.Zero(t, b.count("1"))
	// The server still sees the connection and the transaction as open.
	claim(t, other, key("1"), amply, dedupe.InFlight)
	p.cut()
	var again dedupe.Claim
	require.Eventually(t, func() bool {
		again, err = other.Claim(t.Context(), key("1"), amply)
		require.NoError(t, err)
		return again.State == dedupe.Claimed
	}, patience, 20*time.Millisecond, "the server has rolled back the transaction")
	require.NoError(t, other.InTx(t.Context(), again, b.effect("1")))
	require.Equal(t, 1, b.count("1"))
}

// The server is killed at different points of concurrent deliveries.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	server := servicetest.StartPostgres(t)
	db := postgresDB(t, server.URL())
	b := &backend{t: t, dialect: sqldedupe.Postgres, db: db, open: func() *sql.DB { return db }}
	b.effects()
	s := b.store(db)
	var before atomic.Pointer[func()]
	e := newEndpoint(t, s, inTx(b, s, func() { (*before.Load())() }))
	nothing := func() {}
	before.Store(&nothing)
	e.insist("whk_before")

	var once sync.Once
	kill := func() { once.Do(func() { server.Kill(); server.Restart() }) }
	before.Store(&kill)
	require.NotEmpty(t, e.insist("whk_during"), "the server was killed inside the transaction")
	before.Store(&nothing)
	for _, id := range []string{"whk_before", "whk_during"} {
		answer, _ := e.answer(id)
		require.JSONEq(t, `{"received":true,"duplicate":true}`, answer, "a delivery with the answer 200 is remembered")
		require.Equal(t, 1, b.count(id))
	}

	server.Kill()
	status, _ := e.post("whk_down")
	require.Equal(t, http.StatusServiceUnavailable, status)
	status, _ = e.post("whk_before")
	require.Equal(t, http.StatusServiceUnavailable, status, "without a lookup the answer is not a duplicate")
	server.Restart()
	e.insist("whk_down")
	require.Equal(t, 1, b.count("whk_down"))

	server.Pause()
	began := time.Now()
	status, _ = e.post("whk_paused")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Less(t, time.Since(began), patience, "the store's timeout of 2 s limits the wait")
	server.Resume()
	e.insist("whk_paused")
	require.Equal(t, 1, b.count("whk_paused"))
}

// The server is killed again and again while deliveries arrive concurrently.
func TestKilledServer_EachDeliveryTakesEffectOnce(t *testing.T) {
	t.Parallel()
	server := servicetest.StartPostgres(t)
	db := postgresDB(t, server.URL())
	b := &backend{t: t, dialect: sqldedupe.Postgres, db: db, open: func() *sql.DB { return db }}
	b.effects()
	s := b.store(db)
	e := newEndpoint(t, s, inTx(b, s, func() {}))
	var senders sync.WaitGroup
	var stop atomic.Bool
	var sent [4][]string
	var accepted atomic.Int64
	for i := range sent {
		senders.Go(func() {
			for n := 0; !stop.Load(); n++ {
				id := fmt.Sprintf("whk_%d_%d", i, n)
				e.insist(id)
				sent[i] = append(sent[i], id)
				accepted.Add(1)
			}
		})
	}
	for range 3 {
		before := accepted.Load()
		require.Eventually(t, func() bool { return accepted.Load() >= before+20 }, patience, time.Millisecond)
		server.Kill()
		server.Restart()
	}
	stop.Store(true)
	senders.Wait()
	for _, ids := range sent {
		for _, id := range ids {
			require.Equal(t, 1, b.count(id), id)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	server := servicetest.StartPostgres(t, "max_connections=5", "superuser_reserved_connections=0", "max_wal_senders=0")
	db := postgresDB(t, server.URL())
	b := &backend{t: t, dialect: sqldedupe.Postgres, db: db, open: func() *sql.DB { return db }}
	s := b.store(db)
	db.SetMaxIdleConns(0)
	hog := postgresDB(t, server.URL())
	hog.SetMaxOpenConns(0)
	var held []*sql.Conn
	require.Eventually(t, func() bool {
		conn, err := hog.Conn(t.Context())
		if err == nil {
			held = append(held, conn)
		}
		return len(held) == 5
	}, patience, 20*time.Millisecond)
	_, err := s.Claim(t.Context(), key("1"), amply)
	var state interface{ SQLState() string }
	require.ErrorAs(t, err, &state)
	require.Equal(t, "53300", state.SQLState())
	require.NotErrorIs(t, err, dedupe.ErrFull, "there is room, but not for this store at the moment")
	for _, conn := range held {
		require.NoError(t, conn.Close())
	}
	hog.SetMaxIdleConns(0)
	require.Eventually(t, func() bool {
		c, err := s.Claim(t.Context(), key("1"), amply)
		return err == nil && c.State == dedupe.Claimed
	}, patience, 20*time.Millisecond)
}

// With a full disk the store refuses new deliveries and still recognizes
// duplicates.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	b := openSQLite(t)
	s := b.store(b.db)
	e := newEndpoint(t, s, func(context.Context, *payload.Event) error { return nil })
	e.insist("whk_1")
	var pages int
	require.NoError(t, b.db.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages))
	_, err := b.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	require.NoError(t, err)

	full := func() (err error) {
		for i := range 1000 {
			if _, err = s.Claim(t.Context(), key(fmt.Sprint(i)), amply); err != nil {
				return err
			}
		}
		return nil
	}
	require.ErrorIs(t, full(), dedupe.ErrFull)
	refused := 0
	for i := range 20 { // a page may still have room for some
		status, _ := e.post(fmt.Sprintf("whk_new_%d", i))
		if status == http.StatusServiceUnavailable {
			refused++
		}
	}
	require.NotZero(t, refused)
	status, answer := e.post("whk_1")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"received":true,"duplicate":true}`, answer)

	_, err = b.db.ExecContext(t.Context(), "PRAGMA max_page_count = 1000000")
	require.NoError(t, err)
	e.insist("whk_new_19")
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db)
		c := claim(t, s, key("done"), amply, dedupe.Claimed)
		require.NoError(t, s.Complete(t.Context(), c))
		open := b.open()
		open.SetMaxOpenConns(1)
		readOnly := b.store(open)
		statement := "SET default_transaction_read_only = on"
		if b.dialect == sqldedupe.SQLite {
			statement = "PRAGMA query_only = 1"
		}
		_, err := open.ExecContext(t.Context(), statement)
		require.NoError(t, err)
		if b.dialect == sqldedupe.SQLite {
			claim(t, readOnly, key("done"), amply, dedupe.Completed)
		}
		_, err = readOnly.Claim(t.Context(), key("new"), amply)
		require.Error(t, err)
		require.NotErrorIs(t, err, dedupe.ErrFull)
	})
}

// Another process holds the lock for longer than the store waits.
func TestSQLiteBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "busy.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(100)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	require.NoError(t, err)
	closeAfter(t, db)
	s, err := sqldedupe.NewSQLite(t.Context(), db)
	require.NoError(t, err)
	other := sqliteDB(t, path)
	tx, err := other.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = s.Claim(t.Context(), key("1"), amply)
	var code interface{ Code() int }
	require.ErrorAs(t, err, &code)
	require.Equal(t, 5, code.Code()&0xff)
	require.NoError(t, tx.Rollback())
	claim(t, s, key("1"), amply, dedupe.Claimed)
}
