package console_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience is how long tests wait for what must happen. Only a hang takes that
// long.
const patience = 10 * time.Minute

// prefix is where the pages are mounted.
const prefix = "/platform/hooks"

// world is an outbox with its pages, as a platform would mount them.
type world struct {
	*outbox.Outbox
	t       testing.TB
	handler *console.Handler
	url     string // with the prefix
	log     *safeBuffer
	seen    *requests
	// schema is that of the tables on PostgreSQL, with a dot. exec and names run a
	// statement behind the outbox's back. The rows of names have a text.
	schema string
	exec   func(statement string) error
	names  func(query string) ([]string, error)
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

// requests are the methods and paths that were asked for.
type requests struct {
	mu  sync.Mutex
	all map[string]bool
}

func (r *requests) add(request string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[request] = true
}

// any reports whether one of them matches.
func (r *requests) any(matches func(string) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for request := range r.all {
		if matches(request) {
			return true
		}
	}
	return false
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
	path := filepath.Join(t.TempDir(), "outbox.db")
	o, err := outbox.OpenSQLite(t.Context(), path, options(t)...)
	require.NoError(t, err)
	w := newWorld(t, o, opts...)
	w.behindSQLite(path)
	return w
}

func onPostgres(t testing.TB, opts ...console.Option) *world {
	t.Helper()
	pool := sqldbtest.NewPool(t)
	o, err := outbox.NewPostgres(t.Context(), pool, options(t)...)
	require.NoError(t, err)
	w := newWorld(t, o, opts...)
	w.schema = "deployhook_outbox."
	w.exec = func(statement string) error {
		_, err := pool.Exec(t.Context(), statement)
		return err
	}
	w.names = func(query string) (all []string, err error) {
		return all, pool.QueryRow(t.Context(), `SELECT array_agg(a.name) FROM (`+query+`) AS a (name)`).Scan(&all)
	}
	return w
}

// behindSQLite sets exec and names.
func (w *world) behindSQLite(path string) {
	w.exec = func(statement string) error {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)")
		if err != nil {
			return err
		}
		_, err = db.ExecContext(w.t.Context(), statement)
		return errors.Join(err, db.Close())
	}
	w.names = func(query string) (all []string, err error) {
		db, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			return nil, err
		}
		var text string
		err = db.QueryRowContext(w.t.Context(), `SELECT group_concat(name) FROM (`+query+`)`).Scan(&text)
		return strings.Split(text, ","), errors.Join(err, db.Close())
	}
}

func options(t testing.TB) []outbox.Option {
	t.Helper()
	key, err := outbox.NewSealingKey("test", []byte("0123456789abcdefghijklmnopqrstuv"))
	require.NoError(t, err)
	return []outbox.Option{
		outbox.WithSealingKeys(key), outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
		outbox.WithSchedule(outbox.SchedulePlatform, sender.Once), outbox.WithBreaker(1000, time.Second, time.Second),
	}
}

func newWorld(t testing.TB, o *outbox.Outbox, opts ...console.Option) *world {
	t.Helper()
	w := &world{Outbox: o, t: t, log: &safeBuffer{}, seen: &requests{all: map[string]bool{}}}
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	h, err := console.New(o, byCookie, append([]console.Option{console.WithLogger(logger)}, opts...)...)
	require.NoError(t, err)
	w.handler = h
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", http.StripPrefix(prefix, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.seen.add(r.Method + " " + r.URL.Path)
		h.ServeHTTP(rw, r)
	})))
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, o.Close())
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
func byCookie(r *http.Request) (api.Access, error) {
	cookie, err := r.Cookie("who")
	if err != nil {
		return api.Access{}, fmt.Errorf("%w: no cookie", api.ErrUnauthenticated)
	}
	who, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return api.Access{}, err
	}
	app, readOnly := strings.CutSuffix(who, " readonly")
	switch who {
	case "nobody":
		return api.Access{}, nil
	case "broken":
		return api.Access{Operator: true, Actor: "olga"}, errors.New("the session store is down")
	}
	if app == "operator" {
		return api.Access{Operator: true, ReadOnly: readOnly, Actor: "olga"}, nil
	}
	return api.Access{App: app, ReadOnly: readOnly, Actor: "carl of " + app}, nil
}

// target is a customer's server, whose answer can change.
type target struct {
	*httptest.Server
	mu       sync.Mutex
	status   int
	answer   string
	requests []received
}

type received struct {
	header http.Header
	body   []byte
}

func newTarget(t testing.TB, status int) *target {
	t.Helper()
	g := &target{status: status}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.requests = append(g.requests, received{r.Header.Clone(), body})
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("X-Answer", "<script>alert('header')</script>")
		w.WriteHeader(g.status)
		_, _ = io.WriteString(w, g.answer)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *target) set(status int, answer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status, g.answer = status, answer
}

func (g *target) last() received {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests[len(g.requests)-1]
}

func (w *world) endpointAt(app, to string) (outbox.Endpoint, outbox.Secret) {
	w.t.Helper()
	e, secret, err := w.App(app).CreateEndpoint(w.t.Context(), outbox.EndpointConfig{URL: sender.NewURL(to)})
	require.NoError(w.t, err)
	return e, secret
}

func (w *world) publish(app, deployment string) string {
	w.t.Helper()
	p, err := w.App(app).Publish(w.t.Context(), &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: deployment, App: app, Environment: "production",
	})
	require.NoError(w.t, err)
	if len(p.Deliveries) == 0 {
		return ""
	}
	return p.Deliveries[0].ID
}

// eventWith is an event that carries a text.
func eventWith(text string) *payload.Event {
	return &payload.Event{
		Type: payload.DeployFailed, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: "dep_1", App: "shop",
		Environment: "production", Error: text,
	}
}

// ended waits until a delivery has a state.
func (w *world) ended(app, id string, want outbox.State) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		d, err := w.App(app).Delivery(w.t.Context(), id)
		return err == nil && d.State == want
	}, patience, 5*time.Millisecond)
}
