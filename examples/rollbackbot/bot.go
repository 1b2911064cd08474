package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// bot handles the events that the inbox has stored.
type bot struct {
	logger   *slog.Logger
	tester   *tester
	alerter  *alerter
	platform *platform // nil without -platform
	rollback bool
	claims   dedupe.Store
	lease    time.Duration
}

func newBot(ctx context.Context, o *options, s *sender.Sender, logger *slog.Logger) (*bot, error) {
	b := &bot{logger: logger, rollback: o.rollback, lease: o.lease}
	b.tester = &tester{checks: o.checks, patience: o.patience, interval: o.interval, transport: s.Transport()}
	var err error
	if b.alerter, err = newAlerter(o, s, logger); err != nil || o.platform == "" {
		return b, err
	}
	if b.platform, err = newPlatform(o.platform, o.token); err != nil {
		return nil, err
	}
	// A wrong token should not show when a deployment is broken. A platform that
	// is down now may be back then.
	err = b.platform.check(ctx)
	if r, ok := errors.AsType[*refusal](err); ok && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden) {
		return nil, fmt.Errorf("-platform: %w; set ROLLBACKBOT_PLATFORM_TOKEN to a token that may write", err)
	}
	if err != nil {
		logger.WarnContext(ctx, "the platform does not answer", "error", err)
	}
	return b, nil
}

var errInFlight = errors.New("another process or event is testing this deployment; this event is tried again later")

// onEvent tests a deployment that went live, unless that was done before. The
// claim is for the deployment and not for the delivery, because the same
// deployment can come in several events.
func (b *bot) onEvent(ctx context.Context, e *payload.Event) error {
	if e.Type != payload.DeployLive || !b.tester.applies(e.App) {
		return nil
	}
	claim, err := b.claims.Claim(ctx, dedupe.NewKey("rollbackbot", e.App, e.DeploymentID), b.lease)
	switch {
	case err != nil:
		return err
	case claim.State == dedupe.Completed:
		return nil
	case claim.State == dedupe.InFlight:
		return errInFlight
	}
	ctx, stop := b.renew(ctx, claim)
	err = b.examine(ctx, e)
	stop()
	// The result is stored even if the inbox stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err != nil {
		return errors.Join(err, b.claims.Release(ctx, claim))
	}
	return b.claims.Complete(ctx, claim)
}

// renew renews the claim until stop is called. If the claim is lost, the
// returned context ends, because another process has taken over.
func (b *bot) renew(parent context.Context, claim dedupe.Claim) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(b.lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := b.claims.Renew(ctx, claim, b.lease); errors.Is(err, dedupe.ErrLeaseLost) {
				cancel(err)
			}
		}
	}()
	return ctx, func() { cancel(nil); <-stopped }
}

// examine tests a deployment and acts on the result.
func (b *bot) examine(ctx context.Context, e *payload.Event) error {
	log := b.logger.With("app", e.App, "deployment", e.DeploymentID, "version", e.Version)
	if b.platform != nil {
		// After a crash the deployment may already be rolled back. Its URL then
		// belongs to another version.
		status, err := b.platform.status(ctx, e.App, e.DeploymentID)
		if err == nil && status == payload.StatusRolledBack {
			log.InfoContext(ctx, "not tested, because the deployment was rolled back")
			return nil
		}
		if err != nil {
			log.WarnContext(ctx, "the platform could not be asked about the deployment", "error", err)
		}
	}
	begin := time.Now()
	r, err := b.tester.test(ctx, e.App, e.URL)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "tested", "outcome", r.outcome, "tries", r.tries, "took", time.Since(begin).Round(time.Millisecond))
	if r.outcome == passed {
		return nil
	}
	wait := b.alerter.alert(ctx, smokeTestFailed, e, r.problem)
	defer wait()
	if !b.rollback || r.outcome != broken {
		return nil
	}
	return b.rollBack(ctx, log, e, r.problem)
}

// rollBack returns an error if the inbox should try again. The tests then run
// again, too, so a deployment that has recovered is not rolled back. If no
// retry can help, the alert has told a person.
func (b *bot) rollBack(ctx context.Context, log *slog.Logger, e *payload.Event, problem string) error {
	what, err := b.platform.rollBack(ctx, e.App, e.DeploymentID, "smoke test: "+problem)
	if err == nil {
		log.WarnContext(ctx, "rollback", "result", what)
		return nil
	}
	if ctx.Err() != nil { // the bot stops, or another one has taken over
		return context.Cause(ctx)
	}
	b.alerter.alert(ctx, rollbackFailed, e, err.Error())()
	if final(err) {
		return nil
	}
	return err
}
