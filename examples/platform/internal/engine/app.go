package engine

import (
	"sync"
	"sync/atomic"
)

// release is a version that runs.
type release struct {
	deployment Deployment
	instance   *instance
}

// historyLimit is how many versions one can go back.
const historyLimit = 5

// app is the engine's view of one app.
type app struct {
	live atomic.Pointer[instance] // what gets the traffic

	mu      sync.Mutex
	busy    bool
	current *release
	history []Deployment // that were live before; the latest comes last
}

// reserve makes the caller the only one who changes what is live, until free.
func (a *app) reserve() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy {
		return ErrBusy
	}
	a.busy = true
	return nil
}

func (a *app) free() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy = false
}

// promote gives a release the traffic, nil takes it away, and returns the release that had it.
func (a *app) promote(r *release) (before *release) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, a.current = a.current, r
	if r == nil {
		a.live.Store(nil)
	} else {
		a.live.Store(r.instance)
	}
	return before
}

// liveVersion is empty when there is none.
func (a *app) liveVersion() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil {
		return ""
	}
	return a.current.deployment.Version
}

// remember makes a version one to go back to.
func (a *app) remember(d ...Deployment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.history = append(a.history, d...)
	if over := len(a.history) - historyLimit; over > 0 {
		a.history = append(a.history[:0], a.history[over:]...)
	}
}

// before returns what was live before the present version, and forgets it if take is set.
func (a *app) before(take bool) (Deployment, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil {
		return Deployment{}, ErrNothingLive
	}
	last := len(a.history) - 1
	if last < 0 {
		return Deployment{}, ErrNothingBefore
	}
	d := a.history[last]
	if take {
		a.history = a.history[:last]
	}
	return d, nil
}
