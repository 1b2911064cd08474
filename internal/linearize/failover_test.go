package linearize

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

var (
	// failover kills the master of a Redis, so that its replica takes over.
	failover = &fault{name: "failover", bound: failOver, prepare: startPair, strike: func(h *run) {
		h.await(0.1 + rand.Float64()/5)
		h.sync()
		h.await(0.4 + rand.Float64()/5)
		h.failOver()
	}}

	// failoverBehind does so after the replica got nothing for a while.
	failoverBehind = &fault{name: "failover, replication stopped", bound: failOver, prepare: startPair, strike: func(h *run) {
		h.await(0.1 + rand.Float64()/5)
		h.sync()
		h.pair.proxy.hold()
		h.await(0.4 + rand.Float64()/5)
		h.failOver()
	}}
)

// sync returns when the replica has all that was written before.
func (h *run) sync() {
	h.since = now()
	require.NoError(h.t, h.pair.sync(h.ctx))
}

func (h *run) failOver() {
	h.happened(failOver, func() { require.NoError(h.t, h.pair.failOver(h.ctx)) })
}

const (
	// masterName is the name under which Sentinel watches the master.
	masterName = "linearize"
	// downAfter is the milliseconds without an answer after which Sentinel takes a
	// killed master for dead. Until the kill it is far more, so that Sentinel
	// keeps a master that is only slow.
	downAfter, downNever = 2000, 3_600_000
)

// pair is a Redis master and its replica, watched by a Sentinel. All
// connections to the master go through a proxy.
type pair struct {
	master, replica *servicetest.Server
	proxy           *proxy
	sentinel        *servicetest.Server
}

// startPair gives a world new servers.
func startPair(t *testing.T, w *world) func() {
	w.pair = newPair(t)
	w.address = w.pair.sentinel.Addr()
	return w.pair.stop
}

// stop stops the servers. A Sentinel that ran on would call the address of the
// proxy again and again. If a later proxy got the same port, the Sentinel would
// turn the master behind it into a replica of another pair.
func (p *pair) stop() {
	p.sentinel.Kill()
	p.replica.Kill()
	p.master.Kill()
}

// newPair starts the servers. It returns when the replica is ready to take
// over.
func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{master: servicetest.StartRedis(t, "--appendonly", "no", "--repl-diskless-sync-delay", "0")}
	p.proxy = newProxy(t, p.master.Addr())
	host, port, err := net.SplitHostPort(p.proxy.addr())
	require.NoError(t, err)
	p.replica = servicetest.StartRedis(t, "--appendonly", "no", "--replicaof", host+" "+port)
	p.until(t, p.master, "state=online", func(ctx context.Context, c *redis.Client) (string, error) {
		return c.Info(ctx, "replication").Result()
	})
	p.sentinel = servicetest.StartSentinel(t, masterName, p.proxy.addr(), fmt.Sprint("down-after-milliseconds ", downNever), "failover-timeout 10000")
	p.until(t, p.sentinel, "master-link-status ok", func(ctx context.Context, c *redis.Client) (string, error) {
		replicas, err := c.Do(ctx, "SENTINEL", "REPLICAS", masterName).Slice()
		if err != nil || len(replicas) == 0 {
			return "", err
		}
		fields, _ := replicas[0].(map[any]any)
		text, _ := fields["master-link-status"].(string)
		return "master-link-status " + text, nil
	})
	return p
}

// until asks a server until its answer contains a text.
func (p *pair) until(t testing.TB, s *servicetest.Server, text string, ask func(context.Context, *redis.Client) (string, error)) {
	t.Helper()
	c := newRedis(s)
	defer c.Close()
	require.Eventually(t, func() bool {
		answer, err := ask(t.Context(), c)
		return err == nil && strings.Contains(answer, text)
	}, patience, 20*time.Millisecond)
}

// newRedis returns a client whose commands end with their context.
func newRedis(s *servicetest.Server) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Addr(), ContextTimeoutEnabled: true, PoolSize: 1,
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience,
	})
}

// sync returns when the replica has all that was written before.
func (p *pair) sync(ctx context.Context) error {
	c := newRedis(p.master)
	defer c.Close()
	return again(ctx, func() error {
		// WAIT refers to the writes of its connection, and replication is in order.
		// A connection that was replaced in between has no writes.
		conn := c.Conn()
		defer conn.Close()
		if err := conn.Set(ctx, "sync", 1, 0).Err(); err != nil {
			return err
		}
		return conn.Wait(ctx, 1, 0).Err()
	})
}

// failOver kills the master. It returns when the Sentinel names the replica.
func (p *pair) failOver(ctx context.Context) error {
	p.master.Kill()
	p.proxy.refuse()
	c := newRedis(p.sentinel)
	defer c.Close()
	err := again(ctx, func() error {
		return c.Do(ctx, "SENTINEL", "SET", masterName, "down-after-milliseconds", downAfter).Err()
	})
	if err != nil {
		return err
	}
	return again(ctx, func() error {
		answer, err := c.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).StringSlice()
		if err == nil && (len(answer) != 2 || net.JoinHostPort(answer[0], answer[1]) != p.replica.Addr()) {
			err = fmt.Errorf("sentinel names %q and not the replica %s", answer, p.replica.Addr())
		}
		return err
	})
}

// again calls do until it succeeds. When ctx ends, it returns the last error
// before that, too.
func again(ctx context.Context, do func() error) error {
	var last error
	for {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return errors.Join(ctx.Err(), last)
		}
	}
}
