package dedupetest

import (
	"sync"
	"sync/atomic"

	"github.com/deployhook/deployhook/dedupe"
)

// concurrencyChecks have many concurrent callers. Their leases never end during
// a check, however slow the machine is.
func concurrencyChecks() []check {
	return []check{
		{"one of many copies is handled", oneOfManyCopies},
		{"one of many callers takes over", oneTakesOver},
		{"one caller at a time holds a key", mutualExclusion},
	}
}

// instance distributes callers over both instances of a store.
func (e *env) instance(i int) dedupe.Store {
	if i%2 == 0 {
		return e.store
	}
	return e.other
}

// together runs n calls that start at the same time, and fails the check with
// the first error.
func (e *env) together(n int, call func(i int) error) {
	var (
		ready, done sync.WaitGroup
		start       = make(chan struct{})
		errs        = make([]error, n)
	)
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = call(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	for _, err := range errs {
		if err != nil {
			e.failf("%v", err)
		}
	}
}

// claimAtOnce claims a key, and reports an invalid result.
func (e *env) claimAtOnce(i int, k dedupe.Key) (dedupe.Claim, error) {
	c, err := e.instance(i).Claim(e.ctx, k, e.amply)
	if err != nil {
		return c, failuref("Claim: %v; one of many callers must get the same answer as a single caller", err)
	}
	if problem := malformed(c, k); problem != "" {
		return c, failuref("Claim returned %+v: %s", c, problem)
	}
	return c, nil
}

func oneOfManyCopies(e *env) {
	for id := range e.IDs {
		k := numbered(id)
		var effects atomic.Int64
		e.together(e.Copies, func(i int) error {
			c, err := e.claimAtOnce(i, k)
			if err != nil || c.State != dedupe.Claimed {
				return err
			}
			effects.Add(1)
			if err := e.instance(i).Complete(e.ctx, c); err != nil {
				return failuref("Complete: %v; the caller holds the claim", err)
			}
			return nil
		})
		if n := effects.Load(); n != 1 {
			e.failf("%d of %d concurrent copies of one delivery were claimed: it must be exactly one", n, e.Copies)
		}
		e.completed(k, "one of the copies was handled")
	}
}

func oneTakesOver(e *env) {
	k := key("takeover")
	slow := e.first(k)
	e.advance(e.Lease + e.Slack)
	var (
		claims  atomic.Int64
		current atomic.Pointer[dedupe.Claim]
	)
	e.together(e.Copies, func(i int) error {
		c, err := e.claimAtOnce(i, k)
		if err == nil && c.State == dedupe.Claimed {
			claims.Add(1)
			current.Store(&c)
		}
		return err
	})
	if n := claims.Load(); n != 1 {
		e.failf("%d of %d callers took over an ended lease: it must be exactly one", n, e.Copies)
	}
	e.rising(slow, *current.Load())
	e.lost("Complete by the slow worker", e.store.Complete(e.ctx, slow), "another caller has taken the delivery over")
	e.ok("Complete by the successor", e.store.Complete(e.ctx, *current.Load()), "it holds the claim")
}

// mutualExclusion has callers repeatedly claim, renew and release a few keys.
func mutualExclusion(e *env) {
	const keys, rounds = 3, 20
	var (
		holders [keys]atomic.Int64
		latest  [keys]atomic.Int64
	)
	e.together(min(e.Copies, 100), func(i int) error {
		for round := range rounds {
			n := (i + round) % keys
			c, err := e.claimAtOnce(i, numbered(n))
			if err != nil {
				return err
			}
			if c.State != dedupe.Claimed {
				continue
			}
			if holders[n].Add(1) != 1 {
				return failuref("two callers hold the same key at the same time")
			}
			if before := latest[n].Swap(int64(c.Token)); before >= int64(c.Token) {
				return failuref("token %d of a later claim follows token %d", c.Token, before)
			}
			if err := e.instance(i+1).Renew(e.ctx, c, e.amply); err != nil {
				return failuref("Renew: %v; the caller holds the claim", err)
			}
			holders[n].Add(-1)
			if err := e.instance(i+round).Release(e.ctx, c); err != nil {
				return failuref("Release: %v; the caller holds the claim", err)
			}
		}
		return nil
	})
}
