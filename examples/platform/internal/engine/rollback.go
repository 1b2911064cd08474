package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Rollback makes the previous version live again on request and returns the
// record of the rolled-back deployment. It returns when traffic is switched and
// deploy.rolled_back is recorded. Requests in flight to the other version then
// finish. If the previous version does not become healthy, nothing changes and
// the error is an [ErrUnhealthy].
//
// If id is not empty, only that deployment is rolled back. If it is not live,
// nothing changes and the error is [ErrNotLive]. A caller that does not know
// whether its request arrived can therefore repeat it, and a deployment that
// went live in the meantime stays.
func (e *Engine) Rollback(ctx context.Context, name, id, reason string) (Deployment, error) {
	if err := e.begin(); err != nil {
		return Deployment{}, err
	}
	defer e.wg.Done()
	a := e.app(name)
	if err := a.reserve(); err != nil {
		return Deployment{}, err
	}
	d, gone, err := e.rollback(ctx, a, id, reason)
	if err != nil {
		a.free()
		return Deployment{}, err
	}
	e.wg.Add(1) // Close already waits, and now also waits for this call
	go func() {
		defer e.wg.Done()
		e.drain(gone)
		a.free()
		done := d
		done.Step = StepDone
		e.record(&done, nil)
	}()
	return d, nil
}

func (e *Engine) rollback(ctx context.Context, a *app, id, reason string) (Deployment, *instance, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.ctx, func() { cancel(ErrClosed) })()
	if err := a.checkLive(id); err != nil {
		return Deployment{}, nil, err
	}
	to, err := a.before(false)
	if err != nil {
		return Deployment{}, nil, err
	}
	i, err := e.revive(ctx, to)
	if err != nil {
		return Deployment{}, nil, err
	}
	_, _ = a.before(true) // there is one, see above, and the app is reserved
	gone := a.promote(&release{deployment: to, instance: i})
	d := gone.deployment
	d.Status, d.Step = payload.StatusRolledBack, StepDraining
	if d.Error == "" {
		d.Error = reason
	}
	e.record(&d, d.rolledBack(to.Version, reason, false, time.Now()))
	return d, gone.instance, nil
}

// revive starts a version that was live before.
func (e *Engine) revive(ctx context.Context, d Deployment) (*instance, error) {
	src, ok := readSource(d.Source)
	if !ok {
		return nil, fmt.Errorf("the program %q of version %s is gone", d.Source, d.Version)
	}
	b, err := e.builder.build(ctx, src)
	if err != nil {
		return nil, err
	}
	i, _, err := e.launch(ctx, d, b, e.cfg.HealthTimeout)
	return i, err
}

// Resume starts the version that was live before the platform stopped.
// successes are an app's successful deployments, oldest first. The last one
// goes live, and the others are versions to roll back to. Resume returns at
// once and publishes nothing. An app that does not start is logged and answers
// 503.
func (e *Engine) Resume(name string, successes []Deployment) error {
	if len(successes) == 0 {
		return nil
	}
	if err := e.begin(); err != nil {
		return err
	}
	a := e.app(name)
	if err := a.reserve(); err != nil {
		e.wg.Done()
		return err
	}
	last := successes[len(successes)-1]
	go func() {
		defer e.wg.Done()
		defer a.free()
		i, err := e.revive(e.ctx, last)
		if err != nil {
			if e.ctx.Err() == nil {
				e.cfg.Logger.Error("an app did not start again", "app", name, "version", last.Version, "error", err)
			}
			return
		}
		a.remember(successes[:len(successes)-1]...)
		a.promote(&release{deployment: last, instance: i})
		e.cfg.Logger.Info("an app is back", "app", name, "version", last.Version)
	}()
	return nil
}

// Abandon ends a deployment that was in progress when the platform was killed.
func (e *Engine) Abandon(ctx context.Context, d Deployment) error {
	now := time.Now().UTC()
	// it already had its outcome, and only the cleanup was interrupted
	if d.Status != payload.StatusInProgress {
		d.Step = StepDone
		return e.cfg.Record(ctx, d, nil)
	}
	d.Status, d.Step, d.CompletedAt = payload.StatusCancelled, StepDone, &now
	d.Error = "the deployment was cancelled: the platform was killed"
	return e.cfg.Record(ctx, d, d.failed(now))
}
