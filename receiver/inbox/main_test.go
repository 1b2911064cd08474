package inbox_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	leaktest.Parallel(8)
	leaktest.Main(m)
}

const (
	patience = 10 * time.Minute // only a hang takes longer
	often    = 20 * time.Millisecond
)

// opener opens another inbox on the test's database, like another process.
type opener func(h receiver.EventHandler, opts ...inbox.Option) *inbox.Inbox

// onEach runs a test on both databases.
func onEach(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "inbox.db")
		test(t, func(h receiver.EventHandler, opts ...inbox.Option) *inbox.Inbox {
			in, err := inbox.OpenSQLite(t.Context(), path, h, append(testOptions(), opts...)...)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, in.Close()) })
			return in
		})
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		url := sqldbtest.NewDatabase(t)
		test(t, func(h receiver.EventHandler, opts ...inbox.Option) *inbox.Inbox {
			in, err := inbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, url), h, append(testOptions(), opts...)...)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, in.Close()) })
			return in
		})
	})
}

// testOptions silences the log and shortens waits.
func testOptions() []inbox.Option {
	return []inbox.Option{
		inbox.WithLogger(quiet()),
		inbox.WithRetrySchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) }),
		inbox.WithStoreTimeout(patience),
	}
}

func start(t testing.TB, in *inbox.Inbox) {
	t.Helper()
	require.NoError(t, in.Start(context.WithoutCancel(t.Context())))
}

func newScheme(t testing.TB, opts ...signer.Option) *signer.Standard {
	t.Helper()
	s, err := signer.NewStandard(signer.GenerateSecret(), opts...)
	require.NoError(t, err)
	return s
}

// endpoint is an inbox's HTTP handler with a key to sign for it.
type endpoint struct {
	t      testing.TB
	scheme *signer.Standard
	h      http.Handler
}

func newEndpoint(t testing.TB, in *inbox.Inbox, source string, opts ...signer.Option) *endpoint {
	t.Helper()
	d := &endpoint{t: t, scheme: newScheme(t, opts...)}
	h, err := in.Handler(d.scheme, source, receiver.WithLogger(quiet()))
	require.NoError(t, err)
	d.h = h
	return d
}

// post sends a body under an ID and returns the answer.
func (d *endpoint) post(id, body string) *httptest.ResponseRecorder {
	d.t.Helper()
	r, w := request(body)
	require.NoError(d.t, d.scheme.Sign(r.Context(), r, id, time.Now(), []byte(body)))
	d.h.ServeHTTP(w, r)
	return w
}

// accept sends an event that must be accepted, and returns its delivery ID.
func (d *endpoint) accept(body string) (id string) {
	d.t.Helper()
	id = payload.NewDeliveryID()
	w := d.post(id, body)
	require.Equal(d.t, http.StatusAccepted, w.Code, w.Body.String())
	return id
}

// eventText returns an event of a type, some seconds after a fixed time.
func eventText(typ payload.Type, deployment string, second int) string {
	e := payload.Event{
		Type: typ, Timestamp: time.Date(2026, 3, 12, 14, 0, second, 0, time.UTC), DeploymentID: deployment,
		App: "api", Environment: "production", Error: "it broke", PreviousVersion: "v1",
	}
	text, err := e.Encode()
	if err != nil {
		panic(err)
	}
	return string(text)
}

func started(n int) string { return eventText(payload.DeployStarted, fmt.Sprintf("dep_%d", n), 0) }

// only returns the single delivery in the inbox.
func only(t testing.TB, in *inbox.Inbox) inbox.Delivery {
	t.Helper()
	list, err := in.List(context.WithoutCancel(t.Context()), inbox.Filter{}, inbox.Page{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	return list.Items[0]
}

func stats(t testing.TB, in *inbox.Inbox) inbox.Stats {
	t.Helper()
	s, err := in.Stats(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	return s
}

// reaches waits until the inbox has the wanted statistics, ignoring
// OldestPending.
func reaches(t testing.TB, in *inbox.Inbox, want inbox.Stats) {
	t.Helper()
	var last inbox.Stats
	ok := assert.Eventually(t, func() bool {
		last = stats(t, in)
		last.OldestPending = time.Time{}
		return last == want
	}, patience, often)
	require.True(t, ok, "at the end: %+v", last)
}

// calls counts the handler's calls.
type calls struct {
	mu   sync.Mutex
	seen []string
}

func (c *calls) add(text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, text)
	return len(c.seen)
}

func (c *calls) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.seen...)
}

func (c *calls) handle(_ context.Context, e *payload.Event) error {
	c.add(string(e.Type) + " " + e.DeploymentID)
	return nil
}

func request(body string) (*http.Request, *httptest.ResponseRecorder) {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", "application/json")
	return r, httptest.NewRecorder()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
