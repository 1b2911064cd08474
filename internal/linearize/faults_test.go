package linearize

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// fault is what happens during a history.
type fault struct {
	name     string
	children bool // the clients are processes of their own
	proxied  bool
	// prepare gives the world new servers before each history. The function that
	// it returns stops them.
	prepare func(*testing.T, *world) func()
	// change adapts the calls of a history to the fault.
	change func(*task)
	// strike makes the fault happen while the clients make their calls.
	strike func(*run)
	// bound says what the store may forget, although that is not linearizable.
	bound string
}

var (
	none = &fault{name: "none"}

	// expiry makes completions expire, which needs longer histories.
	expiry = &fault{name: "TTLs end", change: func(t *task) { t.Calls, t.Pace, t.TTL = 40, 60*time.Millisecond, time.Second }}

	clientFrozen = &fault{name: "client frozen", children: true, strike: func(h *run) {
		for _, part := range []float64{0.1, 0.3, 0.5} {
			h.await(part + rand.Float64()/10)
			c := h.children[rand.IntN(len(h.children))].cmd.Process
			err := freeze(c)
			if errors.Is(err, errors.ErrUnsupported) {
				servicetest.Skip(h.t, "this system cannot freeze a process")
			}
			if err == nil { // it has not ended yet
				pause(h.ctx, longest())
				err = thaw(c)
			}
			if !errors.Is(err, os.ErrProcessDone) {
				assert.NoError(h.t, err)
			}
		}
	}}

	clientKilled = &fault{name: "client killed", children: true, strike: func(h *run) {
		h.await(0.1 + rand.Float64()/2)
		_ = h.children[rand.IntN(len(h.children))].cmd.Process.Kill()
	}}

	connectionsCut = &fault{name: "connections cut", proxied: true, strike: func(h *run) {
		for _, part := range []float64{0.1, 0.3, 0.5} {
			h.await(part + rand.Float64()/10)
			h.proxy.cut()
		}
	}}

	backendsTerminated = &fault{name: "backends terminated", strike: func(h *run) {
		for _, part := range []float64{0.1, 0.3, 0.5} {
			h.await(part + rand.Float64()/10)
			terminate(h.ctx, h.t, h.address)
		}
	}}

	serverFrozen = &fault{name: "server frozen", change: func(t *task) { t.Timeout = 250 * time.Millisecond }, strike: func(h *run) {
		h.await(0.1 + rand.Float64()/2)
		h.server.Pause()
		pause(h.ctx, h.task.Timeout+longest())
		h.server.Resume()
	}}

	serverKilled = &fault{name: "server killed", strike: func(h *run) {
		h.await(0.1 + rand.Float64()/2)
		h.server.Kill()
		h.server.Restart()
	}}

	// memoryLost is a server that keeps its data only in memory.
	memoryLost = &fault{name: "server killed", bound: forget, strike: func(h *run) {
		h.await(0.1 + rand.Float64()/2)
		h.happened(forget, func() {
			h.server.Kill()
			h.server.Restart()
		})
	}}
)

// longest returns the time that something is frozen. It exceeds most leases.
func longest() time.Duration { return time.Duration(20+rand.IntN(180)) * time.Millisecond }

// terminate ends the connections to a database on the server's side.
func terminate(ctx context.Context, t testing.TB, address string) {
	conn, err := pgx.Connect(ctx, address)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	require.NoError(t, err)
}

// throughProxy returns the URL of a server behind a proxy.
func throughProxy(t testing.TB, address, proxy string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Host = proxy
	return u.String()
}
