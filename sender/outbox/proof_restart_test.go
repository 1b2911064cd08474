package outbox_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

// TestProofRestart publishes 1,500 events to an endpoint that is down for 20 s.
// Two databases have the same load. On one of them, the process is replaced
// when the endpoint is back. It is stopped on SQLite and killed on PostgreSQL.
// The deliveries that waited must arrive as fast as without that, by the ramp
// of the circuit breaker. With -outbox.strict all options have their defaults.
// Otherwise the breaker's pauses are short.
//
// The time is measured from the first delivery that is accepted, since the
// pauses of circuit breakers have a random length. It does not count deliveries
// with a failed attempt, which wait for their schedules. On a slow machine
// there are more of those. A job that is running when its process is killed
// waits until its lease ends.
//
// The ramp decides when nineteen of twenty arrive, so those times are compared.
func TestProofRestart(t *testing.T) {
	events, outage := 150, time.Duration(0)
	if *strict {
		events, outage = 1500, 20*time.Second
	}
	proveOnEach(t, func(t *testing.T, w *world) {
		kept, replaced := w, &world{path: outbox.NewSQLite(t)}
		if w.pool != nil {
			url := sqldbtest.NewDatabase(t)
			replaced = &world{url: url, pool: sqldbtest.OpenPool(t, url)}
		}
		var took [2]returnTimes
		var both sync.WaitGroup
		for i, w := range []*world{kept, replaced} {
			both.Go(func() { took[i] = returnAfterOutage(t, w, events, outage, i == 1) })
		}
		both.Wait()
		t.Logf("nineteen of twenty deliveries in %v, in %v after a restart; all in %v, in %v after a restart",
			took[0].most, took[1].most, took[0].all, took[1].all)
		if *strict {
			assert.Less(t, took[1].most, took[0].most*13/10)
			assert.Less(t, took[1].all, took[0].all*13/10)
		}
	})
}

// returnTimes says how long after the first delivery nineteen of twenty have
// arrived, and all of them, of those without a failed attempt.
type returnTimes struct{ most, all time.Duration }

// returned is a server that is down at first.
type returned struct {
	*hook
	mu     sync.Mutex
	up     bool
	first  time.Time
	failed map[string]bool // deliveries
	arrive map[string]bool
	times  []time.Duration // of those that arrived without a failure, after the first
}

func newReturned(t *testing.T) *returned {
	s := &returned{failed: map[string]bool{}, arrive: map[string]bool{}}
	s.hook = newHook(t, func(_ int, r received) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		id := r.header.Get("Webhook-Id")
		if !s.up {
			s.failed[id] = true
			return 503
		}
		if s.first.IsZero() {
			s.first = r.at
		}
		if !s.failed[id] && !s.arrive[id] {
			s.arrive[id] = true
			s.times = append(s.times, r.at.Sub(s.first))
		}
		return 200
	})
	return s
}

func (s *returned) comeBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = true
}

// missing returns how many of n deliveries have neither arrived nor failed.
func (s *returned) missing(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n - len(s.arrive) - len(s.failed)
}

// within returns how many have arrived in a time after the first.
func (s *returned) within(d time.Duration) int {
	n, _ := slices.BinarySearch(s.times, d)
	return n
}

func returnAfterOutage(t *testing.T, w *world, events int, outage time.Duration, restart bool) returnTimes {
	key := []byte(rand.Text() + rand.Text())[:32]
	open := func() *outbox.Outbox {
		o, err := w.rawOpen(outbox.WithSealingKeys(crashKey(key)), loopback(), outbox.WithLogger(testLogger(t)), restartBreaker(*strict))
		require.NoError(t, err)
		t.Cleanup(func() { closeSlowly(t, o) })
		return o
	}
	o, s := open(), newReturned(t)
	create(t, o.App("shop"), endpointAt(s.URL))
	var child *exec.Cmd
	if restart && w.pool != nil {
		child = startDefault(t, w, key)
	} else {
		require.NoError(t, o.Start(t.Context()))
	}
	begin := time.Now()
	publishMany(t, w, o, events, benchEvent())
	opened := "SELECT count(*) FROM " + w.table("outbox_endpoint") + " WHERE breaker_open_until > 0"
	running := func() int64 {
		return w.queryInt(t, fmt.Sprintf("SELECT count(*) FROM %s WHERE claimed_until > %d", w.table("outbox_job"), time.Now().UnixMicro()))
	}
	quiet := func() bool {
		if *strict {
			return w.asleep(t) >= events-10
		}
		return running() < int64(events/10) // on a slow machine the first jobs wake up before the last ones sleep
	}
	eventually(t, func() bool { return w.queryInt(t, opened) == 1 && quiet() }, "the breaker does not open")
	time.Sleep(time.Until(begin.Add(outage))) // the endpoint is down for so long
	var killed int64
	switch {
	case child != nil:
		killChild(child)
		killed = running()
		few := int64(events) // more may have begun since quiet looked
		if *strict {
			few = int64(events / 10)
		}
		require.Less(t, killed, few)
	case restart:
		require.NoError(t, o.Close())
	}
	s.comeBack()
	back := time.Now()
	if restart {
		require.NoError(t, open().Start(t.Context()))
	}
	eventually(t, func() bool { return s.missing(events) <= int(killed) }, "some do not arrive")
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.times)
	require.NotEmpty(t, s.times, "every delivery failed before the endpoint was back")
	last := len(s.times) - 1
	took := returnTimes{most: s.times[last*19/20].Round(time.Millisecond), all: s.times[last].Round(time.Millisecond)}
	t.Logf("restart %v: the first %v after the endpoint was back; within 1, 3, 7 and 15 s after that [%d %d %d %d]; %d had failed, %d were cut off",
		restart, s.first.Sub(back).Round(time.Millisecond), s.within(time.Second), s.within(3*time.Second), s.within(7*time.Second),
		s.within(15*time.Second), len(s.failed), killed)
	return took
}

// restartBreaker sets the pauses of the circuit breaker.
func restartBreaker(defaults bool) outbox.Option {
	pause, maxPause := 2*time.Second, 2*time.Second
	if defaults {
		pause, maxPause = outbox.DefaultBreakerPause, outbox.DefaultBreakerMaxPause
	}
	return outbox.WithBreaker(outbox.DefaultBreakerThreshold, pause, maxPause)
}

const restartEnv = "DEPLOYHOOK_OUTBOX_RESTART_CHILD"

// startDefault starts a process that delivers, with default options.
func startDefault(t *testing.T, w *world, key []byte) *exec.Cmd {
	t.Helper()
	return spawnChild(t, "TestProofRestartChild", restartEnv, crashChild{Path: w.path, URL: w.url, Key: key, Strict: *strict})
}

// TestProofRestartChild is a process of TestProofRestart, and nothing
// otherwise.
func TestProofRestartChild(t *testing.T) {
	text := os.Getenv(restartEnv)
	if text == "" {
		t.Skip("only TestProofRestart runs this")
	}
	child := readChild(t, text)
	w := child.world(t)
	o, err := w.rawOpen(outbox.WithSealingKeys(crashKey(child.Key)), loopback(), restartBreaker(child.Strict))
	require.NoError(t, err)
	require.NoError(t, o.Start(context.Background()))
	fmt.Println("ready")
	select {}
}
