package linearize

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/sender/outbox"
)

// The stores, ledgers and outboxes below are broken. The checker must refuse
// each of them.

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
			store := broken(memory)
			requireRefused(t, &claims, func(c client) caller { return newClaimant(c, store).call })
		})
	}
}

func TestChecker_AcceptsMemory(t *testing.T) {
	t.Parallel()
	memory, err := dedupe.NewMemory()
	require.NoError(t, err)
	for n := range 5 {
		require.True(t, linearizable(t, &claims, n, func(c client) caller { return newClaimant(c, memory).call }))
	}
}

// dropping confirms some reports without recording them.
type dropping struct {
	recordKeeper
	reports atomic.Int64
}

func (l *dropping) Record(ctx context.Context, organization string, d *payload.Deployment) (deployments.Recorded, error) {
	if l.reports.Add(1)%10 == 0 {
		return deployments.Recorded{Created: true, Record: deployments.Record{ID: 1, Deployment: d}}, nil
	}
	return l.recordKeeper.Record(ctx, organization, d)
}

// cached reads each record once and never again.
type cached struct {
	recordKeeper
	records sync.Map
}

func (l *cached) Get(ctx context.Context, organization, deploymentID string) (*deployments.Record, error) {
	key := organization + " " + deploymentID
	if r, ok := l.records.Load(key); ok {
		return r.(*deployments.Record), nil
	}
	r, err := l.recordKeeper.Get(ctx, organization, deploymentID)
	if err == nil {
		l.records.Store(key, r)
	}
	return r, err
}

func TestChecker_RefusesBrokenLedgers(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(recordKeeper) recordKeeper{
		"drops reports": func(l recordKeeper) recordKeeper { return &dropping{recordKeeper: l} },
		"reads a cache": func(l recordKeeper) recordKeeper { return &cached{recordKeeper: l} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory, err := deployments.NewMemoryLedger()
			require.NoError(t, err)
			l := broken(memory)
			requireRefused(t, &ledger, func(c client) caller { return (&reporter{c, l}).call })
		})
	}
}

// surprised never says that an event was published before.
type surprised struct{ eventLog }

func (s surprised) Publish(ctx context.Context, e *payload.Event, opts ...outbox.PublishOption) (outbox.Publication, error) {
	p, err := s.eventLog.Publish(ctx, e, opts...)
	p.Duplicate = false
	return p, err
}

// partial leaves out a delivery.
type partial struct{ eventLog }

func (s partial) Deliveries(ctx context.Context, f outbox.DeliveryFilter, p outbox.Page) (outbox.Deliveries, error) {
	d, err := s.eventLog.Deliveries(ctx, f, p)
	d.Items = d.Items[:max(len(d.Items)-1, 0)]
	return d, err
}

func TestChecker_RefusesBrokenOutboxes(t *testing.T) {
	t.Parallel()
	shared := task{Store: "sqlite", Address: filepath.Join(t.TempDir(), "outbox.db")}
	require.NoError(t, createEndpoints(t.Context(), shared))
	o, closeOutbox, err := openOutbox(t.Context(), shared)
	require.NoError(t, err)
	defer func() { require.NoError(t, closeOutbox()) }()
	for name, broken := range map[string]eventLog{
		"publishes twice":    surprised{o.App(app)},
		"forgets a delivery": partial{o.App(app)},
	} {
		t.Run(name, func(t *testing.T) {
			requireRefused(t, &publish, func(c client) caller {
				c.Name = name + c.Name
				return (&publisher{c, broken}).call
			})
		})
	}
}

// requireRefused runs histories until the checker refuses one.
func requireRefused(t *testing.T, s *subject, newCaller func(client) caller) {
	t.Helper()
	for n := 1; linearizable(t, s, n, newCaller); n++ {
		require.Less(t, n, 300, "the checker accepted every history")
	}
}

// linearizable runs and checks one history of a subject.
func linearizable(t *testing.T, s *subject, n int, newCaller func(client) caller) bool {
	t.Helper()
	h := newHistory()
	one := task{
		Name: fmt.Sprint(n), Clients: 4, Calls: 25, Pace: 2 * time.Millisecond,
		Timeout: patience, TTL: dedupe.DefaultTTL, Seed: uint64(n),
	}
	work(t.Context(), one, newCaller, func(l line) { h.add(0, l) })
	ops, err := s.operations(h.happened())
	require.NoError(t, err)
	result := porcupine.CheckOperationsTimeout(s.model(one), ops, checkTime)
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
