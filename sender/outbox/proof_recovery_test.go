package outbox_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// outage is a server that is down until each of several apps has had a given
// number of attempts.
type outage struct {
	*hook
	mu      sync.Mutex
	up      bool
	tried   map[string]int         // attempts while it was down
	arrived map[string][]time.Time // and since it is up
	n       int
}

func newOutage(t *testing.T) *outage {
	s := &outage{tried: map[string]int{}, arrived: map[string][]time.Time{}}
	s.hook = newHook(t, func(_ int, r received) int {
		e, err := payload.DecodeEvent(r.body)
		if err != nil {
			return 400
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.up {
			s.tried[e.App]++
			return 503
		}
		s.arrived[e.App] = append(s.arrived[e.App], r.at)
		s.n++
		return 200
	})
	return s
}

// end ends the outage if each of the apps has had its number of attempts.
func (s *outage) end(apps, attempts int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tried) < apps {
		return false
	}
	for _, n := range s.tried {
		if n < attempts {
			return false
		}
	}
	s.up = true
	return true
}

func (s *outage) delivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// TestProofRecoveryReal is TestProofRecovery with a database and HTTP, and with
// pauses of the circuit breakers that are shorter: a tenth of a second at
// first, 800 ms at most. It looks at when the breakers let the endpoints be
// tried again, as the database has it when the outage ends, and at the ramp of
// each endpoint. TestProofRecovery bounds the attempts in a second, in virtual
// time.
func TestProofRecoveryReal(t *testing.T) {
	endpoints := 20
	switch {
	case *strict:
		endpoints = 120
	case *outbox.Full && !underRace:
		endpoints = 60
	}
	const (
		backlog  = 3
		pause    = 100 * time.Millisecond
		maxPause = 800 * time.Millisecond
		rampStep = time.Second // as the outbox has it
	)
	proveOnEach(t, func(t *testing.T, w *world) { // waiting is most of it
		o := w.start(t, outbox.WithBreaker(outbox.DefaultBreakerThreshold, pause, maxPause),
			outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff { return backoff.NewConstantBackOff(100 * time.Millisecond) }))
		server := newOutage(t)
		for i := range endpoints {
			create(t, o.App(fmt.Sprintf("app_%d", i)), endpointAt(server.URL))
		}
		for k := range backlog {
			for i := range endpoints {
				e := event(payload.DeployLive, fmt.Sprintf("dep_%d", k))
				e.App = fmt.Sprintf("app_%d", i)
				publish(t, o.App(e.App), e)
			}
		}
		// Wait until all breakers have opened and made so many probes that their pauses
		// have the maximum length.
		eventually(t, func() bool { return server.end(endpoints, outbox.DefaultBreakerThreshold+4) }, "endpoints are not tried any more")
		var opens []int64
		for _, text := range w.queryTexts(t, "SELECT CAST(breaker_open_until AS text) FROM "+w.table("outbox_endpoint")) {
			n, err := strconv.ParseInt(text, 10, 64)
			require.NoError(t, err)
			if n > 0 { // otherwise the endpoint has accepted a delivery meanwhile
				opens = append(opens, n)
			}
		}
		eventually(t, func() bool { return server.delivered() == endpoints*backlog }, "some events do not arrive")

		slices.Sort(opens)
		counts := make([]int, (opens[len(opens)-1]-opens[0])/(maxPause/4).Microseconds()+1)
		for _, until := range opens {
			counts[(until-opens[0])/(maxPause/4).Microseconds()]++
		}
		t.Logf("%d endpoints, which may be tried again after each other, each 200 ms: %v", endpoints, counts)
		// A pause is between half and one and a half times the maximum, which is four
		// bins. The pauses did not start together.
		assert.LessOrEqual(t, slices.Max(counts), endpoints*3/4)
		for app, at := range server.arrived {
			require.Len(t, at, backlog, app)
			assert.GreaterOrEqual(t, at[2].Sub(at[0]), rampStep, "%s was not ramped up", app)
		}
	})
}
