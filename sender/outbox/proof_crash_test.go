package outbox_test

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
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

// TestProofCrash kills two processes that publish and deliver on one database,
// and the one that receives.
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
	intends []string // event IDs that were about to be published
	acked   []string
	kills   int

	toggled  string // the endpoint /c
	disabled bool
	replays  []string // of /c, which may have been interrupted
	missed   int

	listener  *net.TCPListener // of the customer. The parent only keeps it open
	receiver  crashReceiver
	receiving *exec.Cmd
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
	c := &crash{w: w, dir: t.TempDir()}
	copy(c.key[:], "a key of thirty-two bytes, fixed")
	o, err := w.rawOpen(crashOptions(crashKey(c.key[:]), 0)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	c.o = o
	w.exec(t, `CREATE TABLE orders (id text PRIMARY KEY)`)
	c.listen(t)
	for _, path := range crashPaths {
		config := endpointAt("http://" + c.listener.Addr().String() + path)
		config.Events = []string{"deploy.*"} // without announcements of /c
		if path == "/b" {
			config.BodyFormat = "build"
		}
		e, secret := create(t, o.App("shop"), config)
		c.toggled = e.ID // the last one
		c.receiver.Secrets = append(c.receiver.Secrets, secret.Reveal())
	}
	c.receiving = c.startReceiver(t, false)
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

// kill starts two processes and kills one after the other, or the receiver,
// each after a random number of further requests.
func (c *crash) kill(t *testing.T) {
	var children [2]*exec.Cmd
	begin := time.Now()
	for i := range children {
		children[i] = c.start(t, true)
	}
	for time.Since(begin) < *crashFor || c.kills < 6 || len(c.notes(t, "ack")) == 0 {
		until := len(c.notes(t, "attempt")) + 1 + rand.IntN(120)
		eventually(t, func() bool { return len(c.notes(t, "attempt")) >= until }, "the processes deliver nothing")
		if c.kills++; c.kills%3 == 0 {
			killChild(c.receiving)
			c.receiving = c.startReceiver(t, false)
			continue
		}
		i := rand.IntN(len(children))
		killChild(children[i])
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
	c.awaitSessions(t)
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

// awaitSessions waits until PostgreSQL has ended what the killed processes had
// begun. It may commit after its client is dead.
func (c *crash) awaitSessions(t *testing.T) {
	if c.w.pool == nil {
		return
	}
	eventually(t, func() bool {
		return c.w.queryInt(t, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state IS DISTINCT FROM 'idle' AND backend_type = 'client backend'`) == 0
	}, "a session of a killed process does not end")
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
	killChild(c.receiving)
	c.receiving = c.startReceiver(t, true)
	if *crashFor < time.Minute {
		// The leases of the dead processes are ended, which makes the test 60 s
		// faster.
		c.w.exec(t, "UPDATE "+c.w.table("outbox_job")+" SET claimed_until = 0")
	}
	last := c.start(t, false)
	begin := time.Now()
	noneWaits(t, c.o)
	t.Logf("drained in %v", time.Since(begin).Round(time.Millisecond))
	killChild(last)
}

// check compares what was published with what was received. The receiver
// remembers nothing when it is killed, so it may handle a delivery twice. All
// attempts of one have the same ID and bytes.
func (c *crash) check(t *testing.T) {
	killChild(c.receiving)
	assert.Empty(t, c.notes(t, "fault"))
	assert.NotEmpty(t, c.acked)
	bodies := map[string]string{} // by path and delivery ID
	attempts := map[string]int{}
	for _, line := range c.notes(t, "attempt") {
		id, hash, _ := strings.Cut(line, " sha256 ")
		if first, ok := bodies[id]; ok {
			assert.Equal(t, first, hash, "another body under %s", id)
		}
		bodies[id] = hash
		attempts[id]++
	}
	deliveries := map[string]map[string]bool{} // by path and event ID
	for _, line := range c.notes(t, "handled") {
		id, delivery, _ := strings.Cut(line, " as ")
		if deliveries[id] == nil {
			deliveries[id] = map[string]bool{}
		}
		deliveries[id][delivery] = true
	}
	for _, id := range c.intends {
		for _, path := range crashPaths {
			assert.Len(t, deliveries[path+" "+id], 1, "delivery IDs of %s %s", path, id)
		}
	}
	n := len(crashPaths) * len(c.intends)
	assert.Len(t, deliveries, n)
	assert.Len(t, bodies, n, "an event has more than one delivery ID for an endpoint")
	assert.Equal(t, n, countOf(t, c.o, outbox.DeliveryFilter{States: []outbox.State{outbox.Delivered}}))
	all, repeated := 0, 0
	for _, n := range attempts {
		all += n
		if n > 1 {
			repeated++
		}
	}
	t.Logf("%d deliveries, %d attempts, %d deliveries with more than one; %d sent as missed at the end; none was lost",
		len(bodies), all, repeated, c.missed)
}
