//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

const (
	ledgerFile   = "ledger.db"
	organization = "shop"
)

// stories are the reports about a deployment in their order. The statuses never
// go back.
var stories = [][]payload.Status{
	{payload.StatusPending, payload.StatusInProgress, payload.StatusSuccess, payload.StatusRolledBack},
	{payload.StatusPending, payload.StatusInProgress, payload.StatusFailure},
	{payload.StatusInProgress, payload.StatusCancelled},
}

// ledgers is a service that records deployments, in one or two processes that
// share a file. It belongs to some worlds.
type ledgers struct {
	world   *world
	nodes   []*node
	reports []*story

	mu    sync.Mutex
	model *deployments.MemoryLedger
}

// story is a deployment. Its pipeline reports one status after the other, and
// repeats each until it is acknowledged.
type story struct {
	id       string
	statuses []payload.Status
	started  time.Time

	// The mutex of ledgers guards the rest.
	next  int // the report that is being sent
	acked int // how many were acknowledged
	seen  int // how far the ledger was
}

// noFaults makes a ledger, which calls no code of the application, a product.
type noFaults struct{ *sqlledger.Ledger }

func (noFaults) Faults() map[string]uint64 { return nil }

// startLedgers draws the service and starts it.
func (w *world) startLedgers() error {
	w.ledgers = &ledgers{world: w}
	processes := []int{0, 0, 0, 1, 2}[w.rand.IntN(5)]
	if processes == 0 || w.outage {
		return nil
	}
	var err error
	if w.ledgers.model, err = deployments.NewMemoryLedger(); err != nil {
		return err
	}
	for i := range processes {
		n := &node{world: w, name: fmt.Sprintf("ledger-%d", i+1), file: ledgerFile, run: w.ledgers.run}
		w.ledgers.nodes = append(w.ledgers.nodes, n)
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

func (s *ledgers) run(p *process, path string) error {
	l, err := sqlledger.OpenSQLite(context.Background(), path)
	if err != nil {
		return err
	}
	p.ledger, p.product = l, noFaults{l}
	return nil
}

// plan plans the reports of the pipelines.
func (s *ledgers) plan() {
	if len(s.nodes) == 0 {
		return
	}
	r := s.world.Rand("ledger")
	for i := range 4 + r.IntN(12) {
		d := &story{id: fmt.Sprintf("d%d", i), statuses: stories[r.IntN(len(stories))], started: time.Now()}
		s.reports = append(s.reports, d)
		own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		s.world.Plan(between(r, 0, active*2/3), "report "+d.id, func() { s.world.async(func() { s.tell(d, own) }) })
	}
}

// tell sends all reports of a pipeline.
func (s *ledgers) tell(d *story, r *rand.Rand) {
	for step := range d.statuses {
		s.mu.Lock()
		d.next = step
		s.mu.Unlock()
		s.repeat(d, step, r)
		if step > 0 && chance(r, 0.3) {
			s.world.Cover("ledger: an old report again")
			s.repeat(d, r.IntN(step), r)
		}
		time.Sleep(between(r, 0, 3*time.Second)) // of the bubble
	}
}

// repeat sends a report until it is acknowledged.
func (s *ledgers) repeat(d *story, step int, r *rand.Rand) {
	certain := true
	for {
		if p := s.nodes[r.IntN(len(s.nodes))].running(); p != nil {
			got, err := p.record(d.report(step))
			if err == nil && p.sim.Alive() {
				s.acknowledged(d, step, &got, certain)
				return
			}
			certain = false // it may have been recorded
			s.world.Cover("ledger: a report without an answer")
		}
		time.Sleep(300 * time.Millisecond) // of the bubble
	}
}

func (p *process) record(d *payload.Deployment) (deployments.Recorded, error) {
	ctx, cancel := context.WithTimeout(p.sim.Context(), 15*time.Second)
	defer cancel()
	return p.ledger.Record(ctx, organization, d)
}

// report returns the report of a step. Each deployment has a service of its
// own, so that no other one changes the answer.
func (d *story) report(step int) *payload.Deployment {
	report := &payload.Deployment{
		DeploymentID: d.id, Service: "service-" + d.id, Environment: "production", Status: d.statuses[step], StartedAt: d.started,
		RepositoryURL: "https://example.com/shop/web", CommitSHA: "0123456789abcdef0123456789abcdef01234567",
	}
	if d.statuses[step].Terminal() {
		report.CompletedAt = d.started.Add(time.Duration(step) * time.Minute)
	}
	return report
}

// acknowledged compares an answer with that of a ledger in memory, which gets
// the acknowledged reports only. A report that was repeated may have been
// recorded before. Then only the record must be the same.
func (s *ledgers) acknowledged(d *story, step int, got *deployments.Recorded, certain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.acked = max(d.acked, step+1)
	want, err := s.model.Record(context.Background(), organization, d.report(step))
	if err != nil {
		s.world.Violate("the model of the ledger: %v", err)
		return
	}
	if a, b := document(got.Deployment), document(want.Deployment); a != b {
		s.world.Violate("the ledger says after report %d of %s: %s; the model says: %s", step, d.id, a, b)
	}
	if certain && (got.Created != want.Created || got.Stale != want.Stale || got.Transition != want.Transition) {
		s.world.Violate("report %d of %s: created %v, stale %v, %v; the model says: created %v, stale %v, %v",
			step, d.id, got.Created, got.Stale, got.Transition, want.Created, want.Stale, want.Transition)
	}
	switch {
	case got.Created:
		s.world.Cover("ledger: created")
	case got.Stale:
		s.world.Cover("ledger: stale")
	default:
		s.world.Cover("ledger: updated")
	}
}

// document returns a deployment as it is compared.
func document(d *payload.Deployment) string {
	text, err := json.Marshal(d)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// look compares the statuses in the file with what was acknowledged and with
// what they were before.
func (s *ledgers) look() {
	if len(s.reports) == 0 || !slices.ContainsFunc(s.nodes, func(n *node) bool { return n.running() != nil }) {
		return
	}
	known := map[string]string{}
	s.world.observer.query(ledgerFile, func(db *sql.DB) error {
		rows, err := db.Query(`SELECT deployment_id, status FROM deployhook_ledger_deployments`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id []byte
			var status string
			if err := rows.Scan(&id, &status); err != nil {
				return err
			}
			known[string(id)] = status
		}
		return rows.Err()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.reports {
		s.compare(d, known[d.id])
	}
}

func (s *ledgers) compare(d *story, status string) {
	at := slices.Index(d.statuses, payload.Status(status)) + 1
	switch {
	case at < d.seen:
		s.world.Violate("deployment %s went back from %s to %q", d.id, d.statuses[d.seen-1], status)
	case at < d.acked:
		s.world.Violate("deployment %s is %q, although %s was acknowledged", d.id, status, d.statuses[d.acked-1])
	case at > d.next+1:
		s.world.Violate("deployment %s is %s, which was not reported yet", d.id, status)
	}
	d.seen = at
}

// pending returns how many deployments have not been reported to their end.
func (s *ledgers) pending() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.reports {
		if d.acked < len(d.statuses) {
			n++
		}
	}
	return n
}

// judge checks at the end that all reports were acknowledged.
func (s *ledgers) judge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.reports {
		if d.acked != len(d.statuses) {
			s.world.Violate("deployment %s: %d of %d reports were acknowledged", d.id, d.acked, len(d.statuses))
		}
	}
}
