package redisdedupe_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/dedupetest"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

const slots = 16384

// cluster is a Redis Cluster of three masters.
type cluster struct {
	addrs []string
	nodes []*redis.Client
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{}
	ctx := t.Context()
	for range 3 {
		bus := strconv.Itoa(servicetest.FreePort(t))
		server := servicetest.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--appendonly", "no")
		node := newClient(t, options(t, server.URL()))
		if len(c.nodes) > 0 {
			host, port, _ := net.SplitHostPort(server.Addr())
			require.NoError(t, c.nodes[0].Do(ctx, "CLUSTER", "MEET", host, port, bus).Err())
		}
		c.addrs, c.nodes = append(c.addrs, server.Addr()), append(c.nodes, node)
	}
	for i, node := range c.nodes {
		require.NoError(t, node.ClusterAddSlotsRange(ctx, slots*i/3, slots*(i+1)/3-1).Err())
	}
	for _, node := range c.nodes {
		require.Eventually(t, func() bool {
			info, err := node.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		}, patience, 50*time.Millisecond)
	}
	return c
}

func (c *cluster) newClient(t testing.TB) *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	one, two := c.newClient(t), c.newClient(t)

	t.Run("check", func(t *testing.T) {
		s := newStore(t, one)
		require.NoError(t, s.Ready(t.Context()))
		require.NoError(t, c.nodes[2].ConfigSet(t.Context(), "maxmemory", "1gb").Err())
		require.NoError(t, c.nodes[2].ConfigSet(t.Context(), "maxmemory-policy", "volatile-lru").Err())
		require.ErrorIs(t, s.Ready(t.Context()), redisdedupe.ErrUnsafe)
		require.NoError(t, c.nodes[2].ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
		require.NoError(t, s.Ready(t.Context()))
	})
	t.Run("moving slots", func(t *testing.T) { movingSlots(t, c, newStore(t, one), newStore(t, two)) })
	if !*real {
		return
	}
	conformance := realTime(func(t testing.TB, ttl time.Duration) dedupetest.Subject {
		prefix := redisdedupe.WithPrefix(freshPrefix(t, one))
		return dedupetest.Subject{
			Store: newStore(t, one, redisdedupe.WithTTL(ttl), prefix),
			Other: newStore(t, two, redisdedupe.WithTTL(ttl), prefix),
		}
	})
	conformance.Copies = 200
	dedupetest.Run(t, conformance)
}

// move is a slot that is moving to another node.
type move struct {
	slot     int
	from, to *redis.Client
	fromID   string
	toID     string
}

func (c *cluster) startMove(t testing.TB, key dedupe.Key) move {
	t.Helper()
	ctx := t.Context()
	slot, err := c.nodes[0].ClusterKeySlot(ctx, redisKey(key)).Result()
	require.NoError(t, err)
	owner := int((slot*3 + 2) / slots)
	for slot < int64(slots*owner/3) {
		owner--
	}
	m := move{slot: int(slot), from: c.nodes[owner], to: c.nodes[(owner+1)%3]}
	m.fromID, m.toID = m.from.Do(ctx, "CLUSTER", "MYID").Val().(string), m.to.Do(ctx, "CLUSTER", "MYID").Val().(string)
	require.NoError(t, m.to.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", m.fromID).Err())
	require.NoError(t, m.from.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", m.toID).Err())
	return m
}

func (m move) finish(t testing.TB) {
	t.Helper()
	for _, node := range []*redis.Client{m.to, m.from} {
		require.NoError(t, node.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID).Err())
	}
}

func redisKey(key dedupe.Key) string { return redisdedupe.DefaultPrefix + string(key[:]) }

// movingSlots requires that calls follow their keys to another node without a
// failure.
func movingSlots(t *testing.T, c *cluster, s, other dedupe.Store) {
	ctx := t.Context()
	held, fresh := testKey("held"), testKey("fresh")
	first := claim(t, s, held, time.Hour)
	m := c.startMove(t, held)
	requireState(t, other, held, dedupe.InFlight) // not moved yet
	host, port, _ := net.SplitHostPort(m.to.Options().Addr)
	require.NoError(t, m.from.Migrate(ctx, host, port, redisKey(held), 0, 10*time.Second).Err())
	// moved; only the old node knows
	requireState(t, other, held, dedupe.InFlight)
	require.NoError(t, s.Renew(ctx, first, time.Hour))
	m.finish(t)
	requireState(t, other, held, dedupe.InFlight)
	require.NoError(t, s.Complete(ctx, first))
	requireState(t, other, held, dedupe.Completed)

	m = c.startMove(t, fresh)
	claimed := claim(t, s, fresh, time.Hour)
	requireState(t, other, fresh, dedupe.InFlight)
	m.finish(t)
	requireState(t, other, fresh, dedupe.InFlight)
	require.NoError(t, other.Complete(ctx, claimed))
	requireState(t, s, fresh, dedupe.Completed)
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master := servicetest.StartRedis(t)
	host, port, _ := net.SplitHostPort(master.Addr())
	servicetest.StartRedis(t, "--replicaof", host+" "+port)
	sentinel := servicetest.StartSentinel(t, "dedupe", master.Addr(), "down-after-milliseconds 600000", "failover-timeout 10000").Addr()
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "dedupe", SentinelAddrs: []string{sentinel}, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { _ = client.Close() })
	s := newStore(t, client)
	check := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return s.Ready(ctx)
	}
	require.Eventually(t, func() bool { return check() == nil }, patience, 100*time.Millisecond)

	done := claim(t, s, testKey("done"), time.Hour)
	require.NoError(t, s.Complete(t.Context(), done))
	held := claim(t, s, testKey("held"), time.Hour)
	released := claim(t, s, testKey("released"), time.Hour)
	require.NoError(t, s.Release(t.Context(), released))
	direct := newClient(t, options(t, master.URL()))
	watched := newClient(t, &redis.Options{Addr: sentinel})
	require.Eventually(t, func() bool {
		info, err := direct.Info(t.Context(), "replication").Result()
		if err != nil || !strings.Contains(info, "state=online") {
			return false
		}
		masters, err := watched.Do(t.Context(), "SENTINEL", "REPLICAS", "dedupe").Slice()
		return err == nil && len(masters) == 1
	}, patience, 100*time.Millisecond)
	// A replica reports its replication offset once a second.
	offset := func(name string) string {
		info, _ := direct.Info(t.Context(), "replication").Result()
		_, after, _ := strings.Cut(info, name)
		return after[:strings.IndexAny(after, ",\r\n")]
	}
	require.Eventually(t, func() bool { return offset("master_repl_offset:") == offset(",offset=") }, patience, 50*time.Millisecond)

	master.Kill()
	// Until now, a master that was only slow was not taken for a dead one.
	require.NoError(t, watched.Do(t.Context(), "SENTINEL", "SET", "dedupe", "down-after-milliseconds", "3000").Err())
	require.Eventually(t, func() bool { return check() == nil }, 2*patience, 100*time.Millisecond)
	requireState(t, s, done.Key, dedupe.Completed)
	requireState(t, s, held.Key, dedupe.InFlight)
	require.NoError(t, s.Complete(t.Context(), held))
	requireState(t, s, held.Key, dedupe.Completed)
	require.Greater(t, claim(t, s, released.Key, time.Minute).Token, released.Token)
}
