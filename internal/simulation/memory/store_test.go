package memory

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/simulation/sim"
)

// The faults of the store. The names begin with the part that fails.
const (
	storeFails  = "store: fails"
	storeHangs  = "store: hangs"
	storeSlow   = "store: a call waits before it takes effect"
	storeLate   = "store: the answer waits after the call took effect"
	storeLoses  = "store: takes effect and loses the answer"
	storePanics = "store: panics"
	storeOutage = "store: a process can't reach it for a while"
)

var storeFaults = []string{storeFails, storeHangs, storeSlow, storeLate, storeLoses, storePanics}

var (
	errStore = errors.New("the store failed")
	errLost  = errors.New("the connection to the store broke")
)

// sharedStore is a dedupe.Memory with the model that each answer must fit. It
// stands for a store that its receivers share, or for the memory of one
// process.
type sharedStore struct {
	w      *sim.World
	memory *dedupe.Memory
	odds   float64 // of a fault in a call

	mu    sync.Mutex
	rand  *rand.Rand
	model model
	calm  *calm
}

func newStore(w *sim.World, name string, ttl time.Duration, capacity int, odds float64, c *calm) *sharedStore {
	m, err := dedupe.NewMemory(dedupe.WithTTL(ttl), dedupe.WithCapacity(capacity))
	if err != nil {
		panic(err) // a mistake of the world
	}
	return &sharedStore{w: w, memory: m, odds: odds, calm: c, rand: w.Rand(name), model: model{w: w, ttl: ttl, capacity: capacity, keys: map[dedupe.Key]*entry{}}}
}

// client is the store as one process sees it.
type client struct {
	*sharedStore
	process *sim.Process
	effects *effects
	outage  atomic.Bool
}

var _ dedupe.Store = (*client)(nil)

func (c *client) TTL() time.Duration { return c.memory.TTL() }

// call makes one call with the fault that the seed chose for it.
func (c *client) call(ctx context.Context, do func() error) error {
	kind, wait := c.fault()
	if kind != "" {
		c.w.Fault(kind)
	}
	if c.outage.Load() {
		kind = storeHangs
	}
	switch kind {
	case storeFails:
		return errStore
	case storePanics:
		panic("the store's client is broken")
	case storeHangs:
		<-ctx.Done()
		return ctx.Err()
	case storeSlow:
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
	if !c.process.Alive() {
		return sim.ErrKilled
	}
	err := do()
	switch kind {
	case storeLoses:
		return errLost
	case storeLate:
		if late := pause(ctx, wait); late != nil {
			return late
		}
	}
	if !c.process.Alive() {
		return sim.ErrKilled
	}
	return err
}

func (c *client) fault() (kind string, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, i, n := c.rand.Float64(), c.rand.IntN(len(storeFaults)), c.rand.Int64N(int64(6*time.Second))
	if f >= c.odds || c.calm.before(time.Now(), 0) {
		return "", 0
	}
	return storeFaults[i], time.Duration(n)
}

// cutOff makes the store unreachable for one process.
func (c *client) cutOff(away bool) {
	if away {
		c.w.Fault(storeOutage)
	}
	c.outage.Store(away)
}

// ended reports whether a call had no effect because its context had ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *client) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (claim dedupe.Claim, err error) {
	err = c.call(ctx, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		claim, err = c.memory.Claim(ctx, key, lease)
		if !ended(err) {
			c.model.claim(key, lease, claim, err)
		}
		return err
	})
	if err != nil {
		return dedupe.Claim{}, err
	}
	return claim, nil
}

func (c *client) Renew(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
	return c.call(ctx, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		err := c.memory.Renew(ctx, claim, lease)
		if !ended(err) {
			c.model.renew(claim, lease, err)
		}
		return err
	})
}

func (c *client) Complete(ctx context.Context, claim dedupe.Claim) error {
	c.effects.excuse(claim.Key, "its completion is not known")
	return c.call(ctx, func() error { return c.complete(ctx, claim, func() {}) })
}

// complete completes the claim, and has the effect in the same transaction.
func (c *client) complete(ctx context.Context, claim dedupe.Claim, effect func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.memory.Complete(ctx, claim)
	if ended(err) {
		return err
	}
	c.model.complete(claim, err)
	if err == nil {
		effect()
		c.effects.completed(claim.Key)
	}
	return err
}

// transact is what a handler does that completes its claim with its effect.
func (c *client) transact(ctx context.Context, claim dedupe.Claim, effect func()) error {
	return c.call(ctx, func() error { return c.complete(ctx, claim, effect) })
}

func (c *client) Release(ctx context.Context, claim dedupe.Claim) error {
	return c.call(ctx, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		err := c.memory.Release(ctx, claim)
		if !ended(err) {
			c.model.release(claim, err)
		}
		return err
	})
}
