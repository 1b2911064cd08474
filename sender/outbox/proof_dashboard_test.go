package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox"
)

const (
	dashboards     = 4                      // that ask for the figures of all and of each app
	dashboardEvery = 50 * time.Millisecond  // the time between two calls of one of them
	pageEvery      = 7 * time.Second        // the time between two views of a page with endpoints
	uncachedEvery  = 500 * time.Millisecond // the time between two calls of processes that have just started
)

// The names of the figures that are measured.
const (
	statsOfAll      = "stats of all"
	statsOfApp      = "stats of an app"
	statsOfEndpoint = "stats of an endpoint, each 7 s"
	statsFirst      = "stats, first call about something"
	statsUncached   = "stats, first call of a process"
)

// figures are the calls about figures that TestProofReading measures.
type figures struct {
	t         *testing.T
	o         *outbox.Outbox
	endpoints map[string]string // one of each app

	mu    sync.Mutex
	asked map[string]bool
	took  map[string][]time.Duration
}

// newFigures adds some small apps to the one with the long log.
func newFigures(t *testing.T, o *outbox.Outbox, log *fullLog) *figures {
	f := &figures{
		t: t, o: o, endpoints: map[string]string{log.app: log.endpoint}, asked: map[string]bool{}, took: map[string][]time.Duration{},
	}
	for i := range 9 {
		app := fmt.Sprintf("app %d", i)
		e, _ := create(t, o.App(app), endpointAt("http://127.0.0.1:1/"))
		f.endpoints[app] = e.ID
		for range 20 {
			_, err := o.App(app).Publish(t.Context(), benchEvent())
			require.NoError(t, err)
		}
	}
	return f
}

// run makes the calls of several dashboards until ctx ends. All of them look at
// all figures at least once.
func (f *figures) run(ctx context.Context) {
	var callers sync.WaitGroup
	for range dashboards {
		callers.Go(func() { f.dashboard(ctx) })
	}
	callers.Go(func() { f.page(ctx) })
	callers.Wait()
}

// dashboard shows the figures of all and of each app.
func (f *figures) dashboard(ctx context.Context) {
	tick := time.NewTicker(dashboardEvery)
	defer tick.Stop()
	for round := 0; round == 0 || ctx.Err() == nil; round++ {
		f.measure(statsOfAll, "", f.ofAll(f.o))
		for app := range f.endpoints {
			<-tick.C
			f.measure(statsOfApp, app, f.ofApp(f.o, app))
		}
	}
}

// page shows the figures of endpoints that no other caller looks at.
func (f *figures) page(ctx context.Context) {
	tick := time.NewTicker(pageEvery)
	defer tick.Stop()
	for {
		for app, endpoint := range f.endpoints {
			f.measure(statsOfEndpoint, endpoint, func() (time.Time, error) {
				s, err := f.o.App(app).EndpointStats(f.t.Context(), endpoint)
				return s.AsOf, err
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *figures) ofAll(o *outbox.Outbox) func() (time.Time, error) {
	return func() (time.Time, error) {
		s, err := o.Stats(f.t.Context())
		return s.AsOf, err
	}
}

func (f *figures) ofApp(o *outbox.Outbox, app string) func() (time.Time, error) {
	return func() (time.Time, error) {
		s, err := o.App(app).Stats(f.t.Context())
		return s.AsOf, err
	}
}

// measure makes a call, whose figures must not be too old. The first call about
// something counts as statsFirst, and so do those that begin before it ends.
func (f *figures) measure(name, about string, call func() (asOf time.Time, err error)) {
	f.mu.Lock()
	if !f.asked[about] {
		name = statsFirst
	}
	f.mu.Unlock()
	begin := time.Now()
	asOf, err := call()
	took := time.Since(begin)
	assert.NoError(f.t, err, name)
	assert.LessOrEqual(f.t, begin.Sub(asOf), outbox.StatsAge, name)
	f.add(name, took)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[about] = true
}

func (f *figures) add(name string, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took[name] = append(f.took[name], took)
}

// uncached makes calls about everything and about the app with the long log,
// each on an outbox that was just opened.
func (f *figures) uncached(ctx context.Context, w *world, app string) {
	tick := time.NewTicker(uncachedEvery)
	defer tick.Stop()
	for {
		for _, of := range []func(*outbox.Outbox) func() (time.Time, error){
			f.ofAll, func(o *outbox.Outbox) func() (time.Time, error) { return f.ofApp(o, app) },
		} {
			o, err := w.tryOpen()
			if !assert.NoError(f.t, err) {
				return
			}
			begin := time.Now()
			_, err = of(o)()
			f.add(statsUncached, time.Since(begin))
			assert.NoError(f.t, err)
			assert.NoError(f.t, o.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// report logs how long all calls took. If hold is set, it bounds those of the
// lists and of the dashboards.
func (f *figures) report(hold, sqlite bool) {
	bound := 20 * time.Millisecond
	if sqlite {
		bound = 50 * time.Millisecond
	}
	names := []string{statsOfAll, statsOfApp, statsOfEndpoint, statsFirst, statsUncached}
	for _, c := range readCalls() {
		names = append(names, c.name)
	}
	for _, name := range names {
		if !hold && len(f.took[name]) == 0 { // there was no time
			continue
		}
		require.NotEmpty(f.t, f.took[name], name)
		q := quantilesOf(f.took[name])
		f.t.Logf("%-31s %5d calls, %v", name, len(f.took[name]), q)
		if hold && name != statsFirst && name != statsUncached {
			assert.LessOrEqual(f.t, q.p99, bound, name)
		}
	}
}
