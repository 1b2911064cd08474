package outbox

import (
	"context"
	"sync"
	"time"
)

// maxCachedStats bounds the Stats in memory.
const maxCachedStats = 1000

// statsCache shares Stats between calls for StatsAge. Concurrent calls about
// the same scope wait for one that counts.
type statsCache struct {
	read func(ctx context.Context, of scope) (Stats, error)

	mu  sync.Mutex
	all map[scope]*cachedStats
}

type cachedStats struct {
	busy  chan struct{} // has an element while a call uses stats
	stats Stats
	at    time.Time // by the monotonic clock
}

func newStatsCache(read func(ctx context.Context, of scope) (Stats, error)) *statsCache {
	return &statsCache{read: read, all: map[scope]*cachedStats{}}
}

// get returns figures that are at most StatsAge old when it is called.
func (c *statsCache) get(ctx context.Context, of scope) (Stats, error) {
	asked := time.Now()
	e := c.entry(of)
	select {
	case e.busy <- struct{}{}:
		defer func() { <-e.busy }()
	case <-ctx.Done():
		return Stats{}, context.Cause(ctx)
	}
	if !e.at.IsZero() && asked.Sub(e.at) < StatsAge {
		return e.stats, nil
	}
	begun := time.Now()
	s, err := c.read(ctx, of)
	if err == nil {
		e.stats, e.at = s, begun
	}
	return s, err
}

func (c *statsCache) entry(of scope) *cachedStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.all[of]
	if e == nil {
		if len(c.all) >= maxCachedStats {
			clear(c.all)
		}
		e = &cachedStats{busy: make(chan struct{}, 1)}
		c.all[of] = e
	}
	return e
}
