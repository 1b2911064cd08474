package linearize

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
)

// claims tests the implementations of dedupe.Store.
var claims = subject{
	name:       "claims",
	open:       openClaims,
	operations: claimOperations,
	model:      func(t task) porcupine.Model { return claimsModel{t.TTL}.model() },
}

// connections is the number of database connections of a process.
const connections = 4

func openClaims(ctx context.Context, t task) (func(client) caller, func() error, error) {
	store, closeStore, err := openStore(ctx, t)
	return func(c client) caller { return newClaimant(c, store).call }, closeStore, err
}

func openStore(ctx context.Context, t task) (dedupe.Store, func() error, error) {
	switch t.Store {
	case "memory":
		s, err := dedupe.NewMemory(dedupe.WithTTL(t.TTL))
		return s, s.Close, err
	case "sqlite":
		s, err := sqldedupe.OpenSQLite(ctx, t.Address, sqldedupe.WithTTL(t.TTL))
		return s, s.Close, err
	case "postgres":
		db, err := sql.Open("pgx", t.Address)
		if err != nil {
			return nil, nil, err
		}
		db.SetMaxOpenConns(connections)
		s, err := sqldedupe.NewPostgres(ctx, db, sqldedupe.WithTTL(t.TTL))
		return s, func() error { return errors.Join(s.Close(), db.Close()) }, err
	case "redis":
		o, err := redis.ParseURL(t.Address)
		if err != nil {
			return nil, nil, err
		}
		// Every call is one request, so that each has one effect at most.
		o.ContextTimeoutEnabled, o.MaxRetries, o.PoolSize = true, -1, connections
		return openRedis(redis.NewClient(o), t)
	case "sentinel":
		return openRedis(newFailoverClient(t.Address, connections), t)
	}
	return nil, nil, fmt.Errorf("no store is named %q", t.Store)
}

// newFailoverClient returns a client of the master that a Sentinel names.
func newFailoverClient(sentinel string, connections int) *redis.Client {
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: masterName, SentinelAddrs: []string{sentinel},
		ContextTimeoutEnabled: true, MaxRetries: -1, PoolSize: connections,
	})
}

func openRedis(c redis.UniversalClient, t task) (dedupe.Store, func() error, error) {
	s, err := redisdedupe.New(c, redisdedupe.WithTTL(t.TTL))
	return s, c.Close, err
}

// claimant is a client that also makes the mistakes of workers. It claims keys
// that it holds, and uses claims whose lease has ended or that it has released
// or completed.
type claimant struct {
	client
	store dedupe.Store
	first int // the keys before it are completed
	held  []heldClaim
}

type heldClaim struct {
	key string
	dedupe.Claim
}

func newClaimant(c client, s dedupe.Store) *claimant { return &claimant{client: c, store: s} }

// leases are around the length of a history, and far above it.
var leases = []time.Duration{20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond, time.Minute}

func (c *claimant) call(ctx context.Context) fate {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	lease := leases[c.random.IntN(len(leases))]
	if len(c.held) == 0 || c.random.IntN(2) == 0 {
		return c.claim(ctx, lease)
	}
	// Mostly the latest claim, and sometimes an old one.
	i := len(c.held) - 1
	if c.random.IntN(3) == 0 {
		i = c.random.IntN(len(c.held))
	}
	h := c.held[i]
	switch n := c.random.IntN(10); {
	case n < 3:
		return c.settle(claimInput{Method: renew, Key: h.key, Token: int64(h.Token), Lease: lease}, func() error {
			return c.store.Renew(ctx, h.Claim, lease)
		})
	case n < 5:
		return c.settle(claimInput{Method: complete, Key: h.key, Token: int64(h.Token)}, func() error {
			return c.store.Complete(ctx, h.Claim)
		})
	}
	return c.settle(claimInput{Method: release, Key: h.key, Token: int64(h.Token)}, func() error {
		return c.store.Release(ctx, h.Claim)
	})
}

// claim claims one of the three first keys that are not completed, or sometimes
// one of all.
func (c *claimant) claim(ctx context.Context, lease time.Duration) fate {
	n := c.first + c.random.IntN(3)
	if c.random.IntN(6) == 0 {
		n = c.random.IntN(n + 1)
	}
	key := fmt.Sprintf("%s-%d", c.Name, n)
	return c.journal.call(c.number, claimInput{Method: claim, Key: key, Lease: lease}, func() (any, fate) {
		got, err := c.store.Claim(ctx, dedupe.NewKey("linearize", "", key), lease)
		switch {
		case err != nil:
			return failure(err)
		case got.State == dedupe.Claimed:
			c.held = append(c.held, heldClaim{key, got})
			return claimOutput{Result: claimed, Token: int64(got.Token)}, answered
		case got.State == dedupe.Completed:
			if n == c.first {
				c.first++
			}
			return claimOutput{Result: completed}, answered
		case got.RetryAfter == time.Second && c.Store == "postgres":
			return claimOutput{Result: busy}, answered
		}
		return claimOutput{Result: inFlight, RetryAfter: got.RetryAfter}, answered
	})
}

func (c *claimant) settle(in claimInput, do func() error) fate {
	return c.journal.call(c.number, in, func() (any, fate) {
		err := do()
		switch {
		case err == nil:
			return claimOutput{Result: done}, answered
		case errors.Is(err, dedupe.ErrLeaseLost):
			return claimOutput{Result: leaseLost}, answered
		}
		return failure(err)
	})
}

// failure returns the output and the fate of a failed call. No call may return
// an error about its arguments or a closed store, so the model refuses these.
func failure(err error) (any, fate) {
	for _, never := range []error{dedupe.ErrInvalid, dedupe.ErrClosed, dedupe.ErrFull, dedupe.ErrLeaseLost} {
		if errors.Is(err, never) {
			return claimOutput{Result: err.Error()}, answered
		}
	}
	return nil, fateOf(err)
}

func claimOperations(calls []*call) ([]porcupine.Operation, error) {
	ops, err := operations[claimInput, claimOutput](calls)
	if err != nil {
		return nil, err
	}
	for i, op := range ops {
		if op.Output.(claimOutput).Result == busy && !contended(op, ops) {
			ops[i].Output = claimOutput{Result: inFlight, RetryAfter: time.Second}
		}
	}
	return ops, nil
}

// contended reports whether another call of the same key was running during a
// call. On PostgreSQL, Claim may then find the row of a free key locked, and
// say that the delivery is in flight. That is documented.
func contended(op porcupine.Operation, all []porcupine.Operation) bool {
	key := op.Input.(timed[claimInput]).in.Key
	for _, other := range all {
		if other.Input != op.Input && other.Input.(timed[claimInput]).in.Key == key && other.Call <= op.Return && other.Return >= op.Call {
			return true
		}
	}
	return false
}

// withEvents adds what happened to the server to the calls about each key.
func withEvents(ops []porcupine.Operation, events []event) []porcupine.Operation {
	all, seen := slices.Clone(ops), make(map[string]bool)
	for _, op := range ops {
		key := op.Input.(timed[claimInput]).in.Key
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, e := range events {
			in := timed[claimInput]{claimInput{Method: e.method, Key: key}, e.from, e.to}
			all = append(all, porcupine.Operation{ClientId: serverID, Input: in, Call: e.from, Output: claimOutput{}, Return: e.to})
		}
	}
	return all
}

// serverID is the client of what happened to the server.
const serverID = 9 * clientsPerProcess
