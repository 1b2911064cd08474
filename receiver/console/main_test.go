package console_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	_ "github.com/jackc/pgx/v5/stdlib" // driver of the ledger
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	patience = 4 * time.Minute // only a hang takes longer
	prefix   = "/team/webhooks"
)

// world is a service that receives webhooks, with its pages.
type world struct {
	t       testing.TB
	inbox   *inbox.Inbox
	ledger  *sqlledger.Ledger
	recent  *console.Recent
	handler *console.Handler
	url     string // with the prefix
	log     *safeBuffer
	hook    http.Handler
	scheme  *signer.Standard

	// schema is that of the inbox on PostgreSQL, with a dot. execInbox and
	// execLedger run a statement behind the backs of inbox and ledger.
	schema                string
	execInbox, execLedger func(statement string) error

	mu    sync.Mutex
	fails map[string]string // errors of the handler by deployment
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// onEach runs a test on both databases.
func onEach(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, onSQLite(t))
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		test(t, onPostgres(t))
	})
}

func onSQLite(t testing.TB, opts ...console.Option) *world {
	t.Helper()
	w := &world{t: t, fails: map[string]string{}}
	files := t.TempDir()
	in, err := inbox.OpenSQLite(t.Context(), filepath.Join(files, "inbox.db"), w.handle, inboxOptions()...)
	require.NoError(t, err)
	w.ledger, err = sqlledger.OpenSQLite(t.Context(), filepath.Join(files, "ledger.db"))
	require.NoError(t, err)
	w.execInbox, w.execLedger = behindSQLite(t, filepath.Join(files, "inbox.db")), behindSQLite(t, filepath.Join(files, "ledger.db"))
	return w.open(in, opts...)
}

func onPostgres(t testing.TB, opts ...console.Option) *world {
	t.Helper()
	w := &world{t: t, fails: map[string]string{}}
	address := sqldbtest.NewDatabase(t)
	in, err := inbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, address), w.handle, inboxOptions()...)
	require.NoError(t, err)
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	w.ledger, err = sqlledger.NewPostgres(t.Context(), db)
	require.NoError(t, err)
	w.schema = inbox.DefaultSchema + "."
	w.execInbox = func(statement string) error {
		_, err := db.ExecContext(t.Context(), statement)
		return err
	}
	w.execLedger = w.execInbox
	return w.open(in, opts...)
}

// behindSQLite returns a function that runs a statement in a file.
func behindSQLite(t testing.TB, path string) func(statement string) error {
	return func(statement string) error {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)")
		if err != nil {
			return err
		}
		_, err = db.ExecContext(t.Context(), statement)
		return errors.Join(err, db.Close())
	}
}

func inboxOptions() []inbox.Option {
	return []inbox.Option{
		inbox.WithLogger(slog.New(slog.DiscardHandler)), inbox.WithStoreTimeout(patience),
		inbox.WithRetrySchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }),
	}
}

func (w *world) open(in *inbox.Inbox, opts ...console.Option) *world {
	t := w.t
	t.Helper()
	w.inbox, w.log, w.recent = in, &safeBuffer{}, console.NewRecent()
	calculator, err := dora.New(w.ledger)
	require.NoError(t, err)
	w.scheme, err = signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	w.hook, err = in.Handler(w.scheme, "platform", receiver.WithLogger(slog.New(slog.DiscardHandler)),
		receiver.WithObserver(w.recent.Observer("platform")), receiver.WithEnvelope())
	require.NoError(t, err)
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	w.handler, err = console.New(byCookie, append([]console.Option{
		console.WithInbox(in), console.WithRecent(w.recent), console.WithLedger(w.ledger), console.WithMetrics(calculator), console.WithLogger(logger),
	}, opts...)...)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", http.StripPrefix(prefix, w.handler))
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, in.Close())
		require.NoError(t, w.ledger.Close())
		for line := range strings.Lines(w.log.String()) {
			if t.Failed() && strings.Contains(line, "level=ERROR") {
				t.Log(line)
			}
		}
	})
	w.url = server.URL + prefix
	return w
}

// as returns a browser of a person.
func (w *world) as(who string) *webuitest.Visitor { return webuitest.As(w.t, w.url, who) }

// byCookie lets a cookie say who it is, which only a test may do.
func byCookie(r *http.Request) (console.Access, error) {
	cookie, err := r.Cookie("who")
	if err != nil {
		return console.Access{}, fmt.Errorf("%w: no cookie", console.ErrUnauthenticated)
	}
	who, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return console.Access{}, err
	}
	switch who {
	case "nobody":
		return console.Access{Act: true}, nil
	case "broken":
		return console.Access{Read: true, Act: true}, errors.New("the session store is down")
	}
	orgs := []string{"acme"}
	switch who {
	case "olga":
		orgs = append(orgs, "globex")
	case "ned":
		orgs = nil
	}
	return console.Access{Read: true, Act: who != "reader", Organizations: orgs, Actor: who + " of the team"}, nil
}

// handle fails as the test says.
func (w *world) handle(_ context.Context, e *payload.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, bad := w.fails[e.DeploymentID]
	switch {
	case bad && strings.HasPrefix(text, "retry"):
		return errors.New(text)
	case bad:
		return inbox.Permanent(errors.New(text))
	}
	return nil
}

// fail sets the error of a deployment. Its events are handled with an empty
// one.
func (w *world) fail(deployment, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.fails, deployment); text != "" {
		w.fails[deployment] = text
	}
}

func (w *world) start() { require.NoError(w.t, w.inbox.Start(context.WithoutCancel(w.t.Context()))) }

// receive lets a sender deliver an event, and returns its number in the inbox.
func (w *world) receive(deployment string, change ...func(*payload.Event)) int64 {
	w.t.Helper()
	e := &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: deployment, App: "shop",
		Environment: "production", Version: "v1.4.2",
	}
	for _, f := range change {
		f(e)
	}
	body, err := e.Encode()
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusAccepted, w.post(body))
	list, err := w.inbox.List(w.t.Context(), inbox.Filter{DeploymentID: deployment}, inbox.Page{Limit: 1})
	require.NoError(w.t, err)
	require.NotEmpty(w.t, list.Items)
	return list.Items[0].ID
}

func (w *world) post(body []byte) int {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	require.NoError(w.t, w.scheme.Sign(r.Context(), r, payload.NewDeliveryID(), time.Now(), body))
	answer := httptest.NewRecorder()
	w.hook.ServeHTTP(answer, r)
	return answer.Code
}

// deploy records a deployment of api to production, some hours ago.
func (w *world) deploy(org, id string, status payload.Status, hoursAgo float64, change ...func(*payload.Deployment)) {
	w.t.Helper()
	began := time.Now().Add(-time.Duration(hoursAgo * float64(time.Hour))).Truncate(time.Second)
	d := &payload.Deployment{
		DeploymentID: id, CommitSHA: fmt.Sprintf("%x", sha256.Sum256([]byte(id)))[:40], Environment: "production", Service: "api", Status: status,
		StartedAt: began, Version: "version of " + id,
	}
	if status.Terminal() {
		d.CompletedAt = began.Add(5 * time.Minute)
	}
	for _, f := range change {
		f(d)
	}
	_, err := w.ledger.Record(w.t.Context(), org, d)
	require.NoError(w.t, err)
}

// reaches waits until a delivery has a state, and a number of attempts.
func (w *world) reaches(id int64, state inbox.State, attempts int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		d, err := w.inbox.Get(context.WithoutCancel(w.t.Context()), id)
		return err == nil && d.State == state && d.Attempts == attempts
	}, patience, 5*time.Millisecond)
}
