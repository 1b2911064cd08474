package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

// consumer is the part that differs between Events, Records and Wrap.
type consumer interface {
	// takesCloudEvents reports whether the handler may decode CloudEvents.
	takesCloudEvents() bool
	// prepare decodes and validates the verified body. Method prepared
	// documents its errors.
	prepare(ctx context.Context, d *Delivery) error
	// consume runs the handler. A nil error means that the delivery took
	// effect. After any other error a retry may run. The sender gets the
	// returned answer in both cases.
	consume(ctx context.Context, r *http.Request, d *Delivery) (answer, error)
}

// serve takes one request through all steps. It writes the answer after the
// claim is completed or released, so a sender that reads 200 can rely on it.
// The log and the observer come after the answer.
func (rc *Receiver) serve(w http.ResponseWriter, r *http.Request, c consumer) {
	start := time.Now()
	var (
		res Result
		a   answer
	)
	decided := false
	defer func() {
		if !decided { // the goroutine is ending (runtime.Goexit)
			res.Outcome, res.Err, a = Failed, errors.Join(errGoexit, res.Err), failedAnswer()
		}
		rc.conclude(w, r, a, &res, start)
	}()
	fault := contain.Inline(func() { a = rc.process(w, r, c, start, &res) })
	if fault != nil {
		rc.faults.Count(inServing)
		res.Outcome, res.Err, a = Panicked, &panicError{fault}, failedAnswer()
	}
	decided = true
}

// conclude sends the answer, then logs and observes the result.
func (rc *Receiver) conclude(w http.ResponseWriter, r *http.Request, a answer, res *Result, start time.Time) {
	defer func() {
		if errors.Is(res.Err, http.ErrAbortHandler) {
			// the handler asked to drop the connection, and its claim is
			// released
			panic(http.ErrAbortHandler)
		}
	}()
	defer rc.report(r, res)
	rc.respond(w, r, a, res)
	res.Duration = time.Since(start)
}

// process runs the steps in order: method, content type, bounded body, verify,
// decode and validate, claim, handle, complete. Nothing is stored before the
// signature is verified.
func (rc *Receiver) process(w http.ResponseWriter, r *http.Request, c consumer, start time.Time, res *Result) (a answer) {
	refuse := func(o Outcome, err error, a answer) answer {
		res.Outcome, res.Err = o, err
		return a
	}
	rc.limitBody(w, r, start)
	if r.Method != http.MethodPost {
		return refuse(Refused, errors.New("receiver: method is not POST"), methodAnswer())
	}
	accepted := rc.content
	accepted.cloudEvents = c.takesCloudEvents()
	if err := accepted.check(r.Header); err != nil {
		return refuse(Refused, err, contentAnswer())
	}
	body, err := rc.readBody(r)
	switch {
	case errors.Is(err, errRead):
		return refuse(Failed, err, failedAnswer())
	case err != nil:
		return refuse(Refused, err, bodyAnswer(err))
	}
	unlimitBody(w, r)
	res.BodySize = len(body)
	verified, err := rc.verify(r, body)
	switch {
	case errors.Is(err, signer.ErrUnverified):
		return refuse(Unauthenticated, err, unauthenticAnswer(err))
	case err != nil:
		return refuse(Unavailable, err, unavailableAnswer())
	}
	h := &handling{Delivery: Delivery{
		ID: verified.ID, Timestamp: verified.Timestamp, Principal: verified.Principal, Key: verified.Key,
		Source: rc.source, Body: body,
	}}
	d := &h.Delivery
	res.Delivery = d
	ctx := rc.follow(r, d, start, res)
	if done, a := rc.prepared(ctx, c, d, res); done {
		return a
	}
	if rc.store == nil {
		return rc.handleUnclaimed(ctx, r, c, h, res)
	}
	asked := time.Now()
	d.Claim, err = rc.claim(ctx, h, asked)
	g := rc.claimed(d, asked, res)
	if err != nil {
		return refuse(Unavailable, fmt.Errorf("receiver: claim: %w", err), unavailableAnswer())
	}
	switch d.Claim.State {
	case dedupe.Completed:
		return refuse(Duplicate, nil, duplicateAnswer())
	case dedupe.InFlight:
		return refuse(InFlight, nil, inFlightAnswer(d.Claim.RetryAfter))
	case dedupe.Claimed:
		return rc.handleClaimed(ctx, r, c, h, g, res)
	}
	return refuse(Unavailable, fmt.Errorf("receiver: the store returned a claim with the unknown state %d", d.Claim.State), unavailableAnswer())
}

// prepared decodes and validates. It answers ignored and invalid events and
// decoder failures before anything is claimed.
func (rc *Receiver) prepared(ctx context.Context, c consumer, d *Delivery, res *Result) (done bool, a answer) {
	var err error
	if fault := rc.faults.Guard(inDecoder, func() { err = c.prepare(ctx, d) }); fault != nil {
		res.Outcome, res.Err = Panicked, &panicError{fault}
		return true, failedAnswer()
	}
	if err == nil {
		return false, answer{}
	}
	res.Err = err
	var tryAgain *tryAgainError
	switch {
	case errors.Is(err, payload.ErrIgnored):
		res.Outcome, a = Ignored, ignoredAnswer()
	case errors.Is(err, payload.ErrInvalid):
		res.Outcome, a = Invalid, invalidAnswer(err)
	case errors.As(err, &tryAgain):
		res.Outcome, a = tryAgain.outcome(rc, d)
	default:
		res.Outcome, a = Failed, failedAnswer()
	}
	return true, a
}

func bodyAnswer(err error) answer {
	switch {
	case errors.Is(err, errTooBig):
		return tooLargeAnswer()
	case errors.Is(err, errTooSlow):
		return tooSlowAnswer()
	}
	return cutAnswer()
}

// verify contains a panic in an application's verifier. The sender sees an
// outage, and the request never passes. The panic value may be a secret, so it
// is not logged.
func (rc *Receiver) verify(r *http.Request, body []byte) (v signer.Verified, err error) {
	if fault := rc.faults.Guard(inVerifier, func() { v, err = rc.verifier.Verify(r, body) }); fault != nil {
		return signer.Verified{}, &panicError{fault.Discreet()}
	}
	return v, err
}

var errLateClaim = errors.New("receiver: the store took longer than the lease to grant a claim")

// grant is when a claim was granted.
type grant struct {
	asked time.Time
	took  time.Duration // until the store had answered
}

// at is the time of the answer. It is as near to the handler's beginning as
// another reading of the clock, which costs more than all that is in between.
func (g grant) at() time.Time { return g.asked.Add(g.took) }

// handling is a delivery with what the receiver needs to handle it. Together
// they are one allocation.
type handling struct {
	Delivery

	handler, claiming, completing lazyContext
	renewer                       leaseRenewer
}

// context returns the context for the handler.
func (h *handling) context(parent context.Context) *lazyContext {
	h.handler.parent, h.handler.delivery = parent, &h.Delivery
	return &h.handler
}

// handleUnclaimed runs the handler without a store.
func (rc *Receiver) handleUnclaimed(parent context.Context, r *http.Request, c consumer, h *handling, res *Result) answer {
	ctx := h.context(parent)
	defer ctx.end(nil)
	if rc.measures() {
		defer func(began time.Time) { res.HandlerDuration = time.Since(began) }(time.Now())
	}
	return rc.handle(ctx, r, c, &h.Delivery, res)
}

// handleClaimed runs the handler while its claim is renewed, then completes or
// releases the claim.
func (rc *Receiver) handleClaimed(parent context.Context, r *http.Request, c consumer, h *handling, g grant, res *Result) answer {
	d := &h.Delivery
	if g.took >= rc.lease {
		// The store took so long to grant the claim that another instance may
		// hold it now.
		res.Outcome, res.Err = Unavailable, errors.Join(errLateClaim, rc.release(parent, d.Claim))
		return unavailableAnswer()
	}
	ctx := h.context(parent)
	defer ctx.end(nil)
	renewer := rc.startRenewing(parent, h, g)
	settled := false
	defer func() {
		// Without a result the handler ended the goroutine (runtime.Goexit).
		// Release the claim so that a retry can run.
		if !settled {
			rc.ran(res, g, time.Now())
			renewer.stop()
			res.Err = rc.giveUp(parent, d)
		}
	}()
	a := rc.handle(ctx, r, c, d, res)
	ended := time.Now()
	rc.ran(res, g, ended)
	if renewer.stop() {
		ended = time.Now() // it may have waited for the store
	}
	settled = true
	if !res.tookEffect() {
		if err := rc.giveUp(parent, d); err != nil {
			res.Err = errors.Join(res.Err, err)
		}
		return a
	}
	if d.completion.Load() == completed {
		return a // the handler completed it in its own transaction
	}
	switch err := rc.complete(parent, h, ended); {
	case err == nil:
		return a
	case errors.Is(err, dedupe.ErrLeaseLost):
		// The delivery took effect, but another instance is handling it too.
		// The sender gets that instance's answer on its retry.
		res.Outcome, res.Err = InFlight, fmt.Errorf("receiver: complete: %w", err)
		return inFlightAnswer(rc.lease)
	default:
		// The delivery took effect but is not remembered. The answer causes a
		// retry, which may run the handler again.
		res.Outcome, res.Err = Unavailable, fmt.Errorf("receiver: complete: %w", err)
		return unavailableAnswer()
	}
}

// handle runs the handler with the delivery in its context and contains panics.
func (rc *Receiver) handle(ctx *lazyContext, r *http.Request, c consumer, d *Delivery, res *Result) answer {
	var (
		a   answer
		err error
	)
	if fault := rc.faults.Guard(inHandler, func() { a, err = c.consume(ctx, r, d) }); fault != nil {
		res.Outcome, res.Err = Panicked, &panicError{fault}
		return failedAnswer()
	}
	if err != nil {
		return rc.answerError(err, a, d, res)
	}
	res.Outcome = Handled
	if a.status == http.StatusAccepted {
		res.Outcome = rc.handled()
	}
	return a
}

// handled is the outcome of a successful Events or Records handler.
func (rc *Receiver) handled() Outcome {
	if rc.success == http.StatusAccepted {
		return Accepted
	}
	return Handled
}

// answerError returns the answer for a handler's error and sets the outcome.
func (rc *Receiver) answerError(err error, a answer, d *Delivery, res *Result) answer {
	var e outcomeError
	if !errors.As(err, &e) {
		res.Outcome, res.Err = Failed, err
		return a
	}
	res.Outcome, a = e.outcome(rc, d)
	if res.Outcome != Duplicate {
		res.Err = err
	}
	return a
}
