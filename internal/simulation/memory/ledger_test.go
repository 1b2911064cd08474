package memory

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// The faults of the ledger.
const (
	ledgerFails = "ledger: fails"
	ledgerHangs = "ledger: hangs"
	ledgerLoses = "ledger: takes effect and loses the answer"
	ledgerSlow  = "ledger: a call waits before it takes effect"
)

var ledgerFaults = []string{ledgerFails, ledgerHangs, ledgerLoses, ledgerSlow}

// story is the statuses of a deployment in their order. A status never returns
// to an earlier one.
var stories = [][]payload.Status{
	{payload.StatusPending, payload.StatusInProgress, payload.StatusSuccess, payload.StatusRolledBack},
	{payload.StatusPending, payload.StatusInProgress, payload.StatusFailure},
	{payload.StatusInProgress, payload.StatusCancelled},
}

// ledger is a MemoryLedger that outlives the processes, with what it must
// remember.
type ledger struct {
	*deployments.MemoryLedger
	w    *sim.World
	odds float64
	calm *calm

	mu    sync.Mutex
	rand  *rand.Rand
	story map[string][]payload.Status // by deployment
	seen  map[string]int              // the latest status that the ledger has shown
	acked map[string]int              // the latest status that was acknowledged
}

func newLedger(w *sim.World, odds float64, c *calm) *ledger {
	m, err := deployments.NewMemoryLedger()
	if err != nil {
		panic(err) // a mistake of the world
	}
	return &ledger{
		MemoryLedger: m, w: w, odds: odds, calm: c, rand: w.Rand("ledger"),
		story: map[string][]payload.Status{}, seen: map[string]int{}, acked: map[string]int{},
	}
}

// ledgerClient is the ledger as one process sees it.
type ledgerClient struct {
	*ledger
	process *sim.Process
}

func (c *ledgerClient) Record(ctx context.Context, organization string, d *payload.Deployment) (deployments.Recorded, error) {
	kind, wait := c.fault()
	if kind != "" {
		c.w.Fault(kind)
	}
	switch kind {
	case ledgerFails:
		return deployments.Recorded{}, errStore
	case ledgerHangs:
		<-ctx.Done()
		return deployments.Recorded{}, ctx.Err()
	case ledgerSlow:
		if err := pause(ctx, wait); err != nil {
			return deployments.Recorded{}, err
		}
	}
	if !c.process.Alive() {
		return deployments.Recorded{}, sim.ErrKilled
	}
	r, err := c.MemoryLedger.Record(ctx, organization, d)
	if err == nil {
		c.cover(&r)
		c.check()
	}
	if kind == ledgerLoses {
		return deployments.Recorded{}, errLost
	}
	return r, err
}

func (l *ledger) cover(r *deployments.Recorded) {
	switch {
	case r.Created:
		l.w.Cover("ledger: created")
	case r.Stale:
		l.w.Cover("ledger: stale")
	default:
		l.w.Cover("ledger: updated")
	}
}

func (l *ledger) fault() (string, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, i, wait := l.rand.Float64(), l.rand.IntN(len(ledgerFaults)), duration(l.rand, 6*time.Second)
	if f >= l.odds || l.calm.before(time.Now(), 0) {
		return "", 0
	}
	return ledgerFaults[i], wait
}

// acknowledged notes that the sender of a status was told that it is recorded.
func (l *ledger) acknowledged(id string, status int) {
	l.mu.Lock()
	l.acked[id] = max(l.acked[id], status+1)
	l.mu.Unlock()
	l.check()
}

// check compares the records with the stories.
func (l *ledger) check() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, story := range l.story {
		r, err := l.Get(context.Background(), organization, id)
		if errors.Is(err, deployments.ErrNotRecorded) {
			if l.acked[id] > 0 {
				l.w.Violate("deployment %s was acknowledged and is not in the ledger", id)
			}
			continue
		}
		if err != nil {
			l.w.Violate("reading deployment %s: %v", id, err)
			continue
		}
		l.compare(id, story, r.Deployment.Status)
	}
}

func (l *ledger) compare(id string, story []payload.Status, status payload.Status) {
	at := 0
	for i, s := range story {
		if s == status {
			at = i + 1
		}
	}
	if at < l.seen[id] {
		l.w.Violate("deployment %s went back from %s to %s", id, story[l.seen[id]-1], status)
	}
	if at < l.acked[id] {
		l.w.Violate("deployment %s is %s, although %s was acknowledged", id, status, story[l.acked[id]-1])
	}
	l.seen[id] = max(l.seen[id], at)
}
