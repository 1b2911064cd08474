package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// client is what UseDialer looks at.
type client struct{ transport http.RoundTripper }

// post makes one request a second and returns how many got their answer.
func post(w *World, requests int) (answered int) {
	w.Start("server", NewClock(), func(p *Process) {
		l, err := p.Listen("10.0.0.1:80")
		if err != nil {
			w.Violate("listen: %v", err)
			return
		}
		server := &http.Server{ReadTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(echo)}
		p.Go(func() { _ = server.Serve(l) }) // ends when the process does
		p.AtEnd(func() { _ = server.Close() })
	})
	w.Start("client", NewClock(), func(p *Process) {
		c := &client{&http.Transport{}}
		UseDialer(c, p.DialContext)
		for range requests {
			if ask(p, c.transport, w) {
				answered++
			}
			time.Sleep(time.Second) // the bubble's time
		}
		c.transport.(*http.Transport).CloseIdleConnections()
	})
	return answered
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, _ = w.Write(body)
}

func ask(p *Process, rt http.RoundTripper, w *World) bool {
	ctx, cancel := context.WithTimeout(p.Context(), 15*time.Second)
	defer cancel()
	body := bytes.Repeat([]byte("x"), 500)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://10.0.0.1:80/", bytes.NewReader(body))
	if err != nil {
		w.Violate("request: %v", err)
		return false
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(got, body) {
		w.Violate("got another body: %q", got)
	}
	return err == nil
}

func TestNetwork_CalmCarriesEveryRequest(t *testing.T) {
	t.Parallel()
	var answered int
	res := play(t, Simulation{Build: func(w *World) { answered = post(w, 50) }}, 1)
	assert.Empty(t, res.broken)
	assert.Equal(t, 50, answered)
	assert.Empty(t, res.faults)
}

func TestNetwork_EachFault(t *testing.T) {
	t.Parallel()
	// of one request, when the fault befalls each one
	delivered := map[string]bool{Slow: true, Duplicate: true, Reorder: true}
	for _, kind := range NetworkFaults() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var answered int
			res := play(t, Simulation{Build: func(w *World) {
				w.Net.Disturb(Odds{kind: 1})
				answered = post(w, 10)
			}}, 1)
			assert.Empty(t, res.broken)
			assert.Positive(t, res.faults[kind])
			switch {
			case delivered[kind]:
				assert.NotZero(t, answered)
			case kind != Trickle && kind != Late && kind != CutAnswer && kind != CutRequest:
				assert.Zero(t, answered)
			}
		})
	}
}

func TestNetwork_SameSeedSameFaults(t *testing.T) {
	t.Parallel()
	sim := Simulation{Build: func(w *World) {
		w.Net.Disturb(Even(0.5))
		post(w, 50)
	}}
	first, second, other := play(t, sim, 7), play(t, sim, 7), play(t, sim, 8)
	assert.Equal(t, first.faults, second.faults)
	assert.NotEqual(t, first.faults, other.faults)
}

func TestProcess_KilledIsCutOff(t *testing.T) {
	t.Parallel()
	res := play(t, Simulation{Build: func(w *World) {
		p := w.Start("server", NewClock(), func(p *Process) {
			_, err := p.Listen("10.0.0.1:80")
			if err != nil {
				w.Violate("listen: %v", err)
			}
			p.Go(func() {
				if err := p.Sleep(time.Hour); !errors.Is(err, ErrKilled) {
					w.Violate("the sleep ended with %v", err)
				}
			})
		})
		w.Plan(time.Minute, "kill", p.Kill)
		w.Play(2 * time.Minute)
		if _, err := w.Net.connect(nil, "client", "10.0.0.1:80"); err == nil || p.Alive() {
			w.Violate("the process still listens")
		}
	}}, 1)
	assert.Empty(t, res.broken)
	assert.Equal(t, 2*time.Minute, res.simulated)
}

func TestPlay_ReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		build func(w *World)
		want  string
	}{
		"a violation":  {func(w *World) { w.Violate("lost %d", 7) }, "at 0s: lost 7"},
		"a panic":      {func(*World) { panic("broken") }, "panic: broken"},
		"an invariant": {func(w *World) { w.Always(func() { w.Violate("always") }); w.Play(time.Second) }, "at 1s: always"},
	} {
		t.Run(name, func(t *testing.T) {
			res := play(t, Simulation{Build: test.build}, 1)
			require.NotEmpty(t, res.broken)
			assert.Contains(t, res.broken[0], test.want)
		})
	}
}

func TestReport_NamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newReport()
	r.add(&result{faults: map[string]int{Slow: 3}, covered: map[string]int{"claim": 1}, simulated: 48 * time.Hour})
	assert.Equal(t, []string{"release"}, r.missing([]string{Slow, "claim", "release"}))
	assert.Contains(t, r.String(), "1 seeds from 0, 0 violations, 2.0 days simulated")
	r.add(&result{simulated: 250 * 365 * 24 * time.Hour})
	r.add(&result{simulated: 250 * 365 * 24 * time.Hour})
	assert.Contains(t, r.String(), "182502.0 days simulated")
}

func TestClock(t *testing.T) {
	t.Parallel()
	res := play(t, Simulation{Build: func(w *World) {
		c := NewClock()
		c.Step(-time.Hour)
		c.Drift(0.5)
		time.Sleep(time.Minute) // the bubble's time
		if got := c.Error(); got != -time.Hour+30*time.Second {
			w.Violate("the clock is ahead by %v", got)
		}
		if c.Set(); c.Error() != 0 {
			w.Violate("the clock was set and is ahead by %v", c.Error())
		}
	}}, 1)
	assert.Empty(t, res.broken)
}

func TestRest_IsNotSimulatedTime(t *testing.T) {
	t.Parallel()
	res := play(t, Simulation{Build: func(w *World) {
		w.Play(time.Minute)
		w.Rest(time.Hour)
		if w.Elapsed() != time.Hour+time.Minute {
			w.Violate("%v have passed", w.Elapsed())
		}
	}}, 1)
	assert.Empty(t, res.broken)
	assert.Equal(t, time.Minute, res.simulated)
}

func TestPlan_RunsInOrder(t *testing.T) {
	t.Parallel()
	var order []string
	res := play(t, Simulation{Build: func(w *World) {
		w.Plan(2*time.Second, "second", func() { order = append(order, "second") })
		w.Plan(time.Second, "first", func() { order = append(order, "first") })
		w.Plan(time.Minute, "too late", func() { order = append(order, "too late") })
		w.Play(3 * time.Second)
	}}, 1)
	assert.Empty(t, res.broken)
	assert.True(t, slices.Equal([]string{"first", "second"}, order), order)
}
