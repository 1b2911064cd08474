package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Deploy accepts a deployment and returns when its deploy.started is recorded.
// The deployment continues until it is over or the engine is closed. An app has
// one deployment at a time. Another one is refused with [ErrBusy]. Mistakes in
// the request are a [*FieldError] or a *payload.ValidationError.
func (e *Engine) Deploy(ctx context.Context, r Request) (Deployment, error) {
	now := time.Now().UTC()
	d, src, err := r.deployment(now)
	if err != nil {
		return Deployment{}, err
	}
	if err := e.begin(); err != nil {
		return Deployment{}, err
	}
	a := e.app(r.App)
	if err := a.reserve(); err != nil {
		e.wg.Done()
		return Deployment{}, err
	}
	d.PreviousVersion = a.liveVersion()
	started := d.event(payload.DeployStarted, now)
	if err = started.Validate(); err == nil {
		// Recording does not end with ctx. Otherwise it would be unknown
		// whether the deployment was announced.
		recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		err = e.cfg.Record(recording, d, started)
		cancel()
	}
	if err != nil {
		a.free()
		e.wg.Done()
		return Deployment{}, err
	}
	accepted := d
	go func() {
		defer e.wg.Done()
		e.run(a, &d, src, e.cfg.limits(r))
		a.free() // before the record is done, so that a waiting caller can deploy the next one
		d.Step = StepDone
		e.record(&d, nil)
	}()
	return accepted, nil
}

// run executes the steps of a deployment.
func (e *Engine) run(a *app, d *Deployment, src source, l limits) {
	b, err := e.builder.build(e.ctx, src)
	if err != nil {
		e.fail(d, err)
		return
	}
	d.Step = StepStarting
	e.record(d, d.buildCompleted(b, time.Now()))
	i, h, err := e.launch(e.ctx, *d, b, l.health)
	if err != nil {
		e.fail(d, err)
		if version := a.liveVersion(); version != "" && e.ctx.Err() == nil {
			e.rolledBack(d, version, fmt.Sprintf("%s did not become healthy", d.Version))
		}
		return
	}
	e.record(d, d.healthCheckPassed(h, i, time.Now()))
	if e.ctx.Err() != nil {
		e.stop(i)
		e.fail(d, context.Cause(e.ctx))
		return
	}
	e.switchTo(a, d, i, l.watch)
}

// switchTo sends traffic to an instance, watches it, and rolls back if it
// fails.
func (e *Engine) switchTo(a *app, d *Deployment, i *instance, watch time.Duration) {
	now := time.Now().UTC()
	d.Status, d.Step, d.URL, d.CompletedAt = payload.StatusSuccess, StepWatching, e.cfg.URL(d.App), &now
	old := a.promote(&release{deployment: *d, instance: i})
	e.record(d, d.live(i, now))
	if err := e.prober.watch(e.ctx, i, watch); err != nil {
		e.rollBack(a, d, i, old, err)
		return
	}
	if old == nil || e.ctx.Err() != nil {
		return
	}
	d.Step = StepDraining
	e.record(d, nil)
	e.drain(old.instance)
	a.remember(old.deployment)
}

// rollBack makes the old version live again. It is still running.
func (e *Engine) rollBack(a *app, d *Deployment, i *instance, old *release, reason error) {
	a.promote(old)
	e.drain(i)
	if old == nil {
		// There is no version to return to, so there is no deploy.rolled_back,
		// which must name one. The record must not stay a success. Otherwise a
		// restart or a rollback would bring the crashed version back.
		d.Status, d.URL, d.Error = payload.StatusRolledBack, "", reason.Error()
		e.record(d, nil)
		e.cfg.Logger.Error("the app is down", "app", d.App, "deployment", d.ID, "error", reason)
		return
	}
	e.rolledBack(d, old.deployment.Version, reason.Error())
}

// fail ends a deployment with an error. A cancelled deployment has its own
// status.
func (e *Engine) fail(d *Deployment, reason error) {
	now := time.Now().UTC()
	d.Status, d.Error, d.CompletedAt = payload.StatusFailure, reason.Error(), &now
	if errors.Is(reason, errCancelled) {
		d.Status = payload.StatusCancelled
	}
	e.record(d, d.failed(now))
}

func (e *Engine) rolledBack(d *Deployment, to, reason string) {
	d.Status, d.URL = payload.StatusRolledBack, e.cfg.URL(d.App)
	if d.Error == "" {
		d.Error = reason
	}
	e.record(d, d.rolledBack(to, reason, true, time.Now()))
}
