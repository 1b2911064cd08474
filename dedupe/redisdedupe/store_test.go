package redisdedupe_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

func TestConfiguration(t *testing.T) {
	t.Parallel()
	client := newClient(t, &redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})
	ringOptions := &redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}, ContextTimeoutEnabled: true}
	ring := redis.NewRing(ringOptions)
	t.Cleanup(func() { _ = ring.Close() })
	deaf := newClient(t, &redis.Options{Addr: "127.0.0.1:1"})
	deafCluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	t.Cleanup(func() { _ = deafCluster.Close() })
	deafRing := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	t.Cleanup(func() { _ = deafRing.Close() })

	for name, c := range map[string]struct {
		client redis.UniversalClient
		opts   []redisdedupe.Option
		want   []string
	}{
		"nil client":          {nil, nil, []string{"the client is nil"}},
		"nil of a type":       {(*redis.Client)(nil), nil, []string{"the client is nil"}},
		"nil cluster":         {(*redis.ClusterClient)(nil), nil, []string{"the client is nil"}},
		"nil ring":            {(*redis.Ring)(nil), nil, []string{"the client is nil"}},
		"ring":                {ring, nil, []string{"is a Ring", "InsecureRing"}},
		"deaf":                {deaf, nil, []string{"ContextTimeoutEnabled"}},
		"deaf cluster":        {deafCluster, nil, []string{"ContextTimeoutEnabled"}},
		"deaf ring":           {deafRing, []redisdedupe.Option{redisdedupe.InsecureRing()}, []string{"ContextTimeoutEnabled"}},
		"nil option":          {client, []redisdedupe.Option{nil}, []string{"an option is nil"}},
		"TTL without unit":    {client, []redisdedupe.Option{redisdedupe.WithTTL(48)}, []string{"WithTTL(48ns)", "48*time.Hour"}},
		"negative TTL":        {client, []redisdedupe.Option{redisdedupe.WithTTL(-time.Hour)}, []string{"WithTTL"}},
		"hash tag":            {client, []redisdedupe.Option{redisdedupe.WithPrefix("{a}:")}, []string{"WithPrefix", "offset 0"}},
		"blank in prefix":     {client, []redisdedupe.Option{redisdedupe.WithPrefix("a b")}, []string{"WithPrefix", "offset 1"}},
		"pattern in prefix":   {client, []redisdedupe.Option{redisdedupe.WithPrefix("a*")}, []string{"WithPrefix"}},
		"prefix not in ASCII": {client, []redisdedupe.Option{redisdedupe.WithPrefix("é")}, []string{"WithPrefix"}},
		"long prefix":         {client, []redisdedupe.Option{redisdedupe.WithPrefix(strings.Repeat("a", 101))}, []string{"WithPrefix", "101"}},
		"everything": {
			deaf,
			[]redisdedupe.Option{redisdedupe.WithTTL(1), redisdedupe.WithPrefix("\n")},
			[]string{"WithTTL", "WithPrefix", "ContextTimeoutEnabled"},
		},
	} {
		s, err := redisdedupe.New(c.client, c.opts...)
		require.Nil(t, s, name)
		require.ErrorIs(t, err, redisdedupe.ErrConfig, name)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
	}

	require.Equal(t, dedupe.DefaultTTL, newStore(t, client).TTL())
	_, err := redisdedupe.New(client, redisdedupe.WithTTL(0), redisdedupe.WithPrefix(""))
	require.ErrorContains(t, err, "WithTTL(0s)")
	require.ErrorContains(t, err, "WithPrefix: the prefix is empty")
	require.Equal(t, time.Second, newStore(t, client, redisdedupe.WithTTL(time.Second)).TTL())
	newStore(t, ring, redisdedupe.InsecureRing())
	newStore(t, client, redisdedupe.WithPrefix("staging/deploys_1.2:a-b"))
}

// The clock of a server may be set, or a failover may change to another
// machine's clock.
func TestTokensRiseWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	s := newStore(t, newClient(t, m.options()), redisdedupe.WithTTL(48*time.Hour))
	last := claim(t, s, testKey("back"), time.Minute)
	setBack := func(d time.Duration) { m.now = m.now.Add(-d); m.SetTime(m.now) }
	for range 3 {
		require.NoError(t, s.Release(t.Context(), last))
		setBack(time.Hour)
		next := claim(t, s, testKey("back"), time.Minute)
		require.Greater(t, next.Token, last.Token, "after a release")
		m.advance(time.Minute)
		setBack(time.Second)
		requireState(t, s, testKey("back"), dedupe.InFlight)
		m.advance(time.Second)
		last = claim(t, s, testKey("back"), time.Minute)
		require.Greater(t, last.Token, next.Token, "after the end of a lease")
	}
	m.advance(time.Minute)
	setBack(time.Hour)
	// leases last longer by the same time; nothing is lost
	requireState(t, s, testKey("back"), dedupe.InFlight)
}

// A clock that is one hour ahead shortens the memory by one hour. That makes
// replays possible only if the TTL is less than twice the tolerance plus that
// hour.
func TestClockSetForward(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	s := newStore(t, newClient(t, m.options()), redisdedupe.WithTTL(2*time.Hour))
	slow := claim(t, s, testKey("slow"), time.Minute)
	done := claim(t, s, testKey("done"), time.Minute)
	require.NoError(t, s.Complete(t.Context(), done))
	m.advance(time.Hour)
	requireState(t, s, done.Key, dedupe.Completed)
	successor := claim(t, s, slow.Key, time.Minute)
	require.Greater(t, successor.Token, slow.Token)
	require.ErrorIs(t, s.Complete(t.Context(), slow), dedupe.ErrLeaseLost)
}

func TestPrefixesAreApart(t *testing.T) {
	t.Parallel()
	client := newClient(t, options(t, servicetest.RedisURL(t)))
	prefix := freshPrefix(t, client)
	stores := []*redisdedupe.Store{
		newStore(t, client, redisdedupe.WithPrefix(prefix+"a")),
		newStore(t, client, redisdedupe.WithPrefix(prefix+"b")),
		newStore(t, client, redisdedupe.WithPrefix(prefix)),
		newStore(t, client, redisdedupe.WithPrefix(prefix+"aa")),
	}
	var claims []dedupe.Claim
	for _, s := range stores {
		claims = append(claims, claim(t, s, testKey("same"), time.Minute))
	}
	require.NoError(t, stores[0].Complete(t.Context(), claims[0]))
	require.NoError(t, stores[1].Release(t.Context(), claims[1]))
	requireState(t, stores[0], testKey("same"), dedupe.Completed)
	requireState(t, stores[2], testKey("same"), dedupe.InFlight)
	requireState(t, stores[3], testKey("same"), dedupe.InFlight)
	requireState(t, stores[1], testKey("same"), dedupe.Claimed)
}

func TestSourcesAndTenantsAreApart(t *testing.T) {
	t.Parallel()
	client := newClient(t, options(t, servicetest.RedisURL(t)))
	s := newStore(t, client, redisdedupe.WithPrefix(freshPrefix(t, client)))
	for _, of := range [][2]string{{"github", "acme"}, {"gitlab", "acme"}, {"github", "globex"}, {"github", ""}} {
		c := claim(t, s, dedupe.NewKey(of[0], of[1], "whk_1"), time.Minute)
		require.NoError(t, s.Complete(t.Context(), c))
	}
}

func TestTokensRiseAcrossAllCallers(t *testing.T) {
	t.Parallel()
	o := options(t, servicetest.RedisURL(t))
	client := newClient(t, o)
	prefix := redisdedupe.WithPrefix(freshPrefix(t, client))
	stores := []*redisdedupe.Store{newStore(t, client, prefix), newStore(t, newClient(t, o), prefix)}
	var last dedupe.Token
	for i := range 500 {
		c := claim(t, stores[i%2], testKey("rising"), time.Minute)
		require.Greater(t, c.Token, last)
		last = c.Token
		require.NoError(t, stores[(i/2)%2].Release(t.Context(), c))
	}
}

func TestSpansAreRoundedUp(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	client := newClient(t, m.options())
	s := newStore(t, client, redisdedupe.WithTTL(time.Second+1))
	c := claim(t, s, testKey("short"), 1)
	require.Equal(t, 1002*time.Millisecond, m.TTL(redisKey(c.Key)), "the lease, and a TTL from its end on")
	got, err := s.Claim(t.Context(), c.Key, time.Minute)
	require.NoError(t, err)
	require.Equal(t, time.Millisecond, got.RetryAfter, "a lease of a nanosecond")
	require.NoError(t, s.Renew(t.Context(), c, time.Millisecond+1))
	got, err = s.Claim(t.Context(), c.Key, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 2*time.Millisecond, got.RetryAfter)
	require.Equal(t, 1003*time.Millisecond, m.TTL(redisKey(c.Key)))
	m.advance(2 * time.Millisecond)
	require.ErrorIs(t, s.Renew(t.Context(), c, time.Minute), dedupe.ErrLeaseLost, "a lease ends with its last moment")
	require.NoError(t, s.Complete(t.Context(), c))
	require.Equal(t, 1001*time.Millisecond, m.TTL(redisKey(c.Key)))
}

func TestReleaseOfFreeKeyLeavesNothing(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	s := newStore(t, newClient(t, m.options()), redisdedupe.WithTTL(time.Hour))
	c := claim(t, s, testKey("gone"), time.Minute)
	m.advance(2 * time.Hour)
	require.NoError(t, s.Release(t.Context(), c))
	require.Empty(t, m.Keys())
}

// The longest durations have no overflow and keep all digits.
func TestLongestSpans(t *testing.T) {
	t.Parallel()
	client := newClient(t, options(t, servicetest.RedisURL(t)))
	s := newStore(t, client, redisdedupe.WithTTL(math.MaxInt64), redisdedupe.WithPrefix(freshPrefix(t, client)))
	c := claim(t, s, testKey("long"), math.MaxInt64)
	require.NoError(t, s.Renew(t.Context(), c, math.MaxInt64))
	got, err := s.Claim(t.Context(), c.Key, time.Minute)
	require.NoError(t, err)
	require.Greater(t, got.RetryAfter, 99*365*24*time.Hour)
	require.NoError(t, s.Release(t.Context(), c))
	c = claim(t, s, testKey("long"), time.Minute)
	require.NoError(t, s.Complete(t.Context(), c))
	requireState(t, s, c.Key, dedupe.Completed)
}

func TestForeignValuesAreErrors(t *testing.T) {
	t.Parallel()
	client := newClient(t, options(t, servicetest.RedisURL(t)))
	prefix := freshPrefix(t, client)
	s := newStore(t, client, redisdedupe.WithPrefix(prefix))
	for i, value := range []string{"", "x", "-", "1 x", "1 2 3 4", " 1", "1.5", "--1", "1\n"} {
		key := testKey(fmt.Sprint(i))
		name := prefix + string(key[:])
		require.NoError(t, client.Set(t.Context(), name, value, 0).Err())
		c, err := s.Claim(t.Context(), key, time.Minute)
		require.Error(t, err, "%q", value)
		require.Zero(t, c)
		c = dedupe.Claim{Key: key, State: dedupe.Claimed, Token: 1}
		require.Error(t, s.Complete(t.Context(), c), "%q", value)
		require.Error(t, s.Renew(t.Context(), c, time.Minute), "%q", value)
		require.Error(t, s.Release(t.Context(), c), "%q", value)
		require.Equal(t, value, client.Get(t.Context(), name).Val(), "it is left alone")
	}
	key := testKey("hash")
	require.NoError(t, client.HSet(t.Context(), prefix+string(key[:]), "a", "b").Err())
	_, err := s.Claim(t.Context(), key, time.Minute)
	require.ErrorContains(t, err, "WRONGTYPE")
}

func TestClosedClient(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	client := newClient(t, m.options())
	s := newStore(t, client)
	c := claim(t, s, testKey("closed"), time.Minute)
	require.NoError(t, client.Close())
	_, err := s.Claim(t.Context(), c.Key, time.Minute)
	require.ErrorIs(t, err, dedupe.ErrClosed)
	require.ErrorIs(t, s.Complete(t.Context(), c), dedupe.ErrClosed)
}
