package linearize

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// world is a store and what can happen to it.
type world struct {
	*subject
	store   string
	address string
	server  *servicetest.Server // nil without one
	proxy   *proxy              // in front of the server
	pair    *pair               // of Redis servers, or nil
	// processes is the number of processes that share the store.
	processes int
}

// run is one history while it is made.
type run struct {
	*world
	t        *testing.T
	ctx      context.Context
	task     task
	history  *history
	children []*child
	all      []process
	ended    chan struct{} // closed when the clients have made their calls
	events   []event
	since    int64 // the replica has what was written before
}

// event is something that happened to the server and may have changed what it
// remembers.
type event struct {
	method   string // of the model
	from, to int64
}

// play runs and checks one history.
func (w *world) play(t *testing.T, f *fault, r *result) {
	t.Helper()
	start := time.Now()
	if f.prepare != nil {
		defer f.prepare(t, w)()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h := &run{
		world: w, t: t, ctx: ctx, history: newHistory(), ended: make(chan struct{}),
		task: task{
			Subject: w.name, Store: w.store, Address: w.address, Name: rand.Text()[:8],
			Clients: 6 / w.processes, Calls: 25, Pace: 3 * time.Millisecond, Timeout: patience, TTL: dedupe.DefaultTTL, Seed: mathrand.Uint64(),
		},
	}
	if f.change != nil {
		f.change(&h.task)
	}
	if f.proxied {
		h.task.Address = throughProxy(t, w.address, w.proxy.addr())
	}
	h.open(f.children)
	for _, p := range h.all {
		p.begin()
	}
	waited := make(chan error, 1)
	go func() {
		defer close(h.ended)
		waited <- h.wait()
	}()
	if f.strike != nil {
		f.strike(h)
	}
	require.NoError(t, <-waited)
	require.NoError(t, ctx.Err(), "after %d calls the history did not end", h.history.ended.Load())
	h.check(f, r)
	r.took += time.Since(start)
}

// open opens the processes of a history.
func (h *run) open(children bool) {
	h.t.Helper()
	for i := range h.processes {
		one := h.task
		one.Process = i
		if !children {
			p, err := openInside(h.ctx, one, h.history)
			require.NoError(h.t, err)
			h.all = append(h.all, p)
			continue
		}
		c, err := openChild(one, h.history)
		require.NoError(h.t, err)
		h.children, h.all = append(h.children, c), append(h.all, c)
	}
}

func (h *run) wait() (err error) {
	for _, p := range h.all {
		if e := p.wait(); e != nil {
			err = e
		}
	}
	return err
}

// await returns when a part of all calls have ended, or all that will.
func (h *run) await(part float64) {
	goal := int64(part * float64(h.processes*h.task.Clients*h.task.Calls))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for h.history.ended.Load() < goal {
		select {
		case <-h.ended:
			return
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// happened records that something happens to the server while do runs.
func (h *run) happened(method string, do func()) {
	from := now()
	do()
	h.events = append(h.events, event{method, from, now()})
}

// check checks the history. With a bound, it also counts the histories that
// need it.
func (h *run) check(f *fault, r *result) {
	h.t.Helper()
	calls := h.history.happened()
	ops, err := h.operations(calls)
	require.NoError(h.t, err)
	r.histories++
	r.calls += len(calls)
	for _, c := range calls {
		if c.fate == lost {
			r.lost++
		}
	}
	model := h.model(h.task)
	verdict := porcupine.CheckOperationsTimeout(model, ops, checkTime)
	if verdict == porcupine.Illegal && f.bound != "" {
		ops = withEvents(ops, h.events)
		if f.bound == failOver {
			model = claimsModel{h.task.TTL}.failover(h.since)
		}
		if verdict = porcupine.CheckOperationsTimeout(model, ops, checkTime); verdict == porcupine.Ok {
			r.bounded++
			return
		}
	}
	switch verdict {
	case porcupine.Ok:
		r.ok++
	case porcupine.Unknown:
		r.violations++
		h.t.Errorf("the checker did not decide within %v about %d calls", checkTime, len(ops))
	default:
		r.violations++
		h.t.Errorf("not linearizable: open %s in a browser\n%s", visualize(h.t, model, ops), describe(model, ops))
	}
}

// checkTime is how long the checker may take for one history. It mostly takes
// milliseconds.
const checkTime = patience

// visualize writes the history to a file that outlives the test.
func visualize(t testing.TB, model porcupine.Model, ops []porcupine.Operation) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "linearize")
	require.NoError(t, err)
	path = filepath.Join(dir, "history.html")
	_, info := porcupine.CheckOperationsVerbose(model, ops, checkTime)
	require.NoError(t, porcupine.VisualizePath(model, info, path))
	return path
}

// describe returns the first part of a history that is not linearizable, with
// the times in milliseconds.
func describe(model porcupine.Model, ops []porcupine.Operation) string {
	for _, part := range model.Partition(ops) {
		if porcupine.CheckOperationsTimeout(model, part, checkTime) == porcupine.Ok {
			continue
		}
		slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		var text strings.Builder
		for _, op := range part {
			at := func(t int64) float64 { return float64(t-part[0].Call) / float64(time.Millisecond) }
			ends := "never"
			if op.Return != never {
				ends = fmt.Sprintf("%.3f", at(op.Return))
			}
			fmt.Fprintf(&text, "%9.3f to %9s  client %2d  %s\n", at(op.Call), ends, op.ClientId, model.DescribeOperation(op.Input, op.Output))
		}
		return text.String()
	}
	return ""
}
