package redisdedupe_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
)

func TestZeroStoreNamesItsConstructor(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), dedupe.Claim{Key: testKey("1"), State: dedupe.Claimed, Token: 1}
	for _, s := range []*redisdedupe.Store{nil, {}} {
		_, claimed := s.Claim(ctx, c.Key, time.Minute)
		for _, err := range []error{claimed, s.Renew(ctx, c, time.Minute), s.Complete(ctx, c), s.Release(ctx, c), s.Ready(ctx)} {
			require.ErrorIs(t, err, dedupe.ErrInvalid)
			require.ErrorContains(t, err, "New")
		}
		require.Zero(t, s.TTL())
		require.NoError(t, s.Close())
	}
}

func TestClosedStoreRefusesCalls(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})
	defer client.Close()
	s, err := redisdedupe.New(client)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	ctx, c := t.Context(), dedupe.Claim{Key: testKey("1"), State: dedupe.Claimed, Token: 1}
	_, claimed := s.Claim(ctx, c.Key, time.Minute)
	for _, err := range []error{claimed, s.Renew(ctx, c, time.Minute), s.Complete(ctx, c), s.Release(ctx, c), s.Ready(ctx)} {
		require.ErrorIs(t, err, dedupe.ErrClosed)
	}
	require.NotErrorIs(t, client.Ping(ctx).Err(), redis.ErrClosed, "the client is the caller's")
}
