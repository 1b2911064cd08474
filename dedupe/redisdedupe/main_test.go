package redisdedupe_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/internal/leaktest"
)

// Most tests wait for a real server's clock, which needs no CPU, so more of
// them run at the same time.
func TestMain(m *testing.M) {
	leaktest.Parallel(32)
	redis.SetLogger(silent{}) // it would log each connection that a test cuts
	leaktest.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// patience limits waits on a machine with other users. Only a hang exceeds it.
const patience = 10 * time.Minute

// options parses a server's URL as the package documentation shows.
func options(t testing.TB, url string) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	o.ContextTimeoutEnabled = true
	return o
}

func newClient(t testing.TB, o *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newStore(t testing.TB, c redis.UniversalClient, opts ...redisdedupe.Option) *redisdedupe.Store {
	t.Helper()
	s, err := redisdedupe.New(c, opts...)
	require.NoError(t, err)
	return s
}

// freshPrefix returns an unused prefix, and removes its keys when the test
// ends.
func freshPrefix(t testing.TB, c redis.UniversalClient) string {
	prefix := "test:" + rand.Text() + ":"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if cluster, ok := c.(*redis.ClusterClient); ok {
			_ = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return remove(ctx, c, prefix) })
			return
		}
		_ = remove(ctx, c, prefix)
	})
	return prefix
}

func remove(ctx context.Context, c redis.UniversalClient, prefix string) error {
	keys, cursor := []string(nil), uint64(0)
	for {
		var err error
		if keys, cursor, err = c.Scan(ctx, cursor, prefix+"*", 1000).Result(); err != nil {
			return err
		}
		pipe := c.Pipeline()
		for _, key := range keys {
			pipe.Unlink(ctx, key)
		}
		if _, err := pipe.Exec(ctx); err != nil && len(keys) > 0 {
			return err
		}
		if cursor == 0 {
			return nil
		}
	}
}

func testKey(id string) dedupe.Key { return dedupe.NewKey("test", "acme", id) }

func claim(t testing.TB, s dedupe.Store, key dedupe.Key, lease time.Duration) dedupe.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), key, lease)
	require.NoError(t, err)
	require.Equal(t, dedupe.Claimed, c.State)
	return c
}

func requireState(t testing.TB, s dedupe.Store, key dedupe.Key, want dedupe.State) {
	t.Helper()
	c, err := s.Claim(t.Context(), key, time.Minute)
	require.NoError(t, err)
	require.Equal(t, want, c.State)
}
