package linearize

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
)

// The stores below are broken. The checker must refuse each of them.

// tokenless releases a key without comparing the token.
type tokenless struct {
	dedupe.Store
	mu     sync.Mutex
	latest map[dedupe.Key]dedupe.Claim
}

func (s *tokenless) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	c, err := s.Store.Claim(ctx, key, lease)
	if c.State == dedupe.Claimed {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.latest[key] = c
	}
	return c, err
}

func (s *tokenless) Release(ctx context.Context, c dedupe.Claim) error {
	s.mu.Lock()
	c = s.latest[c.Key]
	s.mu.Unlock()
	return s.Store.Release(ctx, c)
}

// forgetful releases a key instead of completing it.
type forgetful struct{ dedupe.Store }

func (s forgetful) Complete(ctx context.Context, c dedupe.Claim) error {
	return s.Store.Release(ctx, c)
}

// hasty ends leases too early.
type hasty struct{ dedupe.Store }

func (s hasty) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	return s.Store.Claim(ctx, key, lease/8)
}

// lazy completes a key only after it has returned.
type lazy struct {
	dedupe.Store
	late *sync.WaitGroup
}

func (s lazy) Complete(ctx context.Context, c dedupe.Claim) error {
	s.late.Go(func() {
		pause(ctx, 5*time.Millisecond)
		_ = s.Store.Complete(context.WithoutCancel(ctx), c)
	})
	return nil
}

// sameToken gives every claim of a key the same token.
type sameToken struct{ dedupe.Store }

func (s sameToken) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	c, err := s.Store.Claim(ctx, key, lease)
	if c.State == dedupe.Claimed {
		c.Token = 1
	}
	return c, err
}

// zombie says that a renewal succeeded even if the lease had ended.
type zombie struct{ dedupe.Store }

func (s zombie) Renew(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	_ = s.Store.Renew(ctx, c, lease)
	return nil
}

func TestChecker_RefusesBrokenStores(t *testing.T) {
	t.Parallel()
	var late sync.WaitGroup
	for name, broken := range map[string]func(dedupe.Store) dedupe.Store{
		"releases without the token": func(s dedupe.Store) dedupe.Store {
			return &tokenless{Store: s, latest: make(map[dedupe.Key]dedupe.Claim)}
		},
		"forgets completions":      func(s dedupe.Store) dedupe.Store { return forgetful{s} },
		"ends leases early":        func(s dedupe.Store) dedupe.Store { return hasty{s} },
		"completes late":           func(s dedupe.Store) dedupe.Store { return lazy{s, &late} },
		"repeats tokens":           func(s dedupe.Store) dedupe.Store { return sameToken{s} },
		"renews leases that ended": func(s dedupe.Store) dedupe.Store { return zombie{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory, err := dedupe.NewMemory()
			require.NoError(t, err)
			defer late.Wait()
			for n := 1; ; n++ {
				require.LessOrEqual(t, n, 300, "the checker accepted every history")
				if !linearizable(t, broken(memory), n) {
					t.Logf("refused history %d", n)
					return
				}
			}
		})
	}
}

func TestChecker_AcceptsMemory(t *testing.T) {
	t.Parallel()
	memory, err := dedupe.NewMemory()
	require.NoError(t, err)
	for n := range 5 {
		require.True(t, linearizable(t, memory, n))
	}
}

// linearizable runs and checks one history on a store.
func linearizable(t *testing.T, s dedupe.Store, n int) bool {
	t.Helper()
	h := newHistory()
	work := func(process int) {
		work(t.Context(), task{
			Name: fmt.Sprint(n), Process: process, Clients: 4, Calls: 25, Pace: 2 * time.Millisecond,
			Timeout: patience, TTL: dedupe.DefaultTTL, Seed: uint64(n),
		}, func(c client) caller { return newClaimant(c, s).call }, func(l line) { h.add(process, l) })
	}
	work(0)
	ops, err := claims.operations(h.happened())
	require.NoError(t, err)
	result := porcupine.CheckOperationsTimeout(claims.model(task{TTL: dedupe.DefaultTTL}), ops, patience)
	require.NotEqual(t, porcupine.Unknown, result)
	return result == porcupine.Ok
}

// A replica that takes over may lack the latest writes, but no others.
func TestChecker_BoundsFailovers(t *testing.T) {
	t.Parallel()
	const key, since = "key", int64(100 * time.Second)
	at := func(second int64, in claimInput, out claimOutput) porcupine.Operation {
		in.Key = key
		from := second * int64(time.Second)
		to := from + int64(time.Millisecond)
		return porcupine.Operation{Input: timed[claimInput]{in, from, to}, Call: from, Output: out, Return: to}
	}
	history := func(completedAt int64, after claimOutput) []porcupine.Operation {
		return []porcupine.Operation{
			at(1, claimInput{Method: claim, Lease: time.Hour}, claimOutput{Result: claimed, Token: 1}),
			at(completedAt, claimInput{Method: complete, Token: 1}, claimOutput{Result: done}),
			at(200, claimInput{Method: failOver}, claimOutput{}),
			at(201, claimInput{Method: claim, Lease: time.Hour}, after),
		}
	}
	model := claimsModel{dedupe.DefaultTTL}.failover(since)
	claimedBefore := claimOutput{Result: inFlight, RetryAfter: time.Hour - 200*time.Second}
	require.True(t, porcupine.CheckOperations(model, history(150, claimedBefore)), "the completion is lost")
	require.True(t, porcupine.CheckOperations(model, history(150, claimOutput{Result: completed})), "nothing is lost")
	require.False(t, porcupine.CheckOperations(model, history(50, claimedBefore)), "the replica had the completion")
	require.False(t, porcupine.CheckOperations(model, history(150, claimOutput{Result: claimed, Token: 2})), "the replica had the claim")
}
