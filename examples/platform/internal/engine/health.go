package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	healthPath     = "/health"
	healthInterval = 100 * time.Millisecond
)

// errUnhealthy is wrapped if an instance did not become or stay healthy.
var errUnhealthy = errors.New("health check failed")

// health is the result of a check.
type health struct {
	status   int
	took     time.Duration
	attempts int
	err      error
}

func (h health) ok() bool { return h.err == nil && h.status == http.StatusOK }

func (h health) String() string {
	if h.err != nil {
		return "no answer"
	}
	return fmt.Sprintf("%s answered %d", healthPath, h.status)
}

// prober checks the health of instances.
type prober struct {
	client *http.Client
	limit  time.Duration // of one check
}

func newProber(rt http.RoundTripper, limit time.Duration) prober {
	return prober{limit: limit, client: &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (p prober) check(ctx context.Context, i *instance) health {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	begun := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.addr+healthPath, nil)
	if err != nil {
		return health{err: err}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return health{took: time.Since(begun), err: err}
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4096) // the status decides; the rest lets the connection be used again
	return health{status: resp.StatusCode, took: time.Since(begun)}
}

// await checks an instance until it is healthy, exits, or limit has passed.
func (p prober) await(ctx context.Context, i *instance, limit time.Duration) (health, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	var last health
	for attempts := 1; ; attempts++ {
		last = p.check(ctx, i)
		last.attempts = attempts
		if last.ok() {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, context.Cause(ctx)
		case <-i.done:
			return last, fmt.Errorf("%w: %w", errUnhealthy, i.exited())
		case <-deadline.C:
			err := fmt.Errorf("%w: not healthy within %v, %d checks: %v", errUnhealthy, limit, attempts, last)
			if said := i.output.String(); said != "" {
				err = fmt.Errorf("%w; it said: %s", err, said)
			}
			return last, err
		case <-tick.C:
		}
	}
}

// failuresInARow is how many consecutive checks of a live instance must fail
// before it is unhealthy.
const failuresInARow = 3

// watch checks a live instance for a period. It returns why the instance must
// be replaced, or nil.
func (p prober) watch(ctx context.Context, i *instance, period time.Duration) error {
	end := time.NewTimer(period)
	defer end.Stop()
	tick := time.NewTicker(3 * healthInterval)
	defer tick.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-i.done:
			return i.exited()
		case <-end.C:
			return nil
		case <-tick.C:
		}
		if last := p.check(ctx, i); last.ok() || ctx.Err() != nil {
			failures = 0
		} else if failures++; failures == failuresInARow {
			return fmt.Errorf("%w after it went live: %v", errUnhealthy, last)
		}
	}
}
