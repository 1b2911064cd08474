package engine

import (
	"sync"
	"sync/atomic"
)

// release is a running version.
type release struct {
	deployment Deployment
	instance   *instance
}

// historyLimit is how many versions can be rolled back.
const historyLimit = 5

// app is the engine's view of one app.
type app struct {
	live atomic.Pointer[instance] // instance that gets the traffic

	mu      sync.Mutex
	busy    bool
	current *release
	history []Deployment // earlier live versions, latest last
}

// reserve gives the caller the sole right to change the live version, until
// free.
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

// promote sends traffic to a release, or stops it if r is nil. It returns the
// release that had the traffic before.
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

// liveVersion returns the live version, or "".
func (a *app) liveVersion() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil {
		return ""
	}
	return a.current.deployment.Version
}

// remember adds versions that can be rolled back to.
func (a *app) remember(d ...Deployment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.history = append(a.history, d...)
	if over := len(a.history) - historyLimit; over > 0 {
		a.history = append(a.history[:0], a.history[over:]...)
	}
}

// checkLive returns an error unless the deployment is live. An empty ID stands
// for whichever is live.
func (a *app) checkLive(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != nil && id != "" && a.current.deployment.ID != id {
		return ErrNotLive
	}
	return nil
}

// before returns the version that was live before the current one. It removes
// it from the history if take is set.
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
