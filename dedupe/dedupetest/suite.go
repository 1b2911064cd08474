package dedupetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// Config says what to check and how to make time pass. Only New is required.
type Config struct {
	// New returns a store that is empty, is used by nobody else, and remembers completed deliveries for ttl.
	// It is called once for each check. Clean up with t.Cleanup.
	New func(t testing.TB, ttl time.Duration) Subject

	// NewBounded returns such a store that holds about as many keys as given. Nil leaves out the checks of what a full store
	// does, which is right for stores that are not bounded.
	NewBounded func(t testing.TB, ttl time.Duration, keys int) Subject

	// Around runs one check; synctest.Test fits. Nil runs it as it is.
	Around func(t *testing.T, check func(t *testing.T))

	// Parallel runs the checks at the same time, which saves the waiting where time is real.
	Parallel bool

	// TTL is the one that stores are made with. Zero means 48 hours.
	TTL time.Duration
	// Lease is the one that most claims are made with. Zero means one minute. It should be shorter than TTL.
	Lease time.Duration
	// Slack is how far before and after the end of a lease or a TTL the suite looks. Zero means one millisecond, which fits
	// clocks that stand still between two calls of Advance. It may be half of Lease at most.
	Slack time.Duration

	// Copies is how many callers claim one delivery at the same time. Zero means 1,000, with -short 100.
	Copies int
	// IDs is how many deliveries are claimed like that, one after the other. Zero means 100, with -short 10.
	IDs int
	// Remembered is how many completed deliveries a store is expected to keep, to find those that evict.
	// Zero means 10,000, with -short 1,000.
	Remembered int
}

// Subject is a store under test.
type Subject struct {
	Store dedupe.Store

	// Other is a second instance on the same data, as another process would have it. Nil means Store itself, which is right
	// for stores that are not shared.
	Other dedupe.Store

	// Advance makes the time pass on the store's clock. Nil means time.Sleep.
	Advance func(d time.Duration)
}

// Run checks a store, each rule of the contract in a subtest of its own.
func Run(t *testing.T, c Config) {
	t.Helper()
	c, err := c.withDefaults(testing.Short())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range c.checks() {
		t.Run(k.name, func(t *testing.T) {
			if c.Parallel {
				t.Parallel()
			}
			c.Around(t, func(t *testing.T) {
				if err := k.do(newEnv(t, c)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// check is one rule of the contract. It returns an error instead of failing a test, so that the suite's own tests can
// show that it finds stores which break the rule.
type check struct {
	name string
	run  func(*env)
}

func (c Config) checks() []check {
	var all []check
	all = append(all, claimChecks()...)
	all = append(all, leaseChecks()...)
	all = append(all, fenceChecks()...)
	all = append(all, memoryChecks()...)
	all = append(all, argumentChecks()...)
	all = append(all, concurrencyChecks()...)
	if c.NewBounded != nil {
		all = append(all, boundChecks()...)
	}
	return all
}

// do runs a check up to its first failure.
func (k check) do(e *env) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p
		default:
			panic(p)
		}
	}()
	k.run(e)
	return nil
}

// failure is what env.failf panics with, a full sentence for whoever wrote the store.
type failure string

func failuref(format string, args ...any) failure { return failure(fmt.Sprintf(format, args...)) }

func (f failure) Error() string { return string(f) }

func (c Config) withDefaults(short bool) (Config, error) {
	if c.New == nil {
		return c, errors.New("dedupetest: Config.New is nil; give a function that makes the store to check")
	}
	if c.Around == nil {
		c.Around = func(t *testing.T, check func(t *testing.T)) { check(t) }
	}
	setDefault(&c.TTL, 48*time.Hour, 48*time.Hour, short)
	setDefault(&c.Lease, time.Minute, time.Minute, short)
	setDefault(&c.Slack, time.Millisecond, time.Millisecond, short)
	setDefault(&c.Copies, 1000, 100, short)
	setDefault(&c.IDs, 100, 10, short)
	setDefault(&c.Remembered, 10_000, 1000, short)
	if c.Slack < 0 || c.Slack > c.Lease/2 || c.Lease >= c.TTL {
		return c, fmt.Errorf("dedupetest: Slack %v, Lease %v, TTL %v: want 0 < Slack <= Lease/2 and Lease < TTL",
			c.Slack, c.Lease, c.TTL)
	}
	if c.Copies < 2 || c.IDs < 1 || c.Remembered < 1 {
		return c, fmt.Errorf("dedupetest: Copies %d, IDs %d, Remembered %d: want at least 2, 1 and 1",
			c.Copies, c.IDs, c.Remembered)
	}
	return c, nil
}

func setDefault[T int | time.Duration](v *T, long, brief T, short bool) {
	switch {
	case *v != 0:
	case short:
		*v = brief
	default:
		*v = long
	}
}
