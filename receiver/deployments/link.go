package deployments

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/deployhook/deployhook/payload"
)

// link counts the pull requests of the recorded deployment and counts those of
// shifted records again. unlinked reports whether the deployment's own pull
// requests could not be counted.
func (e *Endpoint) link(ctx context.Context, organization string, recorded *Recorded) (unlinked bool, err error) {
	if e.linker == nil || recorded.Stale {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.linkTimeout)
	defer cancel()
	err = e.linkRecord(ctx, organization, &recorded.Record)
	unlinked = err != nil
	for i := range recorded.Shifted {
		err = errors.Join(err, e.linkRecord(ctx, organization, &recorded.Shifted[i]))
	}
	return unlinked, err
}

func (e *Endpoint) linkRecord(ctx context.Context, organization string, r *Record) error {
	if r.Linked || r.Deployment.Status != payload.StatusSuccess || !slices.Contains(e.environments, r.Deployment.Environment) {
		return nil
	}
	link := r.Link(organization)
	prs, err := e.count(ctx, link)
	if err != nil {
		return fmt.Errorf("deployment %q: %w", link.DeploymentID, err)
	}
	_, err = call(ctx, e.faults, inLedger, func(ctx context.Context) (struct{}, error) { return struct{}{}, e.ledger.SetLinked(ctx, link, prs) })
	if err != nil {
		return fmt.Errorf("deployment %q: %d pull requests, not stored: %w", link.DeploymentID, prs, err)
	}
	r.Linked, r.LinkedPRs = true, prs
	return nil
}

// count calls the linker. A fault in one link does not affect the others.
func (e *Endpoint) count(ctx context.Context, link Link) (prs int, err error) {
	prs, err = call(ctx, e.faults, inLinker, func(ctx context.Context) (int, error) { return e.linker.LinkedPRs(ctx, link) })
	switch {
	case err != nil:
		return 0, err
	case prs < 0:
		return 0, fmt.Errorf("deployments: the linker returned %d pull requests", prs)
	}
	return prs, nil
}
