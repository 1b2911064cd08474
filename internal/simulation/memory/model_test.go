package memory

import (
	"errors"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/simulation/sim"
)

// model is the sequential model of dedupe.Store. It is a transcript of the
// table in the documentation of that interface.
type model struct {
	w        *sim.World
	ttl      time.Duration
	capacity int
	keys     map[dedupe.Key]*entry
}

// entry is the state of a key.
type entry struct {
	token     dedupe.Token // of the claim that holds or completed the key, or 0
	completed bool
	until     time.Time    // the end of the lease or of the TTL
	latest    dedupe.Token // the greatest token of the key
	released  bool         // by its holder, before the end of the lease
}

func (e *entry) live() bool { return e.token != 0 && time.Now().Before(e.until) }

func (m *model) entry(key dedupe.Key) *entry {
	e := m.keys[key]
	if e == nil {
		e = &entry{released: true}
		m.keys[key] = e
	}
	return e
}

// used is the number of keys that need room.
func (m *model) used() (n int) {
	for _, e := range m.keys {
		if e.live() {
			n++
		}
	}
	return n
}

func (m *model) wrong(method string, claim dedupe.Claim, got, want any) {
	m.w.Violate("%s of token %d returned %v, but the model says %v", method, claim.Token, got, want)
}

func (m *model) claim(key dedupe.Key, lease time.Duration, got dedupe.Claim, err error) {
	e := m.entry(key)
	switch {
	case errors.Is(err, dedupe.ErrFull):
		m.w.Cover("claim: full")
		if e.live() || m.used() < m.capacity {
			m.wrong("Claim", got, err, "that there is room")
		}
	case err != nil:
		m.wrong("Claim", got, err, "no error")
	case e.live() && e.completed:
		m.w.Cover("claim: duplicate")
		if got.State != dedupe.Completed {
			m.wrong("Claim", got, got.State, dedupe.Completed)
		}
	case e.live():
		m.w.Cover("claim: in flight")
		if got.State != dedupe.InFlight || got.RetryAfter != time.Until(e.until) {
			m.wrong("Claim", got, got, dedupe.InFlight)
		}
	default:
		m.granted(e, lease, got)
	}
}

func (m *model) granted(e *entry, lease time.Duration, got dedupe.Claim) {
	switch {
	case e.completed:
		m.w.Cover("claim: again after the TTL")
	case e.latest == 0:
		m.w.Cover("claim: fresh")
	case e.released:
		m.w.Cover("claim: again after a release")
	default:
		m.w.Cover("claim: lease had ended")
	}
	if got.State != dedupe.Claimed || got.Token <= e.latest {
		m.wrong("Claim", got, got.State, "claimed with a greater token")
	}
	*e = entry{token: got.Token, latest: got.Token, until: time.Now().Add(lease)}
}

func (m *model) renew(c dedupe.Claim, lease time.Duration, err error) {
	e := m.entry(c.Key)
	if !e.live() || e.completed || e.token != c.Token {
		m.w.Cover("renew: lease lost")
		if !errors.Is(err, dedupe.ErrLeaseLost) {
			m.wrong("Renew", c, err, dedupe.ErrLeaseLost)
		}
		return
	}
	m.w.Cover("renew")
	if err != nil {
		m.wrong("Renew", c, err, "no error")
	}
	e.until = time.Now().Add(lease)
}

func (m *model) complete(c dedupe.Claim, err error) {
	e := m.entry(c.Key)
	switch {
	case e.live() && e.token != c.Token:
		m.w.Cover("complete: fenced")
		if !errors.Is(err, dedupe.ErrLeaseLost) {
			m.wrong("Complete", c, err, dedupe.ErrLeaseLost)
		}
		return
	case errors.Is(err, dedupe.ErrFull) && !e.live() && m.used() >= m.capacity:
		m.w.Cover("complete: full")
		return
	case err != nil:
		m.wrong("Complete", c, err, "no error")
		return
	case e.live() && e.completed:
		m.w.Cover("complete: again")
		return
	case e.live():
		m.w.Cover("complete")
	default:
		m.w.Cover("complete: after the lease had ended")
	}
	*e = entry{token: c.Token, completed: true, latest: e.latest, until: time.Now().Add(m.ttl)}
}

func (m *model) release(c dedupe.Claim, err error) {
	e := m.entry(c.Key)
	switch {
	case e.live() && (e.completed || e.token != c.Token):
		m.w.Cover("release: fenced")
		if !errors.Is(err, dedupe.ErrLeaseLost) {
			m.wrong("Release", c, err, dedupe.ErrLeaseLost)
		}
		return
	case err != nil:
		m.wrong("Release", c, err, "no error")
		return
	case e.live():
		m.w.Cover("release")
	default:
		m.w.Cover("release: after the lease had ended")
		return
	}
	e.token, e.released = 0, true
}
