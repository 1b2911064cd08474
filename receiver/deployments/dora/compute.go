package dora

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// Input is what a report is computed from.
type Input struct {
	// Organization is passed on to the report and to [Commits]. It may be empty.
	Organization string
	// Scope is that of all runs. Its Environment is required.
	Scope deployments.Scope
	// Runs are all runs of the scope, from the first one on and also those after
	// the window, because later ones tell which earlier ones failed. Their order
	// does not matter. Required.
	Runs iter.Seq2[deployments.Run, error]
	// Incidents are those of the organization, in any order. Others than the
	// scope's are passed over. Nil means none.
	Incidents iter.Seq2[payload.Incident, error]
}

// Compute returns the metrics of one service in one environment. The package's
// documentation has the rules. The same input gives the same report in any
// order.
//
// Errors are those of the input, the context's, and [ErrConfig].
func Compute(ctx context.Context, in Input, w Window, opts ...Option) (*Report, error) {
	c, err := newConfig(opts)
	if w.zone == nil {
		err = errors.Join(err, configError("the window is empty; make it with NewWindow and check its error"))
	}
	if in.Runs == nil {
		err = errors.Join(err, configError("Input.Runs is nil; a ledger's Runs returns them"))
	}
	if in.Scope.Environment == "" {
		err = errors.Join(err, configError("Input.Scope has no Environment; every deployment has one"))
	}
	if err != nil {
		return nil, err
	}
	return c.compute(ctx, newCache(c.maxCommits), in, w)
}

// compute contains faults of the ledger, the history and the marker. They may
// be the application's, and one that ignores ctx must not hold the caller.
func (c *config) compute(ctx context.Context, k *cache, in Input, w Window) (*Report, error) {
	type result struct {
		report *Report
		err    error
	}
	done := make(chan result, 1)
	fault := contain.CallUntil(ctx, func() {
		report, err := c.measured(ctx, k, in, w)
		done <- result{report, err}
	})
	if fault != nil {
		return nil, fmt.Errorf("dora: the ledger, the history or the marker %w", fault)
	}
	r := <-done
	return r.report, r.err
}

func (c *config) measured(ctx context.Context, k *cache, in Input, w Window) (*Report, error) {
	h := &history{
		config: c, organization: in.Organization, scope: in.Scope, window: w, from: w.From(), to: w.To(), cache: k,
		leftOut: []LeftOutIncident{}, notLive: []deployments.Run{},
	}
	if err := h.read(ctx, in.Runs); err != nil {
		return nil, err
	}
	if err := h.readIncidents(ctx, in.Incidents); err != nil {
		return nil, err
	}
	if err := h.measure(ctx); err != nil {
		return nil, err
	}
	h.blame()
	return h.report(), nil
}
