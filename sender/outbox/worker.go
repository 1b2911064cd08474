package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/contain/waits"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/timemath"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

const (
	// earlyMargin is how long before its time a job may run. The clock of the
	// database, by which jobs are due, can be ahead of this process's.
	earlyMargin = 100 * time.Millisecond
	// unsealRetry is about how long a delivery waits if its endpoint can't be read
	// and unsealed.
	unsealRetry = time.Minute
)

// worker makes one attempt for each job. The jobs only say when. The state of a
// delivery is in outbox_delivery.
type worker struct {
	loader        *loader
	targets       *targets
	sender        *sender.Sender
	scheduleLimit time.Duration
	concurrency   int
	limiter       *admission.Limiter
	recorder      *recorder
	pace          *replayPace
	health        *health
	notifier      *notifier
	follower      *follower
	faults        *contain.Faults
	logger        *slog.Logger
}

// Work does the due work for a delivery.
func (w *worker) Work(ctx context.Context, job jobdb.Claim) (next jobdb.Next) {
	fault := w.faults.Inline(ctx, inDelivering, func() { next = w.work(ctx, job) })
	if fault != nil {
		return jobdb.Failed(fmt.Errorf("outbox: delivering %s %w", job.Ref, fault))
	}
	return next
}

func (w *worker) work(ctx context.Context, job jobdb.Claim) jobdb.Next {
	d, err := w.loader.load(ctx, job.Ref)
	if err != nil {
		return jobdb.Failed(err)
	}
	now := time.Now()
	switch {
	case !d.found || d.state != Pending || d.job != job.Job:
		return jobdb.Done() // pruned, done, or another job's
	case d.nextAt.Sub(now) > earlyMargin:
		return jobdb.After(d.nextAt.Sub(now)) // woken up although it waits for a retry
	case d.version == 0:
		return w.end(ctx, &d, Canceled, "the endpoint was deleted")
	case d.endpointState == EndpointDisabled:
		return w.end(ctx, &d, Canceled, "the endpoint is disabled")
	case d.stale:
		return w.end(ctx, &d, Superseded, "superseded: the deployment is over")
	case d.older != "":
		return w.block(ctx, &d)
	}
	to, err := w.targets.get(ctx, &d, now)
	if err != nil {
		w.logger.WarnContext(ctx, "outbox: a delivery has to wait", slog.String("delivery", d.id),
			slog.String("endpoint", d.endpoint), slog.Any("error", err))
		return jobdb.After(jitter(unsealRetry))
	}
	return w.deliver(ctx, &d, to)
}

// end ends a delivery without an attempt. If the delivery or its endpoint has
// changed since the worker read it, the job runs again at once.
func (w *worker) end(ctx context.Context, d *loaded, s State, reason string) jobdb.Next {
	r := &result{id: d.id, job: d.job, endpoint: d.endpoint, deployment: d.deployment, state: s, reason: reason, doneAt: time.Now()}
	ended, err := w.recorder.record(ctx, r)
	switch {
	case err != nil:
		return jobdb.Failed(err)
	case !ended:
		return jobdb.After(0)
	}
	w.follower.endDelivery(ctx, d, r)
	return jobdb.Finished()
}

// block has a delivery wait for an older one.
func (w *worker) block(ctx context.Context, d *loaded) jobdb.Next {
	r := &result{id: d.id, job: d.job, state: Pending, blockedBy: d.older, nextAt: time.Now().Add(jitter(recheckAfter))}
	blocked, err := w.recorder.record(ctx, r)
	switch {
	case err != nil:
		return jobdb.Failed(err)
	case !blocked:
		return jobdb.After(0) // the older one has ended meanwhile
	}
	return jobdb.After(time.Until(r.nextAt))
}

// deliver makes an attempt if it is admitted.
func (w *worker) deliver(ctx context.Context, d *loaded, t target) jobdb.Next {
	if next, ready := w.pace.wait(ctx, d); !ready {
		return next
	}
	p, snooze, err := w.limiter.Admit(ctx, w.request(d))
	if err != nil {
		return jobdb.Failed(err)
	}
	if p == nil {
		return jobdb.After(snooze)
	}
	a := w.attempt(ctx, p, t.to, d)
	if a.Outcome == sender.Canceled {
		if ctx.Err() == nil {
			return jobdb.After(jitter(time.Second)) // the sender was closed
		}
		return jobdb.Failed(context.Cause(ctx))
	}
	if a.Outcome == sender.Rejected { // sender.WithStopOnClientError: a retry would not help
		t.schedule = sender.Once
	}
	return w.conclude(ctx, d, t.schedule, &a)
}

func (w *worker) request(d *loaded) *admission.Request {
	return &admission.Request{
		Endpoint: d.endpoint, Version: d.version, Concurrency: cmp.Or(d.concurrency, w.concurrency),
		Failing: !d.failingSince.IsZero(), BreakerOpenUntil: d.breakerOpenUntil,
		Interval: d.interval, Slots: &rateSlots{w.recorder.db, d.endpoint},
	}
}

// attempt releases the permit in any case. The application's signer, format or
// observer may panic.
func (w *worker) attempt(ctx context.Context, p *admission.Permit, to sender.Endpoint, d *loaded) (a sender.Attempt) {
	outcome := admission.Inconclusive
	defer func() {
		if openUntil := p.Release(outcome); !openUntil.IsZero() {
			w.health.storeOpenBreaker(ctx, d, openUntil)
			w.health.sayOpened(ctx, d, &a, openUntil)
		}
	}()
	a = w.sender.Attempt(ctx, to, d.message)
	failOnDeadline(ctx, &a, to)
	switch {
	case wantsNoMore(&a):
		outcome = admission.Gone
	case a.Outcome == sender.Delivered, a.Outcome == sender.Aborted: // it is up
		outcome = admission.Succeeded
	case !blamesEndpoint(&a):
	default:
		outcome = admission.Failed
	}
	return a
}

// failOnDeadline turns a canceled attempt into a failed one if its job's time
// was up, since it had all the time that there is. An attempt that Stop has cut
// off stays canceled, as does one that never began.
func failOnDeadline(ctx context.Context, a *sender.Attempt, to sender.Endpoint) {
	if a.Outcome == sender.Canceled && a.RequestHeader != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		a.Outcome, a.Class = sender.Failed, sender.ClassTimeout
		a.Err = &sender.AttemptError{Endpoint: to.String(), Class: sender.ClassTimeout}
	}
}

// wantsNoMore reports whether the endpoint asked to be disabled, which it can
// also do in an answer that accepts the delivery.
func wantsNoMore(a *sender.Attempt) bool {
	return a.Outcome == sender.Gone || a.Directive == sender.DirectiveDisable
}

// blamesEndpoint reports whether an attempt that did not deliver says something
// about the endpoint. It does not if nothing was sent because the attempt was
// canceled or the signer failed, or if the endpoint refused only this delivery.
func blamesEndpoint(a *sender.Attempt) bool {
	return a.Outcome != sender.Canceled && a.Outcome != sender.Aborted && a.Class != sender.ClassSigner
}

// disabledBy returns the reason for which an attempt disables the endpoint.
func disabledBy(a *sender.Attempt) string {
	if a.Status == http.StatusGone {
		return "the endpoint answered 410 Gone"
	}
	return "the endpoint answered with Webhook-Delivery: " + string(a.Directive)
}

// conclude decides what the attempt means, and records it. It ignores the end
// of the job's context, since what the endpoint has received must be on record.
// A failure that did not count is no dead letter, and the job is not the
// delivery's any more. An endpoint that wants no more is disabled in any case.
func (w *worker) conclude(ctx context.Context, d *loaded, schedule sender.Schedule, a *sender.Attempt) jobdb.Next {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*batchTimeout)
	defer cancel()
	r := newResult(d, w.contained(ctx, schedule), a, time.Now())
	counted, err := w.recorder.record(ctx, r)
	if err != nil {
		return jobdb.Failed(err) // the attempt is made again: at least once
	}
	w.follower.endDelivery(ctx, d, r)
	// The hook comes last, since it may hang.
	var notices []Notice
	switch {
	case wantsNoMore(a):
		failure := w.health.describe(ctx, NoticeDisabled, d, r)
		notices = w.health.tryDisable(ctx, owned{d.app, d.endpoint}, failure, disabledBy(a), ` AND version = ?`, d.version)
	case counted && a.Outcome != sender.Delivered && blamesEndpoint(a):
		notices = w.health.afterFailure(ctx, d, r)
	}
	w.health.sayRecovered(ctx, d, r)
	w.notifier.notify(ctx, append(r.notices(d), notices...)...)
	switch {
	case r.state != Pending:
		return jobdb.Finished()
	case counted:
		return jobdb.After(time.Until(r.nextAt))
	}
	return jobdb.Done()
}

// contained is the application's schedule, and the platform's after a fault.
func (w *worker) contained(ctx context.Context, s sender.Schedule) sender.Schedule {
	return func() backoff.BackOff {
		return waits.New(ctx, w.faults, inSchedule, w.scheduleLimit, s, sender.Platform)
	}
}

// newResult turns an attempt into what is recorded.
func newResult(d *loaded, schedule sender.Schedule, a *sender.Attempt, now time.Time) *result {
	r := &result{id: d.id, job: d.job, endpoint: d.endpoint, deployment: d.deployment, version: d.version, attempt: a, doneAt: now}
	if a.Outcome == sender.Delivered {
		r.state = Delivered
		return r
	}
	if blamesEndpoint(a) {
		r.failingSince = a.Start
	}
	began := d.runAt
	if d.step == 0 {
		began = a.Start
	}
	wait, more := nthWait(schedule, d.step, timemath.Elapsed(began, now))
	if a.Outcome == sender.Gone || a.Outcome == sender.Aborted || !more {
		r.state = Failed
		return r
	}
	r.state, r.doneAt, r.nextAt = Pending, time.Time{}, now.Add(max(wait, a.RetryAfter))
	return r
}

// notices returns what the hook is told about a result.
func (r *result) notices(d *loaded) []Notice {
	n := Notice{
		Kind: NoticeAttempt, App: d.app, Endpoint: d.endpoint, Delivery: d.id, Type: d.typ, State: r.left, Attempt: r.attempt,
	}
	all := []Notice{n}
	if r.counted && r.state != Pending {
		n.Kind, n.Attempt = NoticeDone, nil
		all = append(all, n)
	}
	if r.recovered {
		recovered := Notice{Kind: NoticeRecovered, App: d.app, Endpoint: d.endpoint, Failure: &Failure{Next: nextSteps[NoticeRecovered]}}
		if r.outage != nil {
			recovered.Failure.Since, recovered.Failure.FirstError = r.outage.since, r.outage.firstError
		}
		all = append(all, recovered)
	}
	return all
}

// jitter returns half to one and a half times d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }
