package dedupetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// Config sets the store to check and how time passes. Only New is required. Run
// refuses negative numbers and durations.
type Config struct {
	// New returns an empty store that has no other users and remembers
	// completed deliveries for ttl. Run calls it once for each check. Clean up
	// with t.Cleanup.
	New func(t testing.TB, ttl time.Duration) Subject

	// NewBounded returns such a store with a capacity of about the given number
	// of keys. If it is nil, Run skips the checks of full stores. Leave it nil
	// for stores without a capacity.
	NewBounded func(t testing.TB, ttl time.Duration, keys int) Subject

	// Around runs one check, as synctest.Test does. If it is nil, Run calls the
	// check directly.
	Around func(t *testing.T, check func(t *testing.T))

	// Parallel runs the checks at the same time, which shortens the wait if the
	// time is real.
	Parallel bool

	// TTL is the TTL of the stores. Zero means 48 hours.
	TTL time.Duration
	// Lease is the lease of most claims. It must be shorter than TTL. Zero
	// means one minute.
	Lease time.Duration
	// Slack is how long before and after the end of a lease or a TTL the suite
	// looks. It may be at most half of Lease. Zero means one millisecond, which
	// suits clocks that stand still between two calls of Advance.
	Slack time.Duration

	// Copies is the number of callers that claim one delivery at the same time,
	// at least 2. Zero means 1,000, or 100 with -short.
	Copies int
	// IDs is the number of deliveries that are claimed in this way, one after
	// the other. Zero means 100, or 10 with -short.
	IDs int
	// Remembered is the number of completed deliveries that a store must keep,
	// to find stores that evict. Zero means 10,000, or 1,000 with -short.
	Remembered int
}

// Subject is a store under test.
type Subject struct {
	// Store is the store to check. Required.
	Store dedupe.Store

	// Other is a second instance with the same data, as in another process. Nil
	// means Store itself, for stores that are not shared.
	Other dedupe.Store

	// Advance lets time pass on the store's clock. Nil means time.Sleep.
	Advance func(d time.Duration)
}

// Run checks a store, each rule of the contract in a separate subtest.
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

// check is one rule of the contract. It returns an error instead of failing a
// test. The suite's own tests can then show that it finds stores that break the
// rule.
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

// do runs a check until its first failure.
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

// failure is the panic value of env.failf. It is a full sentence for the author
// of the store.
type failure string

func failuref(format string, args ...any) failure { return failure(fmt.Sprintf(format, args...)) }

func (f failure) Error() string { return string(f) }

func (c Config) withDefaults(short bool) (Config, error) {
	if c.New == nil {
		return c, errors.New("dedupetest: Config.New is nil; set it to a function that creates the store to check")
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
