package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/programtest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
)

var (
	every    = flag.Int("fanout.every", 1, "kill the process at every n-th message to PostgreSQL")
	moments  = flag.Int("fanout.moments", 20, "how often the process is also killed at a random moment")
	delivers = flag.Bool("fanout.deliver", false, "also kill the process during its attempts, which takes a minute and a half")
)

// killing is a world whose process is killed while it receives events. The
// killed processes only receive. The last one also delivers.
type killing struct {
	*world
	chat, audit *internalService
	events      map[string]*payload.Event // by delivery ID
	kills       int
}

func newKilling(t *testing.T, args ...string) *killing {
	t.Helper()
	k := &killing{world: newWorld(t, args...), events: map[string]*payload.Event{}}
	k.start("-deliver=false")
	k.chat, k.audit = k.service("chat", "deploy.failed"), k.service("audit", "*")
	k.open.Store(false)
	return k
}

// round sends an event, and calls during when its first request is at the
// front. kill kills the process at once. The round is over with the answer or
// the end of the process. round reports whether the process was killed.
func (k *killing) round(during func(forward func() int, kill func()) (keep bool)) (killed bool) {
	k.t.Helper()
	p := k.current.Load()
	var dead atomic.Bool
	kill := func() { dead.Store(true); p.Kill() }
	over := make(chan struct{})
	var begun atomic.Bool
	k.mu.Lock()
	k.during = func(forward func() int) bool {
		if !begun.CompareAndSwap(false, true) {
			return forward() > 0
		}
		defer close(over)
		return during(forward, kill)
	}
	k.mu.Unlock()
	kind := []payload.Type{payload.DeployFailed, payload.DeployLive}[len(k.events)%2]
	e := event(kind, fmt.Sprintf("dep_%d", len(k.events)))
	k.events[k.send(e)] = e
	select {
	case <-over:
	case <-time.After(programtest.Patience):
		k.t.Fatal("the event did not arrive:\n", p.Output())
	}
	if !dead.Load() {
		return false
	}
	k.kills++
	k.start("-deliver=false")
	return true
}

// finish lets the last process deliver, and requires that each service got each
// of its events at least once and under one ID.
func (k *killing) finish() {
	k.t.Helper()
	k.mu.Lock()
	k.during = nil
	k.mu.Unlock()
	k.open.Store(true)
	k.current.Load().End()
	k.start()
	k.sending.Wait()
	for id, e := range k.events {
		require.Equal(k.t, id, k.audit.gets(k.world, e.DeploymentID))
		if e.Type == payload.DeployFailed {
			require.Equal(k.t, id, k.chat.gets(k.world, e.DeploymentID))
		} else {
			require.Empty(k.t, k.chat.of(e.DeploymentID))
		}
	}
	k.t.Logf("%d events, %d kills", len(k.events), k.kills)
}

// edges kills the process before it gets an event, and after it has answered.
// In the second case the answer is lost.
func (k *killing) edges() {
	require.True(k.t, k.round(func(forward func() int, kill func()) bool {
		kill()
		return forward() > 0
	}))
	require.True(k.t, k.round(func(forward func() int, kill func()) bool {
		assert.Equal(k.t, http.StatusAccepted, forward())
		kill()
		return false
	}))
}

// random kills the process at random moments between an event and its answer.
func (k *killing) random() {
	seed := rand.Uint64()
	k.t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	took := 20 * time.Millisecond
	for range *moments {
		at := time.Duration(random.Int64N(int64(took)))
		k.round(func(forward func() int, kill func()) bool {
			begin := time.Now()
			killed := make(chan struct{})
			timer := time.AfterFunc(at, func() { defer close(killed); kill() })
			status := forward()
			if timer.Stop() {
				took = max(time.Since(begin), time.Millisecond)
			} else {
				<-killed
			}
			return status > 0
		})
	}
}

// A process on SQLite is killed when it has changed the file for the n-th time
// since the event came.
func TestKilled_SQLite(t *testing.T) {
	t.Parallel()
	k := newKilling(t)
	k.edges()
	for n := 1; k.round(func(forward func() int, kill func()) bool {
		stop := watch(t, filepath.Join(k.dir, "fanout.db-wal"), n, kill)
		defer stop()
		return forward() > 0
	}); n++ {
		require.Less(t, n, 1000, "an event has far fewer steps")
	}
	k.random()
	k.finish()
}

// watch calls kill when a file has changed n times.
func watch(t *testing.T, file string, n int, kill func()) (stop func()) {
	t.Helper()
	version := func() string {
		info, err := os.Stat(file)
		if err != nil {
			return ""
		}
		return fmt.Sprint(info.Size(), info.ModTime().UnixNano())
	}
	last := version()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for changes := 0; ; {
			select {
			case <-end:
				return
			default:
			}
			if now := version(); now != last {
				last = now
				if changes++; changes == n {
					kill()
					return
				}
			}
		}
	}()
	return func() { close(end); <-ended }
}

// Between a process and PostgreSQL is a proxy, which kills the process instead
// of passing on its n-th message since the event came. So the process dies
// between each two statements, and between the commit and its result.
func TestKilled_Postgres(t *testing.T) {
	t.Parallel()
	w := &wire{}
	k := newKilling(t, "-database", w.listen(t, newDatabase(t, servicetest.PostgresURL(t))))
	k.edges()
	n := 1
	for ; k.round(func(forward func() int, kill func()) bool {
		w.arm(n, kill)
		defer w.arm(0, nil)
		return forward() > 0
	}); n += *every {
		require.Less(t, n, 1000, "an event has far fewer messages")
	}
	t.Logf("an event has fewer than %d messages", n)
	require.Greater(t, n, 5)
	k.random()
	k.finish()
}

// wire is a TCP proxy.
type wire struct {
	mu   sync.Mutex
	left int
	kill func()
}

// arm sets what happens at the n-th message from now on. Zero means nothing.
func (w *wire) arm(n int, kill func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.kill = n, kill
}

// message reports whether a message passes.
func (w *wire) message() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return true
	}
	w.left--
	if w.left > 0 {
		return true
	}
	w.kill()
	return false
}

// listen returns the URL of a database by way of the proxy.
func (w *wire) listen(t *testing.T, database string) string {
	t.Helper()
	at, err := url.Parse(database)
	require.NoError(t, err)
	server := at.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.connection(from, server) })
		}
	})
	at.Host = l.Addr().String()
	return at.String()
}

func (w *wire) connection(from net.Conn, server string) {
	defer from.Close()
	to, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer to.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(from, to)
		_ = from.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !w.message() {
			break
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			break
		}
	}
	_ = to.Close()
	<-back
}

// The process is killed while a service answers, and right after the answer.
// Another one makes the attempt again, under the same IDs.
func TestKilled_WhileDelivering(t *testing.T) {
	if !*delivers {
		t.Skip("a crashed attempt is repeated a minute later; -fanout.deliver waits for it")
	}
	t.Parallel()
	w := newWorld(t)
	w.start()
	audit := w.service("audit", "*")
	ids := map[string]string{}
	for i, before := range []bool{true, false, true, false} {
		deployment := fmt.Sprintf("dep_%d", i)
		killed := make(chan struct{})
		once := sync.OnceFunc(func() { w.current.Load().Kill(); close(killed) })
		audit.hook(func(answer http.Handler, rw http.ResponseWriter, r *http.Request) {
			if before {
				once()
			}
			answer.ServeHTTP(rw, r)
			if !before {
				_ = http.NewResponseController(rw).Flush()
				once()
			}
		})
		ids[deployment] = w.send(event(payload.DeployLive, deployment))
		w.sending.Wait()
		<-killed
		audit.hook(nil)
		w.start()
	}
	for deployment, id := range ids {
		require.Equal(t, id, audit.gets(w, deployment))
	}
	var page struct{ Items []struct{ State string } }
	programtest.Eventually(t, func() bool {
		require.Equal(t, http.StatusOK, w.api("GET", "/apps/services/deliveries?state=delivered", nil, &page))
		return len(page.Items) == len(ids)
	}, func() string { return fmt.Sprint(page) })
}
