package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
)

const (
	// maxCachedStats bounds the Stats in memory.
	maxCachedStats = 1000
	// refreshAfter is the age at which Stats are read again in the background. The
	// rest of StatsAge is the time for the read.
	refreshAfter = StatsAge / 2
	// refreshFor is how long after the last call Stats are kept fresh.
	refreshFor = 30 * time.Second
	// refreshShare bounds the background reads. After each, there is a pause of
	// this many times its duration.
	refreshShare = 3
	// statsTimeout bounds one read.
	statsTimeout = time.Minute
)

// statsCache shares Stats between calls for StatsAge. It reads those again in
// the background that were asked for lately, so that their callers do not wait.
//
// A read belongs to the cache and not to the call that began it. It continues
// when that call's context ends, for other calls that wait for it.
type statsCache struct {
	reads  func(ctx context.Context, of scope) (Stats, error)
	faults *contain.Faults
	ctx    context.Context // ends with close
	end    context.CancelFunc
	tasks  sync.WaitGroup

	mu         sync.Mutex
	all        map[scope]*cachedStats
	refreshing bool
}

// cachedStats are the last Stats of a scope.
type cachedStats struct {
	asked time.Time // by the last call; zero if nothing was asked since an error
	stats Stats
	begun time.Time  // when they were read; zero if they were not
	read  *statsRead // the one in progress, or nil
}

// statsRead is a read of Stats, whose outcome is there when done is closed.
type statsRead struct {
	begun time.Time
	done  chan struct{}
	stats Stats
	err   error
}

func newStatsCache(reads func(ctx context.Context, of scope) (Stats, error), faults *contain.Faults) *statsCache {
	c := &statsCache{reads: reads, faults: faults, all: map[scope]*cachedStats{}}
	c.ctx, c.end = context.WithCancel(context.Background())
	return c
}

// close ends all reads and waits for them.
func (c *statsCache) close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.tasks.Wait()
}

// get returns figures that are at most StatsAge old when it is called.
func (c *statsCache) get(ctx context.Context, of scope) (Stats, error) {
	asked := time.Now()
	for {
		s, r := c.find(of, asked)
		if r == nil {
			return s, nil
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return Stats{}, context.Cause(ctx)
		}
		switch {
		case r.err != nil && c.ctx.Err() != nil:
			return Stats{}, ErrClosed
		case r.err != nil || asked.Sub(r.begun) < StatsAge:
			return r.stats, r.err
		}
	}
}

// find returns figures that were young enough at a time, or the read to wait
// for.
func (c *statsCache) find(of scope, asked time.Time) (Stats, *statsRead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(of)
	e.asked = asked
	if !c.refreshing && c.ctx.Err() == nil {
		c.refreshing = true
		c.tasks.Go(func() { c.faults.Run(c.ctx, inCounting, c.refresh) })
	}
	if !e.begun.IsZero() && asked.Sub(e.begun) < StatsAge {
		return e.stats, nil
	}
	return Stats{}, c.start(of, e)
}

// entry returns the entry of a scope. A new one replaces the entry that was
// asked for least recently, if there are too many.
func (c *statsCache) entry(of scope) *cachedStats {
	e := c.all[of]
	if e != nil {
		return e
	}
	if len(c.all) >= maxCachedStats {
		var oldest scope
		at := time.Now()
		for of, e := range c.all {
			if !e.asked.After(at) {
				oldest, at = of, e.asked
			}
		}
		delete(c.all, oldest)
	}
	e = &cachedStats{}
	c.all[of] = e
	return e
}

// start begins to read, unless a read of the scope is in progress.
func (c *statsCache) start(of scope, e *cachedStats) *statsRead {
	if e.read != nil {
		return e.read
	}
	r := &statsRead{begun: time.Now(), done: make(chan struct{})}
	if r.err = c.ctx.Err(); r.err != nil {
		close(r.done)
		return r
	}
	e.read = r
	c.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, statsTimeout)
		defer cancel()
		if fault := c.faults.Call(ctx, inCounting, func() { r.stats, r.err = c.reads(ctx, of) }); fault != nil {
			r.err = fault
		}
		c.finish(e, r)
	})
	return r
}

func (c *statsCache) finish(e *cachedStats, r *statsRead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.read = nil
	if r.err == nil {
		e.stats, e.begun = r.stats, r.begun
	} else {
		e.asked = time.Time{} // the next call tries it again
	}
	close(r.done)
}

// refresh reads again what was asked for lately, one after the other. It
// returns when nothing was.
func (c *statsCache) refresh(ctx context.Context) {
	for {
		r, wait := c.next()
		if r != nil {
			begun := time.Now()
			<-r.done // soon after ctx has ended
			wait = refreshShare * time.Since(begun)
		} else if wait < 0 {
			return
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// next begins the next read that is due, which is that of the scope that was
// asked for last. If none is due it returns the time until one is, or a
// negative one if there is nothing to refresh.
func (c *statsCache) next() (r *statsRead, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, wait := time.Now(), time.Duration(-1)
	var due scope
	var last *cachedStats
	for of, e := range c.all {
		if now.Sub(e.asked) >= refreshFor && e.read == nil {
			delete(c.all, of)
			continue
		}
		left := max(refreshAfter-now.Sub(e.begun), 0)
		if e.read != nil {
			left = max(left, refreshAfter)
		}
		if wait < 0 || left < wait {
			wait = left
		}
		if left == 0 && (last == nil || e.asked.After(last.asked)) {
			due, last = of, e
		}
	}
	if last != nil {
		return c.start(due, last), 0
	}
	c.refreshing = wait >= 0
	return nil, wait
}
