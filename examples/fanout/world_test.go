package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/programtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

const apiToken = "a-token-of-the-tests"

// world is a fan-out whose process may be killed and started again, with its
// services and the platform that sends to it.
type world struct {
	t       *testing.T
	secret  signer.Secret
	key     string
	dir     string
	args    []string
	current atomic.Pointer[programtest.Process]
	sender  *sender.Sender
	to      sender.Endpoint
	sending sync.WaitGroup

	// The platform's requests pass through the front. Unless it is open, it
	// passes on those with the admitted delivery ID only, and calls during for
	// each. If during returns false, the answer is lost.
	front    *httptest.Server
	open     atomic.Bool
	mu       sync.Mutex
	admitted string
	during   func(forward func() int) bool
}

func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	w := &world{t: t, secret: signer.GenerateSecret(), key: base64.StdEncoding.EncodeToString(raw), dir: t.TempDir()}
	w.args = append([]string{"-addr", "127.0.0.1:0", "-drain", "0", "-lease", "1s", "-data", w.dir, "-allow-networks", "127.0.0.0/8"}, args...)
	w.open.Store(true)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			base, err := url.Parse(w.current.Load().Base)
			assert.NoError(t, err)
			r.SetURL(base)
		},
		Transport:    &http.Transport{DisableKeepAlives: true},
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
	}
	w.front = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.forward(rw, r, proxy) }))
	t.Cleanup(w.front.Close)
	scheme, err := signer.NewStandard(w.secret)
	require.NoError(t, err)
	w.to = sender.Endpoint{URL: sender.NewURL(w.front.URL + "/webhooks/deploy"), Signer: scheme, Timeout: programtest.Patience}
	w.sender, err = sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), sender.WithMaxRetryAfter(100*time.Millisecond),
		sender.WithSchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(20 * time.Millisecond) }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.sender.Close()) })
	return w
}

// start starts the next process.
func (w *world) start(args ...string) *programtest.Process {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], append(w.args, args...)...)
	cmd.Env = append(w.env(), asProgram+"=1")
	cmd.Dir = w.dir
	p := programtest.Start(w.t, cmd)
	w.current.Store(p)
	return p
}

func (w *world) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "FANOUT_SECRET=" + w.secret.Reveal(), "FANOUT_TOKEN=" + apiToken, "FANOUT_SEALING_KEY=" + w.key,
	}
}

// forward passes a request of the platform to the current process.
func (w *world) forward(rw http.ResponseWriter, r *http.Request, proxy http.Handler) {
	w.mu.Lock()
	during := w.during
	admitted := w.open.Load() || r.Header.Get("Webhook-Id") == w.admitted
	w.mu.Unlock()
	if !admitted {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer := httptest.NewRecorder()
	forward := func() int { proxy.ServeHTTP(answer, r); return answer.Code }
	if during == nil {
		forward()
	} else if !during(forward) {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		rw.Header()[name] = values
	}
	rw.WriteHeader(answer.Code)
	_, _ = rw.Write(answer.Body.Bytes())
}

// send sends an event until it is accepted, and returns its delivery ID at
// once.
func (w *world) send(e *payload.Event) string {
	w.t.Helper()
	m, err := sender.NewMessage(e)
	require.NoError(w.t, err)
	w.mu.Lock()
	w.admitted = m.ID
	w.mu.Unlock()
	w.sending.Go(func() {
		_, err := w.sender.Deliver(w.t.Context(), w.to, m)
		assert.NoError(w.t, err)
	})
	return m.ID
}

// event returns an event of a deployment.
func event(t payload.Type, id string) *payload.Event {
	return &payload.Event{
		Type: t, Timestamp: time.Now(), DeploymentID: id, App: "shop", Environment: "production", Error: "exit status 1", PreviousVersion: "v1",
	}
}

// api calls the management API.
func (w *world) api(method, path string, in, out any) int {
	w.t.Helper()
	body, err := json.Marshal(in)
	require.NoError(w.t, err)
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.current.Load().Base+"/api"+path, strings.NewReader(string(body)))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("tests", apiToken)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: programtest.Patience}
	resp, err := client.Do(req)
	require.NoError(w.t, err, w.current.Load().Output())
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	if out != nil {
		require.NoError(w.t, json.Unmarshal(text, out), "%s", text)
	}
	return resp.StatusCode
}

// internalService is a service behind the fan-out. It verifies signatures with
// its own secret, and keeps every copy that it gets.
type internalService struct {
	name   string
	url    string
	secret signer.Secret

	mu     sync.Mutex
	got    map[string][]seen // by deployment
	during func(answer http.Handler, w http.ResponseWriter, r *http.Request)
}

// seen is one delivery to a service.
type seen struct {
	event, delivery string
	kind            payload.Type
}

// service starts a service and registers it.
func (w *world) service(name string, events ...string) *internalService {
	w.t.Helper()
	s := w.unregistered(name)
	status := w.api("POST", "/apps/services/endpoints", map[string]any{"url": s.url, "description": name, "secret": s.secret.Reveal(), "events": events}, nil)
	require.Equal(w.t, http.StatusCreated, status)
	return s
}

// unregistered starts a service.
func (w *world) unregistered(name string) *internalService {
	w.t.Helper()
	s := &internalService{name: name, secret: signer.GenerateSecret(), got: map[string][]seen{}}
	scheme, err := signer.NewStandard(s.secret)
	require.NoError(w.t, err)
	rcv, err := receiver.New(scheme, receiver.InsecureNoDedupe(), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(w.t, err)
	answer := rcv.Events(func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		id, _ := e.Extra.Get("event_id")
		text, _ := id.Text()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got[e.DeploymentID] = append(s.got[e.DeploymentID], seen{text, d.ID, e.Type})
		return nil
	})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		during := s.during
		s.mu.Unlock()
		if during != nil {
			during(answer, rw, r)
			return
		}
		answer.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *internalService) hook(during func(answer http.Handler, w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.during = during
}

// of returns what the service got about a deployment.
func (s *internalService) of(deployment string) []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.got[deployment]...)
}

// deployments returns the deployments that the service has heard of.
func (s *internalService) deployments() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.got))
}

// gets waits for an event, and requires that all of its copies have the same
// IDs. It returns the ID of the event.
func (s *internalService) gets(w *world, deployment string) string {
	w.t.Helper()
	programtest.Eventually(w.t, func() bool { return len(s.of(deployment)) > 0 }, func() string {
		return s.name + " did not get " + deployment + "\n" + w.current.Load().Output()
	})
	copies := s.of(deployment)
	for _, c := range copies {
		require.Equal(w.t, copies[0], c, "a copy of an event of %s", s.name)
	}
	return copies[0].event
}

// newDatabase creates a database on a server.
func newDatabase(t *testing.T, server string) string {
	t.Helper()
	at, err := url.Parse(server)
	require.NoError(t, err)
	name := "fanout_" + strings.ToLower(rand.Text())
	admin := func(statement string) {
		ctx, cancel := context.WithTimeout(context.Background(), programtest.Patience)
		defer cancel()
		conn, err := pgx.Connect(ctx, server)
		require.NoError(t, err)
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		require.NoError(t, err)
	}
	admin("CREATE DATABASE " + name)
	t.Cleanup(func() { admin("DROP DATABASE " + name + " WITH (FORCE)") })
	at.Path = "/" + name
	return at.String()
}
