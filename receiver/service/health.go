package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/loglimit"
)

const (
	// checkEvery is the shortest time between two rounds of checks.
	checkEvery = 5 * time.Second
	// reportEvery is the time between two log lines while the service stays not
	// ready.
	reportEvery = time.Minute
)

var (
	// ErrStopping is the error of [Service.Ready] after the stop has begun.
	ErrStopping = errors.New("service: the service is stopping")

	errStillRunning = errors.New("an earlier check has not returned yet")
)

// health runs the checks. Concurrent callers share one round.
type health struct {
	checks  []*runningCheck
	timeout time.Duration
	logger  *slog.Logger
	faults  *contain.Faults
	lines   *loglimit.Limiter
	ending  context.Context // ends when the service has stopped

	mu       sync.Mutex
	round    chan struct{} // closed at the end of the running round; nil if none runs
	checked  time.Time     // when the last round ended
	problems []error       // of the checks, in their order; it is not changed

	reporting sync.Mutex
	since     time.Time // when the service became not ready; zero if it is ready
}

// runningCheck remembers whether its last call has returned.
type runningCheck struct {
	check

	running atomic.Bool
}

func newHealth(ending context.Context, c *config, faults *contain.Faults) *health {
	h := &health{timeout: c.checkTimeout, logger: c.logger, faults: faults, lines: loglimit.New(1, reportEvery), ending: ending}
	for _, own := range c.checks {
		h.checks = append(h.checks, &runningCheck{check: own})
	}
	return h
}

// ready returns nil if all checks succeeded in the round of [health.wait].
func (h *health) ready(ctx context.Context) error {
	problems, err := h.wait(ctx)
	return errors.Join(errors.Join(problems...), err)
}

// results returns the result of each check in the round of [health.wait].
// Checks that have not ended with ctx have failed.
func (h *health) results(ctx context.Context) []CheckResult {
	problems, err := h.wait(ctx)
	all := make([]CheckResult, len(h.checks))
	for i, c := range h.checks {
		all[i] = CheckResult{Name: c.name, Err: err}
		if err == nil {
			all[i].Err = problems[i]
		}
	}
	return all
}

// wait returns what was wrong with each check in a round that ended within the
// last 5 seconds. Otherwise it runs a new one. A round does not end with
// ctx, because other callers wait for it.
func (h *health) wait(ctx context.Context) (problems []error, err error) {
	if len(h.checks) == 0 {
		return nil, nil
	}
	h.mu.Lock()
	if h.round == nil {
		if !h.checked.IsZero() && time.Since(h.checked) < checkEvery {
			defer h.mu.Unlock()
			return h.problems, nil
		}
		h.round = make(chan struct{})
		go h.runRound(h.round)
	}
	round := h.round
	h.mu.Unlock()
	select {
	case <-round:
	case <-ctx.Done():
		return nil, fmt.Errorf("service: the checks have not ended: %w", ctx.Err())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problems, nil
}

func (h *health) runRound(round chan struct{}) {
	ctx, cancel := context.WithTimeout(h.ending, h.timeout)
	defer cancel()
	problems := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { problems[i] = h.run(ctx, c) })
	}
	wg.Wait()
	h.mu.Lock()
	h.checked, h.problems, h.round = time.Now(), problems, nil
	close(round)
	h.mu.Unlock()
	h.report(errors.Join(problems...)) // last, because a logger may hang
}

// run calls one check. The call may outlive it.
func (h *health) run(ctx context.Context, c *runningCheck) error {
	if c.running.Swap(true) {
		return fmt.Errorf("%s: %w", c.name, errStillRunning)
	}
	var err error
	fault := h.faults.CallUntil(ctx, inCheck, func() {
		defer c.running.Store(false)
		err = c.ready(ctx)
	})
	if fault != nil {
		return fmt.Errorf("%s: the check %w", c.name, fault)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// report logs a change, and repeats a failure once a minute.
func (h *health) report(result error) {
	if h.ending.Err() != nil || !h.reporting.TryLock() {
		return
	}
	defer h.reporting.Unlock()
	switch {
	case result == nil && !h.since.IsZero():
		h.logger.Info("service: ready again", slog.Duration("after", time.Since(h.since)))
		h.since, h.lines = time.Time{}, loglimit.New(1, reportEvery)
	case result != nil:
		if h.since.IsZero() {
			h.since = time.Now()
		}
		if left, allowed := h.lines.Allow(""); allowed {
			attrs := []slog.Attr{slog.Duration("for", time.Since(h.since)), slog.String("error", result.Error())}
			h.logger.LogAttrs(context.Background(), slog.LevelError, "service: not ready", loglimit.Append(attrs, left)...)
		}
	}
}

// answer writes a health answer, which never has a reason.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"status":"`+text+`"}`+"\n") // the client may have gone
}

func (s *Service) serveReady(w http.ResponseWriter, r *http.Request) {
	switch err := s.Ready(r.Context()); {
	case err == nil:
		answer(w, http.StatusOK, "ready")
	case errors.Is(err, ErrStopping):
		answer(w, http.StatusServiceUnavailable, "stopping")
	default:
		answer(w, http.StatusServiceUnavailable, "not ready")
	}
}
