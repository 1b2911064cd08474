package redisdedupe_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// lossy is a store whose answers can be lost, and a second store with the same
// keys that shows the real state.
type lossy struct {
	*proxy
	store, direct *redisdedupe.Store
}

func newLossy(t testing.TB, maxRetries int, opts ...redisdedupe.Option) *lossy {
	t.Helper()
	o := options(t, servicetest.RedisURL(t))
	direct := newClient(t, o)
	opts = append(opts, redisdedupe.WithPrefix(freshPrefix(t, direct)))
	p := newProxy(t, o.Addr)
	through := *o
	through.Addr, through.MaxRetries = p.addr(), maxRetries
	l := &lossy{p, newStore(t, newClient(t, &through), opts...), newStore(t, direct, opts...)}
	// The server must know the scripts, so that a lost answer belongs to a
	// script that ran.
	c := claim(t, l.direct, testKey("scripts"), time.Minute)
	require.NoError(t, l.direct.Renew(t.Context(), c, time.Minute))
	require.NoError(t, l.direct.Release(t.Context(), c))
	require.NoError(t, l.direct.Complete(t.Context(), c))
	return l
}

func (l *lossy) lose(t testing.TB, n int64) {
	l.lost.Store(0)
	l.loseAnswers.Store(n)
	t.Cleanup(func() { l.loseAnswers.Store(0) })
}

// The client library repeats a command without an answer. A claim that took
// effect must then recognize itself.
func TestClaim_RepeatedCommandFindsItself(t *testing.T) {
	t.Parallel()
	l := newLossy(t, 3)
	key := testKey("repeated")

	l.lose(t, 2)
	c := claim(t, l.store, key, time.Minute)
	require.EqualValues(t, 2, l.lost.Load())
	requireState(t, l.direct, key, dedupe.InFlight)

	l.lose(t, 2)
	require.NoError(t, l.store.Renew(t.Context(), c, 2*time.Minute))
	require.EqualValues(t, 2, l.lost.Load())

	l.lose(t, 2)
	require.NoError(t, l.store.Release(t.Context(), c))
	require.EqualValues(t, 2, l.lost.Load())
	again := claim(t, l.direct, key, time.Minute)
	require.Greater(t, again.Token, c.Token)

	l.lose(t, 2)
	require.NoError(t, l.store.Complete(t.Context(), again))
	require.EqualValues(t, 2, l.lost.Load())
	requireState(t, l.direct, key, dedupe.Completed)
}

// A repeated claim must not mistake another call's claim for its own.
func TestClaim_RepeatedCommandDoesNotFindAnother(t *testing.T) {
	t.Parallel()
	l := newLossy(t, 3)
	claim(t, l.direct, testKey("other"), time.Minute)
	l.lose(t, 2)
	requireState(t, l.store, testKey("other"), dedupe.InFlight)
	require.EqualValues(t, 2, l.lost.Load())
}

// A caller that gets an error does not know whether the call took effect.
// Repeating the call tells.
func TestStore_LostAnswerIsError(t *testing.T) {
	t.Parallel()
	l := newLossy(t, -1)
	key, lease := testKey("lost"), 8*time.Second
	for {
		l.lose(t, 1)
		begun := time.Now()
		c, err := l.store.Claim(t.Context(), key, lease)
		require.Error(t, err)
		require.Zero(t, c, "an error gives no rights")
		// the lost claim, until its lease ends
		c, err = l.store.Claim(t.Context(), key, time.Minute)
		require.NoError(t, err)
		if c.State == dedupe.InFlight {
			break
		}
		require.GreaterOrEqual(t, time.Since(begun), lease, "the lost claim is forgotten")
		require.Less(t, lease, patience)
		require.NoError(t, l.store.Release(t.Context(), c)) // a slow machine needs a longer lease
		lease *= 2
	}
	var c dedupe.Claim
	require.Eventually(t, func() bool {
		var err error
		c, err = l.store.Claim(t.Context(), key, time.Minute)
		return err == nil && c.State == dedupe.Claimed
	}, patience, 50*time.Millisecond)

	for _, call := range []struct {
		name string
		run  func(ctx context.Context) error
		then dedupe.State
	}{
		{"Renew", func(ctx context.Context) error { return l.store.Renew(ctx, c, time.Minute) }, dedupe.InFlight},
		{"Complete", func(ctx context.Context) error { return l.store.Complete(ctx, c) }, dedupe.Completed},
	} {
		l.lose(t, 1)
		require.Error(t, call.run(t.Context()), call.name)
		requireState(t, l.direct, key, call.then)
		require.NoError(t, call.run(t.Context()), call.name)
		requireState(t, l.direct, key, call.then)
	}

	c = claim(t, l.store, testKey("released"), time.Minute)
	l.lose(t, 1)
	require.Error(t, l.store.Release(t.Context(), c))
	require.NoError(t, l.store.Release(t.Context(), c))
	claim(t, l.direct, testKey("released"), time.Minute)
}

func TestSeveredConnection(t *testing.T) {
	t.Parallel()
	l := newLossy(t, -1)
	c := claim(t, l.store, testKey("severed"), time.Minute)
	l.sever()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.Error(t, l.store.Complete(ctx, c))
	requireState(t, l.direct, c.Key, dedupe.InFlight)
	l.restore()
	require.Eventually(t, func() bool { return l.store.Complete(t.Context(), c) == nil }, patience, 20*time.Millisecond)
	requireState(t, l.direct, c.Key, dedupe.Completed)
}
