package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"

	"github.com/deployhook/deployhook/sender"
)

const (
	// early is how far before its time a job may run: River looks at its queue a little ahead.
	early = 100 * time.Millisecond
	// lockedOut is about how long a delivery waits when its endpoint can't be unsealed, or the database fails.
	lockedOut = time.Minute
)

// worker makes one attempt for each job. River's jobs are only the clock: where a delivery stands is in outbox_delivery.
type worker struct {
	river.WorkerDefaults[jobArgs]

	o *Outbox
}

// NextRetry is asked when Work has failed, which is a trouble of ours and not of the endpoint's, and when a job is taken up again
// after a crash.
func (w *worker) NextRetry(job *river.Job[jobArgs]) time.Time {
	pause := time.Second << min(max(len(job.Errors)-1, 0), 5)
	return time.Now().Add(rand.N(pause))
}

// Work does what is due for a delivery. A nil result means that the job is done, a snooze that it comes again.
func (w *worker) Work(ctx context.Context, job *river.Job[jobArgs]) (err error) {
	fault := w.o.faults.Inline(ctx, inDelivering, func() { err = w.work(ctx, job) })
	if fault != nil {
		return fmt.Errorf("outbox: delivering %s %w", job.Args.ID, fault)
	}
	return err
}

func (w *worker) work(ctx context.Context, job *river.Job[jobArgs]) error {
	o := w.o
	d, err := o.loader.Do(ctx, job.Args.ID)
	if err != nil {
		return err
	}
	now := time.Now()
	switch {
	case !d.found || d.state != Pending || d.job != job.ID:
		return nil // pruned, done, or another job's
	case d.nextAt.Sub(now) > early:
		return river.JobSnooze(d.nextAt.Sub(now)) // called back although it waits for a retry
	case d.version == 0:
		return o.drop(ctx, &d, Canceled, "the endpoint was deleted")
	case d.endpointState == EndpointDisabled:
		return o.drop(ctx, &d, Canceled, "the endpoint is disabled")
	case d.stale:
		return o.drop(ctx, &d, Superseded, "superseded: the deployment is over")
	}
	to, err := o.ready(ctx, &d, now)
	if err != nil {
		o.logger.ErrorContext(ctx, "outbox: a delivery has to wait", slog.String("delivery", d.id),
			slog.String("endpoint", d.endpoint), slog.Any("error", err))
		return river.JobSnooze(jitter(lockedOut))
	}
	return o.deliver(ctx, &d, to, job.ID)
}

// drop ends a delivery without an attempt.
func (o *Outbox) drop(ctx context.Context, d *loaded, s State, reason string) error {
	_, err := o.writer.Do(ctx, &result{id: d.id, job: d.job, state: s, reason: reason, doneAt: time.Now()})
	return err
}

// ready returns the delivery's endpoint, unsealed.
func (o *Outbox) ready(ctx context.Context, d *loaded, now time.Time) (cachedEndpoint, error) {
	if e, ok := o.cache.get(d.endpoint, d.version, now); ok {
		return e, nil
	}
	row, err := o.readOpen(ctx, o.db, d.endpoint)
	if err != nil {
		return cachedEndpoint{}, err
	}
	to, until, err := o.target(row, now)
	if err != nil {
		return cachedEndpoint{}, err
	}
	schedule, ok := o.schedules[row.Schedule]
	if !ok {
		o.logger.WarnContext(ctx, "outbox: the endpoint's schedule is not registered; using platform",
			slog.String("endpoint", d.endpoint), slog.String("schedule", row.Schedule))
		schedule = sender.Platform
	}
	e := cachedEndpoint{version: row.version, to: to, until: until, schedule: schedule}
	o.cache.put(d.endpoint, e)
	return e, nil
}

// deliver makes an attempt, if the endpoint has a slot for it.
func (o *Outbox) deliver(ctx context.Context, d *loaded, e cachedEndpoint, job int64) error {
	limits := laneLimits{version: d.version, cap: d.concurrency, failing: !d.failingSince.IsZero(), holdUntil: d.holdUntil}
	if limits.cap == 0 {
		limits.cap = o.concurrency
	}
	if d.spacing > 0 {
		if wait, err := o.pace(ctx, d, limits, job); err != nil || wait > 0 {
			return snoozeOr(wait, err)
		}
	}
	p, hold := o.gate.admit(ctx, d.endpoint, limits, job)
	if p == nil {
		return river.JobSnooze(hold)
	}
	attempt := o.attempt(ctx, p, e.to, d)
	if attempt.Outcome == sender.Canceled {
		if ctx.Err() == nil {
			return river.JobSnooze(jitter(time.Second)) // the sender was closed
		}
		return context.Cause(ctx)
	}
	if attempt.Outcome == sender.Rejected { // sender.WithStopOnClientError: no attempt will mend it
		e.schedule = sender.Once
	}
	return o.conclude(ctx, d, e.schedule, &attempt)
}

func snoozeOr(wait time.Duration, err error) error {
	if err != nil {
		return err
	}
	return river.JobSnooze(wait)
}

// attempt gives the permit back whatever happens: a signer, a format or an observer of the application may panic.
func (o *Outbox) attempt(ctx context.Context, p *permit, to sender.Endpoint, d *loaded) (a sender.Attempt) {
	v := endpointUnknown
	defer func() {
		if until := p.done(v); !until.IsZero() {
			o.announceHold(ctx, d, until)
		}
	}()
	a = o.sender.Attempt(ctx, to, d.message)
	blameDeadline(ctx, &a, to)
	a.Number = d.attempts + 1
	switch {
	case a.Outcome == sender.Delivered:
		v = endpointUp
	case a.Outcome == sender.Canceled, unsigned(&a):
	case a.Outcome == sender.Gone:
		v = endpointGone
	default:
		v = endpointDown
	}
	return a
}

// unsigned reports that there was nothing to send, because the signer failed. That
// says nothing about the endpoint.
func unsigned(a *sender.Attempt) bool { return a.Class == sender.ClassSigner }

// conclude decides what the attempt means, and writes it down. From here on the job's own context does not matter: what the
// endpoint has seen must be on record.
func (o *Outbox) conclude(ctx context.Context, d *loaded, schedule sender.Schedule, a *sender.Attempt) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*batchTimeout)
	defer cancel()
	r := decide(d, o.contained(ctx, schedule), a, time.Now())
	if _, err := o.writer.Do(ctx, r); err != nil {
		return err // made again: at least once
	}
	// The hook comes last: it may hang.
	var news []Notice
	switch {
	case a.Outcome == sender.Gone:
		news = o.disableQuietly(ctx, d.endpoint, "the endpoint answered 410 Gone", ` AND version = ?`, d.version)
	case a.Outcome != sender.Delivered && !unsigned(a):
		news = o.judgeHealth(ctx, d, r)
	}
	o.report(ctx, d, r)
	o.notify(ctx, news...)
	if r.state == Pending {
		return river.JobSnooze(max(time.Until(r.nextAt), 0))
	}
	return nil
}

// decide turns an attempt into what is written.
func decide(d *loaded, schedule sender.Schedule, a *sender.Attempt, now time.Time) *result {
	r := &result{id: d.id, job: d.job, endpoint: d.endpoint, version: d.version, attempt: a, doneAt: now}
	if a.Outcome == sender.Delivered {
		r.state = Delivered
		return r
	}
	if !unsigned(a) {
		r.failingSince = a.Start
	}
	wait, more := nthWait(schedule, d.step)
	if a.Outcome == sender.Gone || !more {
		r.state = Failed
		return r
	}
	r.state, r.doneAt, r.nextAt = Pending, time.Time{}, now.Add(max(wait, a.RetryAfter))
	return r
}

// nthWait returns the wait after the attempt that has n before it.
func nthWait(schedule sender.Schedule, n int) (time.Duration, bool) {
	b := schedule()
	for range n {
		if b.NextBackOff() < 0 {
			return 0, false
		}
	}
	d := b.NextBackOff()
	return d, d >= 0
}

// report tells the hook.
func (o *Outbox) report(ctx context.Context, d *loaded, r *result) {
	n := Notice{
		Kind: NoticeAttempt, App: d.app, Endpoint: d.endpoint, Delivery: d.id, Type: d.typ, State: r.state, Attempt: r.attempt,
	}
	o.notify(ctx, n)
	if r.state != Pending {
		n.Kind, n.Attempt = NoticeDone, nil
		o.notify(ctx, n)
	}
	if r.recovered {
		o.notify(ctx, Notice{Kind: NoticeRecovered, App: d.app, Endpoint: d.endpoint})
	}
}

// jitter is d, half to one and a half times.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }
