package redisdedupe_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
)

// hook processes a client's commands instead of the server.
type hook func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h(ctx, cmd, next) }
}

func TestEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	client := newClient(t, m.options())
	var sent atomic.Int64
	s := newStore(t, client)
	c := claim(t, s, testKey("held"), time.Minute)
	client.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		sent.Add(1)
		return next(ctx, cmd)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Claim(ctx, c.Key, time.Minute)
	for _, err := range []error{err, s.Renew(ctx, c, time.Minute), s.Complete(ctx, c), s.Release(ctx, c), s.Ready(ctx)} {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Zero(t, sent.Load())
}

// lateContext is a context whose deadline has just passed, before its own timer
// has noticed.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now(), true }

func TestConnectionNoticesTheDeadlineFirst(t *testing.T) {
	t.Parallel()
	client := newClient(t, newMini(t).options())
	client.AddHook(hook(func(context.Context, redis.Cmder, redis.ProcessHook) error { return os.ErrDeadlineExceeded }))
	s := newStore(t, client)
	_, err := s.Claim(lateContext{t.Context()}, testKey("late"), time.Minute)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.Claim(t.Context(), testKey("late"), time.Minute)
	require.NotErrorIs(t, err, context.DeadlineExceeded, "the client's own limit, not the caller's")
}

// The store returns an answer that has arrived, even if the context has ended.
// Otherwise the caller would not know that it holds the claim.
func TestStore_ReturnsLateAnswer(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	client := newClient(t, m.options())
	s := newStore(t, client)
	// so that the next one is a single command
	claim(t, s, testKey("scripts"), time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	client.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		defer cancel()
		return next(ctx, cmd)
	}))
	c, err := s.Claim(ctx, testKey("late"), time.Minute)
	require.NoError(t, err)
	require.Equal(t, dedupe.Claimed, c.State)
	require.Error(t, ctx.Err())
}

// An answer that no supported server gives must not grant rights.
func TestStore_UnexpectedAnswerIsError(t *testing.T) {
	t.Parallel()
	m := newMini(t)
	s := newStore(t, newClient(t, m.options()))
	var answer string
	m.Server().SetPreHook(func(p *server.Peer, command string, _ ...string) bool {
		if !strings.HasPrefix(strings.ToUpper(command), "EVAL") {
			return false
		}
		p.WriteRaw(answer + "\r\n")
		return true
	})
	held := dedupe.Claim{Key: testKey("strange"), State: dedupe.Claimed, Token: 1}
	for _, answer = range []string{
		"$-1", "*-1", "_", "+OK", "$2\r\nOK", "*0", "*2\r\n:1\r\n:1", ":0", ":", ":one", ":1.5", ":9223372036854775808", "#t",
		"-READONLY You can't write against a read only replica.",
	} {
		c, err := s.Claim(t.Context(), held.Key, time.Minute)
		require.Error(t, err, "%q", answer)
		require.Zero(t, c)
		require.Error(t, s.Renew(t.Context(), held, time.Minute), "%q", answer)
		require.Error(t, s.Complete(t.Context(), held), "%q", answer)
		require.Error(t, s.Release(t.Context(), held), "%q", answer)
	}
	// Only a claim can return a token or the rest of a lease.
	for _, answer = range []string{":-1", ":3", ":1764000000000000"} {
		require.Error(t, s.Renew(t.Context(), held, time.Minute), "%q", answer)
		require.Error(t, s.Complete(t.Context(), held), "%q", answer)
		require.Error(t, s.Release(t.Context(), held), "%q", answer)
	}
}

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	info := ""
	m := newMini(t)
	client := newClient(t, m.options())
	client.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if c, ok := cmd.(*redis.StringCmd); ok && strings.EqualFold(cmd.Name(), "info") {
			c.SetVal(info)
			return nil
		}
		return next(ctx, cmd)
	}))
	s := newStore(t, client)
	for text, safe := range map[string]bool{
		"# Server\r\nredis_version:7.2.4\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n": true,
		"redis_version:5.0.0\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n":                        true,
		"redis_version:10.0.0\nmaxmemory:1\nmaxmemory_policy:noeviction\n":                              true,
		"redis_version:4.0.14\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n":                        false,
		"redis_version:\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n":                              false,
		"maxmemory:0\r\nmaxmemory_policy:noeviction\r\n":                                                false,
		// a proxy that reports no memory settings
		"redis_version:7.0.0\r\n": false,
		"":                        false,
	} {
		info = text
		err := s.Ready(t.Context())
		if safe {
			require.NoError(t, err, "%q", text)
		} else {
			require.ErrorIs(t, err, redisdedupe.ErrUnsafe, "%q", text)
		}
	}
}
