package dora

import (
	"context"
	"errors"
	"time"

	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// Calculator computes reports from a ledger. It remembers commits, so that a
// report that is computed again reads only the new ones. Records are read again
// each time, because what arrives late changes the past. Make it with [New]. It
// is safe for concurrent use, has no goroutine, and need not be closed.
type Calculator struct {
	*config
	ledger deployments.History
	cache  *cache
}

// New returns a calculator. All configuration errors are reported at once and
// wrap [ErrConfig].
func New(ledger deployments.History, opts ...Option) (*Calculator, error) {
	c, err := newConfig(opts)
	if nilable.IsNil(ledger) {
		err = errors.Join(err, configError("New: the ledger is nil; make one with sqlledger.OpenSQLite, say, and check its error"))
	}
	if err != nil {
		return nil, err
	}
	return &Calculator{config: c, ledger: ledger, cache: newCache(c.maxCommits)}, nil
}

// Report computes the metrics of one service in one environment. The
// Environment of s is required.
func (c *Calculator) Report(ctx context.Context, organization string, s deployments.Scope, w Window) (*Report, error) {
	if c == nil || c.config == nil {
		return nil, configError("the Calculator was not made with New; check the error of New")
	}
	if w.zone == nil {
		return nil, configError("the window is empty; make it with NewWindow and check its error")
	}
	if s.Environment == "" {
		return nil, configError("the scope has no Environment; every deployment has one")
	}
	return c.compute(ctx, c.cache, Input{
		Organization: organization, Scope: s, Runs: c.ledger.Runs(ctx, organization, s, time.Time{}, time.Time{}),
		Incidents: c.ledger.Incidents(ctx, organization),
	}, w)
}

// Scopes returns the services and environments that an organization has.
func (c *Calculator) Scopes(ctx context.Context, organization string) ([]deployments.Scope, error) {
	if c == nil || c.config == nil {
		return nil, configError("the Calculator was not made with New; check the error of New")
	}
	return c.ledger.Scopes(ctx, organization)
}

// Reports computes the metrics of all services and environments of an
// organization.
func (c *Calculator) Reports(ctx context.Context, organization string, w Window) ([]*Report, error) {
	scopes, err := c.Scopes(ctx, organization)
	if err != nil {
		return nil, err
	}
	reports := make([]*Report, 0, len(scopes))
	for _, s := range scopes {
		r, err := c.Report(ctx, organization, s, w)
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}
