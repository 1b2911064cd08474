//go:build linux && (amd64 || arm64)

package database

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/disk"
	"github.com/deployhook/deployhook/internal/simulation/sim"
)

const (
	// active is how long faults and outside events come.
	active = 30 * time.Second
	// patience is how long the world may take, once all is well, until nothing
	// is left to do. It covers the rescue of a crashed process's deliveries, the
	// longest pause of a breaker and its ramp.
	patience = 4 * time.Minute
)

// world is a platform with two customers, the processes of its outbox, and the
// customers' endpoints.
type world struct {
	*sim.World

	dir      string
	disk     *disk.Disk
	rand     *rand.Rand // for what the world consists of, before it begins
	ordering bool
	outage   bool // of the endpoints, and nothing else
	fair     bool // nothing fails but endpoints
	begun    time.Time
	nodes    []*node
	inboxes  *inboxes
	ledgers  *ledgers
	observer *observer
	work     sync.WaitGroup // goroutines of platforms and crashed processes
	calls    sync.WaitGroup // of operators

	mu        sync.Mutex
	calm      bool      // no faults any more
	calmAt    time.Time // when all processes ran without faults; zero before
	events    map[string]*event
	endpoints map[string]*endpoint // by ID
	created   []*endpoint
	secrets   *rand.Rand
}

var errDown = errors.New("the process is down")

// apps are the customers.
var apps = [...]string{"shop", "bank"}

var flags = sim.NewFlags(seeds)

// TestSimulation runs worlds on SQLite.
func TestSimulation(t *testing.T) {
	t.Parallel()
	flags.Run(t, sim.Simulation{Build: build, Expect: expected(), Enough: 200, Longest: time.Hour})
}

func build(w *sim.World) {
	dir, err := newFolder()
	defer os.RemoveAll(dir)
	if err != nil {
		w.Violate("no folder: %v", err)
		return
	}
	d, err := disk.New(dir)
	if err != nil {
		w.Violate("no disk: %v", err)
		return
	}
	defer d.Close()
	s := &world{World: w, dir: dir, disk: d, rand: w.Rand("world"), secrets: w.Rand("secrets"), events: map[string]*event{}, endpoints: map[string]*endpoint{}}
	s.live()
}

// live builds the world, lets it run, and looks whether all is well at the end.
func (w *world) live() {
	if err := w.prepare(); err != nil {
		w.Violate("the world can't be made: %v", err)
		return
	}
	w.Always(w.observer.look)
	w.plan()
	if w.outage {
		w.Play(outageLasts)
	} else {
		w.Play(active)
	}
	w.recover()
	w.judge()
	w.stop()
}

// plan plans what happens until the faults end.
func (w *world) plan() {
	if w.outage {
		w.planOutage()
		return
	}
	w.planPublishing()
	w.planOperators()
	w.ledgers.plan()
	if w.fair {
		w.planLooks()
	} else {
		w.planFaults()
	}
}

// prepare makes the processes, and the endpoints of each customer.
func (w *world) prepare() error {
	files, err := template()
	if err != nil {
		return err
	}
	w.disk.Restore(files)
	w.observer = &observer{world: w, known: map[string]row{}, late: map[string]bool{}}
	if w.observer.files, err = w.disk.NewProcess("observer", nil); err != nil {
		return err
	}
	kind := w.rand.Float64()
	w.outage, w.fair = kind < 0.08, kind >= 0.08 && kind < 0.25
	w.begun = time.Now()
	w.ordering = w.rand.IntN(3) == 0
	for i := range []int{1, 1, 2, 2, 2, 3}[w.rand.IntN(6)] {
		n := &node{world: w, name: fmt.Sprintf("outbox-%d", i+1), file: outboxFile, run: w.runOutbox}
		w.nodes = append(w.nodes, n)
		if err := n.start(); err != nil {
			return err
		}
	}
	if err := errors.Join(w.startInboxes(), w.startLedgers()); err != nil {
		return err
	}
	if w.outage {
		return w.nodes[0].createEndpoint(w.plainEndpoint(apps[0]))
	}
	for _, app := range apps {
		for range 1 + w.rand.IntN(3) {
			if err := w.nodes[0].createEndpoint(w.newEndpoint(app)); err != nil {
				return err
			}
		}
	}
	if len(w.inboxes.nodes) == 0 {
		return nil
	}
	return w.nodes[0].createEndpoint(w.inboxes.endpoint)
}

// newSecret draws a secret for an endpoint.
func (w *world) newSecret() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(w.secrets.IntN(256))
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// logger drops what the products log. A failing seed has the world's log.
func (w *world) logger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// async starts a goroutine that the world waits for at its end.
func (w *world) async(f func()) { w.work.Go(f) }

// isCalm reports whether faults are over.
func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

// programs returns the nodes of all programs.
func (w *world) programs() []*node { return slices.Concat(w.nodes, w.inboxes.nodes, w.ledgers.nodes) }

// anyNode returns a process that runs, or nil.
func (w *world) anyNode(first int) *node {
	for i := range w.nodes {
		if n := w.nodes[(first+i)%len(w.nodes)]; n.running() != nil {
			return n
		}
	}
	return nil
}

// stop ends all processes in order.
func (w *world) stop() {
	for _, n := range w.programs() {
		if p := n.running(); p != nil {
			if err := p.close(); err != nil {
				w.Violate("%s: Close: %v", n.name, err)
			}
		}
	}
	w.work.Wait()
	w.Rest(outlived)
}

// outlived is how long goroutines of a killed process may go on, on a file that
// the process can no longer write. A goroutine that remains after that is a
// leak.
const outlived = 30 * time.Minute

// chance reports true with a probability.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// between returns a duration from a range.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

// expected names the faults and transitions that a large run must see.
func expected() []string {
	return slices.Concat(sim.NetworkFaults(), []string{
		"kill", "disk: crash at write", "disk: crash at sync", "disk: crash at commit", "disk: busy at begin", "disk: full at write",
		"disk: I/O error at sync", "disk: hang at begin", "disk: hang at sync",
		"process: restarted", "process: stopped",
		"publish: directly", "publish: in a transaction", "publish: rolled back", "publish: the same event twice", "publish: failed",
		"delivery: published as pending", "delivery: pending to delivered", "delivery: pending to canceled", "delivery: pending to failed",
		"delivery: canceled to pending", "delivery: failed to pending", "delivery: delivered to pending", "delivery: canceled to delivered",
		"operator: rotate", "operator: disable", "operator: enable", "operator: enable with missed", "operator: delete",
		"operator: replay", "operator: send missed", "operator: slow down", "operator: lift the limit", "operator: a call failed",
		"order: two deliveries of a deployment", "outage: the backlog is sent", "inbox: an effect twice, without a transaction",
		"ledger: created", "ledger: updated", "ledger: stale", "ledger: an old report again", "ledger: a report without an answer",
	})
}
