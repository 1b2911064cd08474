package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience is how long tests wait for what must happen. Only a hang takes that
// long.
const patience = 10 * time.Minute

// platform is an outbox with its API, as a platform would mount it.
type platform struct {
	*outbox.Outbox
	t   *testing.T
	url string // with the prefix
	log *safeBuffer
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
func onEach(t *testing.T, test func(t *testing.T, p *platform), opts ...api.Option) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		o, err := outbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "outbox.db"), options(t)...)
		require.NoError(t, err)
		test(t, newPlatform(t, o, opts...))
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		o, err := outbox.NewPostgres(t.Context(), sqldbtest.NewPool(t), options(t)...)
		require.NoError(t, err)
		test(t, newPlatform(t, o, opts...))
	})
}

// onSQLite is for tests in which the database does not matter.
func onSQLite(t *testing.T, opts ...api.Option) *platform {
	t.Helper()
	o, err := outbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "outbox.db"), options(t)...)
	require.NoError(t, err)
	return newPlatform(t, o, opts...)
}

func options(t testing.TB) []outbox.Option {
	key, err := outbox.NewSealingKey("test", []byte("0123456789abcdefghijklmnopqrstuv"))
	require.NoError(t, err)
	return []outbox.Option{
		outbox.WithSealingKeys(key), outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
		outbox.WithSchedule(outbox.SchedulePlatform, sender.Once), outbox.WithBreaker(1000, time.Second, time.Second),
	}
}

func newPlatform(t *testing.T, o *outbox.Outbox, opts ...api.Option) *platform {
	t.Helper()
	p := &platform{Outbox: o, t: t, log: &safeBuffer{}}
	h, err := api.New(o, byToken, append([]api.Option{api.WithLogger(newLogger(p.log))}, opts...)...)
	require.NoError(t, err)
	server := httptest.NewServer(http.StripPrefix("/hooks", h)) // a ServeMux would clean paths
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, o.Close())
	})
	p.url = server.URL + "/hooks"
	return p
}

// byToken lets a token say who it is, which only a test may do.
func byToken(r *http.Request) (api.Access, error) {
	token := r.Header.Get("Authorization")
	app, readOnly := strings.CutSuffix(token, " readonly")
	switch {
	case token == "":
		return api.Access{}, fmt.Errorf("no token: %w", api.ErrUnauthenticated)
	case token == "nobody":
		return api.Access{}, nil
	case token == "broken":
		return api.Access{}, io.ErrUnexpectedEOF
	case app == "operator":
		return api.Access{Operator: true, ReadOnly: readOnly, Actor: "olga"}, nil
	}
	return api.Access{App: app, ReadOnly: readOnly, Actor: "carl of " + app}, nil
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// code returns the code of the first problem.
func (r reply) code() string {
	if all, _ := r.body["errors"].([]any); len(all) > 0 {
		first := all[0].(map[string]any)
		return first["field"].(string) + " " + first["code"].(string)
	}
	code, _ := r.body["code"].(string)
	return code
}

// items returns the items of a page.
func (r reply) items() (all []map[string]any) {
	for _, one := range r.body["items"].([]any) {
		all = append(all, one.(map[string]any))
	}
	return all
}

func (r reply) str(path ...string) string {
	at := r.body
	for _, name := range path[:len(path)-1] {
		at, _ = at[name].(map[string]any)
	}
	text, _ := at[path[len(path)-1]].(string)
	return text
}

// call sends one request, with headers as pairs.
func (p *platform) call(token, method, path, body string, header ...string) reply {
	p.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, p.url+path, content)
	require.NoError(p.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header[http.CanonicalHeaderKey(header[i])] = []string{header[i+1]}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(p.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(p.t, err)
	out := reply{status: answer.StatusCode, header: answer.Header, text: string(text)}
	require.Equal(p.t, "no-store", answer.Header.Get("Cache-Control"))
	if len(text) > 0 {
		require.NoError(p.t, json.Unmarshal(text, &out.body), out.text)
		if out.status >= 400 {
			require.Equal(p.t, "application/problem+json", answer.Header.Get("Content-Type"), out.text)
			checkDocumented(p.t, method, path, out)
		}
	}
	return out
}

// must is call for a request that succeeds.
func (p *platform) must(token, method, path, body string, header ...string) reply {
	p.t.Helper()
	r := p.call(token, method, path, body, header...)
	require.Less(p.t, r.status, 300, "%s %s: %s", method, path, r.text)
	return r
}

// refused is call for a request that fails in a certain way.
func (p *platform) refused(status int, code, token, method, path, body string, header ...string) {
	p.t.Helper()
	r := p.call(token, method, path, body, header...)
	require.Equal(p.t, status, r.status, "%s %s: %s", method, path, r.text)
	require.Equal(p.t, code, r.code(), r.text)
}

// endpointAt creates an endpoint and returns its ID.
func (p *platform) endpointAt(app, url string) string {
	p.t.Helper()
	return p.must(app, "POST", "/apps/"+app+"/endpoints", `{"url":"`+url+`"}`).str("endpoint", "id")
}

func (p *platform) publish(app, deployment string) outbox.Publication {
	p.t.Helper()
	published, err := p.App(app).Publish(p.t.Context(), &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: deployment, App: app,
		Environment: "production",
	})
	require.NoError(p.t, err)
	return published
}

func (p *platform) eventually(condition func() bool) {
	p.t.Helper()
	require.Eventually(p.t, condition, patience, 5*time.Millisecond)
}

// target answers with a status that can change.
type target struct {
	*httptest.Server
	mu     sync.Mutex
	status int
}

func newTarget(t *testing.T, status int) *target {
	g := &target{status: status}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		w.WriteHeader(g.status)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *target) set(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
}
