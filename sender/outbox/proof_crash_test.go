package outbox_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

// crashRate is how many events each process publishes in a second, at most.
const crashRate = 40

// crashOptions are the same in all processes, apart from the build.
func crashOptions(key outbox.SealingKey, build int64) []outbox.Option {
	return []outbox.Option{
		outbox.WithSealingKeys(key), loopback(), outbox.WithDisableAfter(0), outbox.WithFormat("build", buildFormat(build)),
		outbox.WithBreaker(1_000_000, time.Second, time.Second),
		outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff { return backoff.NewConstantBackOff(50 * time.Millisecond) }),
	}
}

// TestProofCrash kills two processes that publish and deliver on one database.
//
// A process writes to a file what it is about to publish. It writes again when
// Publish, or the commit after PublishTx, has returned. Half of the events are
// published in one transaction with a row of the application. The customer has
// three endpoints of package receiver. A layer in front of them loses a tenth
// of the requests and a tenth of the answers.
//
//	/a  gets JSON
//	/b  gets a format that each process encodes differently, as a newer build
//	    of the application may
//	/c  is disabled and enabled all the time, and gets at the end what it missed
func TestProofCrash(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		c := newCrash(t, w)
		c.kill(t)
		c.checkAtomic(t)
		c.publishAgain(t)
		c.sendMissed(t)
		c.drain(t)
		c.check(t)
	})
}

type crash struct {
	w       *world
	o       *outbox.Outbox // the parent's, which does not deliver
	key     [32]byte
	dir     string
	server  *crashServer
	intends []string // event IDs that were about to be published
	acked   []string
	kills   int

	toggled  string // the endpoint /c
	disabled bool
	replays  []string // of /c, which may have been interrupted
	missed   int
}

// buildFormat is the event with the number of the build that encoded it.
type buildFormat int64

func (f buildFormat) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	own := *e
	if err := own.Extra.Set("encoded_by", int64(f)); err != nil {
		return "", nil, err
	}
	body, err := own.Encode()
	return "", body, err
}

func newCrash(t *testing.T, w *world) *crash {
	c := &crash{w: w, dir: t.TempDir(), server: &crashServer{attempts: map[string]*crashDelivery{}, handled: map[string]int{}}}
	copy(c.key[:], "a key of thirty-two bytes, fixed")
	o, err := w.rawOpen(crashOptions(crashKey(c.key[:]), 0)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	c.o = o
	w.exec(t, `CREATE TABLE orders (id text PRIMARY KEY)`)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	store, err := dedupe.NewMemory(dedupe.WithCapacity(10_000_000))
	require.NoError(t, err)
	for _, path := range crashPaths {
		config := endpointAt(server.URL + path)
		config.Events = []string{"deploy.*"} // without announcements of /c
		if path == "/b" {
			config.BodyFormat = "build"
		}
		e, secret := create(t, o.App("shop"), config)
		c.toggled = e.ID // the last one
		key, err := signer.ParseSecret(secret.Reveal())
		require.NoError(t, err)
		scheme, err := signer.NewStandard(key)
		require.NoError(t, err)
		r, err := receiver.New(scheme, receiver.WithDedupe(store, path), receiver.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		mux.Handle(path, c.server.layer(path, r.Events(c.server.handle(path))))
	}
	return c
}

var crashPaths = [...]string{"/a", "/b", "/c"}

func crashKey(secret []byte) outbox.SealingKey {
	k, err := outbox.NewSealingKey("k1", secret)
	if err != nil {
		panic(err)
	}
	return k
}

// crashServer counts what the customer gets.
type crashServer struct {
	mu       sync.Mutex
	attempts map[string]*crashDelivery // by path and delivery ID
	handled  map[string]int            // by path and event ID
	faults   []string
	reliable atomic.Bool
	requests atomic.Int64
}

type crashDelivery struct {
	n    int
	hash [32]byte
}

func (s *crashServer) layer(path string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // its sender was killed
		}
		s.attempt(path+" "+r.Header.Get("Webhook-Id"), sha256.Sum256(body))
		luck := rand.IntN(10)
		if luck == 0 && !s.reliable.Load() {
			http.Error(w, "lost", http.StatusBadGateway)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if luck == 1 && !s.reliable.Load() {
			panic(http.ErrAbortHandler) // it was handled, and the sender gets no answer
		}
		if answer.Code >= 400 && answer.Code != http.StatusConflict { // 409: a copy of it is being handled
			s.fault(fmt.Sprintf("the receiver answered %d %s", answer.Code, answer.Body))
		}
		w.WriteHeader(answer.Code)
	})
}

func (s *crashServer) attempt(id string, hash [32]byte) {
	s.requests.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.attempts[id]
	if d == nil {
		d = &crashDelivery{hash: hash}
		s.attempts[id] = d
	}
	if d.hash != hash {
		s.faults = append(s.faults, "another body under "+id)
	}
	d.n++
}

func (s *crashServer) fault(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, text)
}

func (s *crashServer) handle(path string) receiver.EventHandler {
	return func(ctx context.Context, e *payload.Event) error {
		id, _ := e.Extra.Get("event_id")
		text, _ := id.Text()
		if d, ok := receiver.FromContext(ctx); !ok || d.ID != e.DeliveryID {
			s.fault("the delivery ID in the body is another than in the header")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.handled[path+" "+text]++
		return nil
	}
}

// kill starts two processes and kills one after the other, each after a random
// number of further requests.
func (c *crash) kill(t *testing.T) {
	var children [2]*exec.Cmd
	begin := time.Now()
	for i := range children {
		children[i] = c.start(t, true)
	}
	for time.Since(begin) < *crashFor || c.kills < 6 || len(c.notes(t, "ack")) == 0 {
		until := c.server.requests.Load() + 1 + rand.Int64N(120)
		eventually(t, func() bool { return c.server.requests.Load() >= until }, "the processes deliver nothing")
		i := rand.IntN(len(children))
		killChild(children[i])
		c.kills++
		children[i] = c.start(t, true)
		c.toggle(t)
	}
	for _, child := range children {
		killChild(child)
		c.kills++
	}
	c.intends, c.acked = c.notes(t, "intend"), c.notes(t, "ack")
}

// toggle disables or enables /c. Half of the time it sends what /c missed. The
// call is cut off at a random moment, as by a crash.
func (c *crash) toggle(t *testing.T) {
	app := c.o.App("shop")
	c.disabled = !c.disabled
	if c.disabled {
		require.NoError(t, app.Disable(t.Context(), c.toggled, "maintenance"))
		return
	}
	if rand.IntN(2) == 0 {
		require.NoError(t, app.Enable(t.Context(), c.toggled))
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	batches := rand.IntN(3)
	err := app.Enable(ctx, c.toggled, outbox.WithMissed(outbox.WithReplayRate(2000), outbox.WithReplayProgress(func(s outbox.ReplayStatus) {
		if batches--; batches < 0 {
			cancel()
		}
		c.replays = append(c.replays, s.ID)
	})))
	if ctx.Err() == nil {
		require.NoError(t, err)
	}
}

// sendMissed sends /c all that it missed, after replays that were cut off have
// been resumed.
func (c *crash) sendMissed(t *testing.T) {
	app := c.o.App("shop")
	require.NoError(t, app.Enable(t.Context(), c.toggled))
	fast := outbox.WithReplayRate(2000)
	for _, id := range c.replays {
		_, err := app.ResumeReplay(t.Context(), id)
		require.NoError(t, err)
	}
	s, err := app.SendMissed(t.Context(), c.toggled, time.Time{}, fast)
	require.NoError(t, err)
	c.missed = s.Scheduled
	left, err := app.Missed(t.Context(), c.toggled, time.Time{})
	require.NoError(t, err)
	require.Zero(t, left.N)
}

func killChild(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// notes are the complete lines that the processes have written down.
func (c *crash) notes(t *testing.T, kind string) (all []string) {
	files, err := filepath.Glob(filepath.Join(c.dir, kind+"-*"))
	require.NoError(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.HasSuffix(line, "\n") {
				all = append(all, strings.TrimSpace(line))
			}
		}
	}
	return all
}

// checkAtomic reads the database before anything else changes it. An event has
// the deliveries to both endpoints that were always enabled, or none. The
// application's row exists exactly if the event does.
func (c *crash) checkAtomic(t *testing.T) {
	stored := map[string]int{}
	for _, id := range c.w.queryTexts(t, "SELECT event FROM "+c.w.table("outbox_delivery")+" WHERE endpoint <> '"+c.toggled+"'") {
		stored[id]++
	}
	events := c.w.queryTexts(t, "SELECT id FROM "+c.w.table("outbox_event")+" WHERE type = 'deploy.live'")
	assert.Len(t, stored, len(events))
	for _, id := range events {
		assert.Equal(t, 2, stored[id], "deliveries of %s", id)
	}
	orders := c.w.queryTexts(t, "SELECT id FROM orders")
	slices.Sort(orders)
	withOrder := slices.DeleteFunc(events, func(id string) bool { return !strings.HasPrefix(id, "tx-") })
	slices.Sort(withOrder)
	assert.Equal(t, orders, withOrder)
	unacknowledged := len(stored) - len(c.acked)
	for _, id := range c.acked {
		assert.Equal(t, 2, stored[id], "%s was acknowledged", id)
	}
	t.Logf("%d kills; %d events begun, %d acknowledged, %d stored without the process having lived to say so",
		c.kills, len(c.intends), len(c.acked), unacknowledged)
}

// publishAgain publishes again under the same ID, as an application does that
// does not know whether it has published.
func (c *crash) publishAgain(t *testing.T) {
	known := map[string]bool{}
	for _, id := range c.acked {
		known[id] = true
	}
	for _, id := range c.intends {
		if !known[id] {
			publish(t, c.o.App("shop"), crashEvent(id), outbox.WithEventID(id))
		}
	}
}

// drain lets a last process deliver what is left.
func (c *crash) drain(t *testing.T) {
	c.server.reliable.Store(true)
	if *crashFor < time.Minute {
		// The jobs of the dead processes are made overdue and there is no leader. The
		// new leader then finds them with its first check, which makes the test 40 s
		// faster.
		earlier := "datetime(attempted_at, '-1 hour')"
		if c.w.pool != nil {
			earlier = "attempted_at - interval '1 hour'"
		}
		c.w.exec(t, "UPDATE "+c.w.table("river_job")+" SET attempted_at = "+earlier+" WHERE state = 'running'")
		c.w.exec(t, "DELETE FROM "+c.w.table("river_leader"))
	}
	last := c.start(t, false)
	begin := time.Now()
	noneWaits(t, c.o)
	t.Logf("drained in %v", time.Since(begin).Round(time.Millisecond))
	killChild(last)
}

// check compares what was published with what was received.
func (c *crash) check(t *testing.T) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Empty(t, s.faults)
	assert.NotEmpty(t, c.acked)
	for _, id := range c.intends {
		for _, path := range crashPaths {
			assert.Equal(t, 1, s.handled[path+" "+id], "%s %s", path, id)
		}
	}
	n := len(crashPaths) * len(c.intends)
	assert.Len(t, s.handled, n)
	assert.Len(t, s.attempts, n, "an event has more than one delivery ID for an endpoint")
	attempts, repeated := 0, 0
	for _, d := range s.attempts {
		attempts += d.n
		if d.n > 1 {
			repeated++
		}
	}
	assert.Equal(t, n, countOf(t, c.o, outbox.DeliveryFilter{States: []outbox.State{outbox.Delivered}}))
	t.Logf("%d deliveries, %d attempts, %d deliveries with more than one; %d sent as missed at the end; each was handled exactly once",
		len(s.attempts), attempts, repeated, c.missed)
}
