package inbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

var crashFor = flag.Duration("crash.for", 0, "how long the crash test runs for each database and mode; it kills at least three times")

// crashMode configures a child process.
type crashMode struct {
	Path, URL string // Path of a SQLite file, or URL of a PostgreSQL database
	Secret    string
	Tx        bool // effects commit with CompleteTx
	Ordered   bool
}

const crashEnv = "DEPLOYHOOK_INBOX_CRASH_CHILD"

// child is the process that is killed. It accepts and handles deliveries until
// then.
func child() bool {
	text := os.Getenv(crashEnv)
	if text == "" {
		return false
	}
	if err := runChild(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func runChild(text string) error {
	var mode crashMode
	if err := json.Unmarshal([]byte(text), &mode); err != nil {
		return err
	}
	// Opening needs a testing.TB, but this process has none. It ends by being
	// killed, so nothing needs cleaning up.
	t := &childT{}
	in, _, err := mode.open(t, mode.handler)
	if err != nil {
		return err
	}
	secret, err := signer.ParseSecret(mode.Secret)
	if err != nil {
		return err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return err
	}
	h, err := in.Handler(scheme, "platform")
	if err != nil {
		return err
	}
	if err := in.Start(context.Background()); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	return http.Serve(listener, h)
}

type childT struct{ testing.TB }

func (*childT) Helper()                  {}
func (*childT) Name() string             { return "child" }
func (*childT) Cleanup(func())           {}
func (*childT) Context() context.Context { return context.Background() }
func (*childT) Errorf(f string, a ...any) {
	fmt.Fprintf(os.Stderr, f, a...)
}
func (*childT) FailNow() { os.Exit(1) }

// open opens the inbox and the application's part of its database.
func (m crashMode) open(t testing.TB, handler func(app) receiver.EventHandler) (*inbox.Inbox, app, error) {
	opts := append(testOptions(), inbox.WithHandlerTimeout(time.Second), inbox.WithRescueAfter(time.Second), inbox.WithMaxAttempts(1000))
	if m.Ordered {
		opts = append(opts, inbox.WithOrdering())
	}
	if m.Path != "" {
		own := openAppSQLite(t, m.Path)
		in, err := inbox.OpenSQLite(context.Background(), m.Path, handler(own), opts...)
		return in, own, err
	}
	pool := sqldbtest.OpenPool(t, m.URL)
	own := openAppPostgres(t, pool)
	in, err := inbox.NewPostgres(context.Background(), pool, handler(own), opts...)
	return in, own, err
}

// handler makes one effect per call, slowly, and sometimes fails.
func (m crashMode) handler(own app) receiver.EventHandler {
	return func(ctx context.Context, e *payload.Event) error {
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond) // work that a kill interrupts
		if rand.IntN(10) == 0 {
			return fmt.Errorf("at random")
		}
		if m.Tx {
			return own.handle(ctx, e)
		}
		d, _ := receiver.FromContext(ctx)
		return own.inTx(ctx, func(tx appTx) error { return tx.effect(d.ID) })
	}
}

// process is a running child.
type process struct {
	cmd *exec.Cmd
	url string
}

func (m crashMode) start(t *testing.T) *process {
	t.Helper()
	text, err := json.Marshal(m)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{cmd: cmd}
	t.Cleanup(p.kill)
	_, err = fmt.Fscan(out, &p.url)
	require.NoError(t, err, "the child did not start")
	return p
}

func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// crashSender sends one event after another to the current child. It repeats
// each until the child accepts it.
type crashSender struct {
	scheme   *signer.Standard
	client   *http.Client
	mu       sync.Mutex
	url      string
	accepted []string
}

func (s *crashSender) to(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = url
}

func (s *crashSender) run(ctx context.Context, sender int) {
	for n := 0; ctx.Err() == nil; n++ {
		id := payload.NewDeliveryID()
		body := []byte(eventText(payload.BuildCompleted, fmt.Sprintf("dep_%d_%d", sender, n/10), n))
		for ctx.Err() == nil && !s.send(id, body) {
			time.Sleep(10 * time.Millisecond) // a back-off while the server is down
		}
	}
}

// accepts waits until n more deliveries were accepted.
func (s *crashSender) accepts(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.accepted)
	}
	before := count()
	require.Eventually(t, func() bool { return count() >= before+n }, patience, time.Millisecond)
}

// send reports whether the child accepted the delivery.
func (s *crashSender) send(id string, body []byte) bool {
	s.mu.Lock()
	url := s.url
	s.mu.Unlock()
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/json")
	if s.scheme.Sign(r.Context(), r, id, time.Now(), body) != nil {
		return false
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusAccepted && answer.StatusCode != http.StatusOK {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = append(s.accepted, id)
	return true
}

// TestKill repeatedly kills a process that accepts and handles deliveries.
// Every accepted delivery takes effect at least once, and exactly once with
// CompleteTx.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]crashMode{
		"AtLeastOnce": {}, "ExactlyOnce": {Tx: true}, "ExactlyOnceInOrder": {Tx: true, Ordered: true},
	} {
		t.Run(name+"/SQLite", func(t *testing.T) {
			t.Parallel()
			on := mode
			on.Path = filepath.Join(t.TempDir(), "crash.db")
			testKill(t, on)
		})
		t.Run(name+"/Postgres", func(t *testing.T) {
			t.Parallel()
			on := mode
			on.URL = sqldbtest.NewDatabase(t)
			testKill(t, on)
		})
	}
}

func testKill(t *testing.T, mode crashMode) {
	secret := signer.GenerateSecret()
	mode.Secret = secret.Reveal()
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	s := &crashSender{scheme: scheme, client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var senders sync.WaitGroup
	kills := 0
	for begin := time.Now(); time.Since(begin) < *crashFor || kills < 3; kills++ {
		p := mode.start(t)
		s.to(p.url)
		if kills == 0 {
			for sender := range 4 {
				senders.Go(func() { s.run(ctx, sender) })
			}
		}
		s.accepts(t, 10+rand.IntN(40))
		p.kill()
	}
	stop()
	senders.Wait()
	in, own, err := mode.open(t, func(app) receiver.EventHandler { return (&calls{}).handle })
	require.NoError(t, err)
	defer in.Close()
	p := mode.start(t) // the leases of the dead processes end by themselves
	require.Eventually(t, func() bool { return stats(t, in).Pending == 0 }, patience, 50*time.Millisecond)
	p.kill()

	effects := own.list(t)
	superseded := make(map[string]bool)
	for p := (inbox.Page{Limit: inbox.MaxPageLimit}); ; {
		page, err := in.List(t.Context(), inbox.Filter{State: inbox.Superseded}, p)
		require.NoError(t, err)
		for _, d := range page.Items {
			superseded[d.DeliveryID] = true
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	for _, id := range s.accepted {
		assert.True(t, effects[id] > 0 != superseded[id], "%s was accepted, took effect %d times, superseded: %v", id, effects[id], superseded[id])
	}
	assert.True(t, mode.Ordered || len(superseded) == 0)
	twice := 0
	for id, n := range effects {
		if n > 1 {
			twice++
		}
		if mode.Tx {
			assert.Equal(t, 1, n, id)
		}
	}
	t.Logf("%d kills, %d accepted, %d took effect, %d of them more than once, %d superseded", kills, len(s.accepted), len(effects), twice, len(superseded))
	require.NotEmpty(t, s.accepted)
	assert.Zero(t, stats(t, in).Dead)
}
