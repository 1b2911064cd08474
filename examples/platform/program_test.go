package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const asProgram = "DEPLOYHOOK_TEST_AS_PLATFORM"

// The test binary becomes the program if an environment variable says so. Tests
// run it as a process this way.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		os.Exit(0)
	}
	leaktest.Parallel(6)
	leaktest.Main(m)
}

const (
	apiToken = "canary-token-0123456789"
	// patience allows for a machine that compiles other things at the same
	// time.
	patience = 10 * time.Minute
)

// goCache is the user's compiler cache, because compiling net/http again takes
// long.
var goCache = sync.OnceValue(func() string {
	out, _ := exec.Command("go", "env", "GOCACHE").Output()
	return strings.TrimSpace(string(out))
})

func newKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// command returns the program as a process with only the given environment.
func command(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOCACHE=" + goCache(), "TMPDIR=" + t.TempDir()}, env...)
	servicetest.DieWithParent(cmd, syscall.SIGTERM) // the platform ends if the test binary dies
	return cmd
}

// program is a running platform.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	api *client

	token string
	up    chan string // address that it listens on

	mu  sync.Mutex
	out bytes.Buffer
	eof chan struct{}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// start runs the program in dir and waits until it listens or has ended. If it
// has ended, api is nil.
func start(t *testing.T, dir string, env []string, args ...string) *program {
	t.Helper()
	p := launch(t, dir, env, args...)
	p.ready()
	return p
}

// launch runs the program in dir. Its health timeout is as long as a test's
// patience.
func launch(t *testing.T, dir string, env []string, args ...string) *program {
	t.Helper()
	p := &program{t: t, eof: make(chan struct{}), up: make(chan string, 1)}
	if slices.Contains(env, "PLATFORM_API_TOKEN="+apiToken) {
		p.token = apiToken
	}
	fast := []string{"-addr", "127.0.0.1:0", "-drain", "0", "-watch", "100ms", "-health-timeout", "1h", "-retry-scale", "0.02", "-allow-networks", "127.0.0.0/8"}
	p.cmd = command(t, dir, env, append(fast, args...)...)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.eof; _ = p.cmd.Wait() })
	go func() {
		defer close(p.eof)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.mu.Lock()
			p.out.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				p.up <- m[1]
			}
		}
	}()
	return p
}

// ready waits until the program listens or has ended.
func (p *program) ready() {
	p.t.Helper()
	select {
	case addr := <-p.up:
		p.api = newClient("http://"+addr, p.token)
		p.api.http.Transport = &http.Transport{DisableKeepAlives: true}
	case <-p.eof:
	case <-time.After(patience):
		p.t.Fatal("the program did not start:\n", p.output())
	}
}

// says waits until the program has printed a text.
func (p *program) says(text string) {
	p.t.Helper()
	require.True(p.t, assertEventually(func() bool { return strings.Contains(p.output(), text) }), "%s\n%s", text, p.output())
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// stop sends a signal and returns the exit status.
func (p *program) stop(sig syscall.Signal) int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
	return p.ended()
}

func (p *program) ended() int {
	p.t.Helper()
	select {
	case <-p.eof:
	case <-time.After(patience):
		p.t.Fatal("the program did not end:\n", p.output())
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// call makes a request and returns the answer's status and body.
func (p *program) call(method, path, body string) (int, string) {
	p.t.Helper()
	status, text, err := p.api.do(p.t.Context(), method, path, []byte(body))
	// A server may close the connection of a body that is too long. The client
	// can see that before it has read the answer (RFC 9112 section 9.6).
	for tries := 0; len(body) > maxRequest && errors.Is(err, syscall.ECONNRESET) && tries < 3; tries++ {
		status, text, err = p.api.do(p.t.Context(), method, path, []byte(body))
	}
	require.NoError(p.t, err, p.output())
	return status, strings.TrimSpace(string(text))
}

// must makes a request, requires the status, and decodes the answer.
func (p *program) must(want int, method, path, body string, out any) {
	p.t.Helper()
	status, text := p.call(method, path, body)
	require.Equal(p.t, want, status, "%s %s: %s", method, path, text)
	if out != nil {
		require.NoError(p.t, decode(text, out), text)
	}
}

// register creates the app shop with the customer's endpoint and returns the
// endpoint's ID.
func (p *program) register(c *listener, more string) (id string) {
	p.t.Helper()
	p.must(http.StatusOK, "PUT", "/webhooks/apps/shop", "", nil)
	var created struct {
		Endpoint struct{ ID string }
		Secret   string
	}
	p.must(http.StatusCreated, "POST", "/webhooks/apps/shop/endpoints", `{"url":"`+c.url+`"`+more+`}`, &created)
	c.accept(created.Secret)
	return created.Endpoint.ID
}

// begin begins a deployment.
func (p *program) begin(source, version string) (d engine.Deployment) {
	p.t.Helper()
	p.must(http.StatusAccepted, "POST", "/apps/shop/deployments", `{"source":"`+source+`","version":"`+version+`"}`, &d)
	return d
}

// testEndpoint sends the test event to an endpoint and returns the delivery.
func (p *program) testEndpoint(id string) (d delivery) {
	p.t.Helper()
	p.must(http.StatusOK, "POST", "/webhooks/apps/shop/endpoints/"+id+"/test", "", &d)
	return d
}

// newToken makes a token of an app.
func (p *program) newToken(app, name string, readOnly bool) string {
	p.t.Helper()
	var made struct{ Token string }
	p.must(http.StatusCreated, "POST", "/apps/"+app+"/tokens", fmt.Sprintf(`{"name":%q,"read_only":%t}`, name, readOnly), &made)
	return made.Token
}

// as returns the platform as a client with another token sees it.
func (p *program) as(token string) *program {
	other := *p.api
	other.token = token
	return &program{t: p.t, cmd: p.cmd, api: &other, eof: p.eof}
}

// deploy deploys and waits until the deployment is over.
func (p *program) deploy(source, version string) engine.Deployment {
	p.t.Helper()
	return p.await(p.begin(source, version).ID, func(d engine.Deployment) bool { return d.Step == engine.StepDone })
}

func (p *program) await(id string, is func(engine.Deployment) bool) (d engine.Deployment) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		p.must(http.StatusOK, "GET", "/apps/shop/deployments/"+id, "", &d)
		return is(d)
	}, patience, 20*time.Millisecond)
	return d
}

func (p *program) live() string {
	p.t.Helper()
	_, text := p.call("GET", "/apps/shop/live/", "")
	return text
}

// listener is a customer with a real receiver that records its events.
type listener struct {
	t       *testing.T
	url     string
	down    atomic.Bool // answers 500 if set
	handler atomic.Pointer[http.Handler]
	secrets []string

	mu     sync.Mutex
	events []*payload.Event
}

func listen(t *testing.T) *listener {
	t.Helper()
	c := &listener{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := c.handler.Load()
		if h == nil || c.down.Load() {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		(*h).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL + "/hooks/canary-in-the-url"
	return c
}

// accept changes the secret that the receiver accepts.
func (c *listener) accept(text string) {
	c.t.Helper()
	c.secrets = append(c.secrets, text)
	secret, err := signer.ParseSecret(text)
	require.NoError(c.t, err)
	scheme, err := signer.NewStandard(secret)
	require.NoError(c.t, err)
	store, err := dedupe.NewMemory()
	require.NoError(c.t, err)
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(c.t, err)
	h := rcv.Events(func(_ context.Context, e *payload.Event) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.events = append(c.events, e)
		return nil
	})
	c.handler.Store(&h)
}

// of returns the types of a deployment's events, ordered by time.
func (c *listener) of(id string) (out []payload.Type) {
	for _, e := range c.all() {
		if e.DeploymentID == id {
			out = append(out, e.Type)
		}
	}
	return out
}

func (c *listener) all() []*payload.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.events)
	slices.SortStableFunc(out, func(a, b *payload.Event) int { return a.Timestamp.Compare(b.Timestamp) })
	return out
}

func (c *listener) gets(id string, want ...payload.Type) {
	c.t.Helper()
	if !assertEventually(func() bool { return slices.Equal(c.of(id), want) }) {
		require.Equal(c.t, want, c.of(id))
	}
}

func (c *listener) getsType(want payload.Type) {
	c.t.Helper()
	require.True(c.t, assertEventually(func() bool {
		return slices.ContainsFunc(c.all(), func(e *payload.Event) bool { return e.Type == want })
	}), "no %s came", want)
}

func assertEventually(is func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // another process does it
		if is() {
			return true
		}
	}
	return false
}

// database creates a database on the shared server.
func database(t *testing.T) string {
	t.Helper()
	at, err := url.Parse(servicetest.PostgresURL(t))
	require.NoError(t, err)
	suffix := make([]byte, 6)
	_, _ = rand.Read(suffix)
	name := "platform_" + hex.EncodeToString(suffix)
	admin := func(statement string) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		conn, err := pgx.Connect(ctx, at.String())
		require.NoError(t, err)
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		require.NoError(t, err)
	}
	admin("CREATE DATABASE " + name)
	t.Cleanup(func() { admin("DROP DATABASE " + name + " WITH (FORCE)") })
	own := *at
	own.Path = "/" + name
	return own.String()
}
