package sender

import (
	"context"
	"errors"
	"time"

	"github.com/deployhook/deployhook/internal/contain/waits"
	"github.com/deployhook/deployhook/payload"
)

// Send delivers event to ep. It validates the event and encodes it once, in the
// endpoint's BodyFormat and under a fresh delivery ID if it has none. It then
// makes attempts until one of these happens:
//
//   - an attempt delivers
//   - the endpoint is gone
//   - the endpoint aborts the delivery, see [WithDeliveryControl]
//   - policy refuses the delivery
//   - the schedule is exhausted
//   - ctx ends
//
// Each attempt has the same ID and bytes, and a fresh timestamp and signature.
// Send does not change the caller's event.
//
// The receipt is never nil. If the endpoint's filter does not take the event,
// Send sends nothing and returns no error, and the receipt's Outcome is
// [Skipped]. If the filter takes the event but the format has no message for
// it, Send sends nothing and the error wraps [ErrNoMessage]. An invalid event
// gives a [*payload.ValidationError] or a [*MessageError]. An event that the
// format can't encode gives the format's error. Every other error is a
// [*DeliveryError].
//
// Send blocks its caller through all waits, which is about a minute with the
// default schedule. See [Sender.Deliver] for the rest.
func (s *Sender) Send(ctx context.Context, ep Endpoint, event *payload.Event) (*Receipt, error) {
	if event != nil && !ep.Accepts(event.Type) {
		ep.BodyFormat = skipped{}
	}
	msg, err := s.Message(ctx, ep, event)
	if errors.Is(err, ErrNoMessage) {
		return &Receipt{ID: msg.ID, Outcome: Skipped}, err
	}
	if err != nil {
		return &Receipt{ID: msg.ID, Outcome: Refused}, err
	}
	return s.Deliver(ctx, ep, msg)
}

// skipped is the Format of an event that the endpoint's filter does not take.
// With it Deliver checks everything else and skips the event, even if the
// endpoint's format has no message for it.
type skipped struct{}

func (skipped) Encode(context.Context, *payload.Event) (string, []byte, error) {
	return "", []byte("{}"), nil
}

// Deliver is [Sender.Send] for an existing message, such as the body of another
// format or a message that is sent again.
//
// Between attempts it waits as long as the schedule says, or as the endpoint
// asks with Retry-After if that is longer. The wait ends at once when ctx does.
// If the deadline of ctx comes before the next attempt, Deliver returns at once
// with an error that wraps context.DeadlineExceeded.
func (s *Sender) Deliver(ctx context.Context, ep Endpoint, msg Message) (*Receipt, error) {
	r, err := s.deliver(ctx, ep, &msg)
	s.endDelivery(ctx, msg.Type, r)
	return r, err
}

func (s *Sender) deliver(ctx context.Context, ep Endpoint, msg *Message) (*Receipt, error) {
	r := newReceipt(msg.ID)
	var t target
	err := s.resolve(&t, &ep)
	if err == nil {
		err = msg.check(s.maxBody)
	}
	if err != nil {
		r.Outcome = Refused
		return r, &DeliveryError{Receipt: r, Endpoint: t.origin(), reason: err}
	}
	if !ep.Accepts(msg.Type) {
		r.Outcome = Skipped
		return r, nil
	}
	var schedule *waits.BackOff
	for number := msg.Earlier + 1; ; number++ {
		started, header := s.startAttempt(ctx, &t, msg, number)
		a := s.try(started, &t, msg, number, header)
		if a.Outcome == Failed && schedule == nil {
			schedule = waits.New(ctx, s.faults, inSchedule, waits.Limit, s.schedule, Pipeline)
		}
		failure := s.after(ctx, &a, schedule)
		r.add(a)
		s.endAttempt(started, &a)
		s.observe(started, a)
		if failure == nil && a.Outcome != Delivered {
			failure = s.wait(ctx, a.Wait)
		}
		if failure != nil {
			failure.Receipt, failure.Endpoint, failure.last = r, t.origin(), a.Err
			r.Outcome = failure.outcome(a.Outcome)
			return r, failure
		}
		if a.Outcome == Delivered {
			return r, nil
		}
	}
}

// outcome returns the outcome of a delivery whose last attempt had the given
// outcome.
func (e *DeliveryError) outcome(last Outcome) Outcome {
	if e.interrupted {
		return Canceled
	}
	return last
}

// after decides what follows an attempt. A delivered one ends the delivery.
// Otherwise after notes the wait in the record, or gives up.
func (s *Sender) after(ctx context.Context, a *Attempt, schedule *waits.BackOff) *DeliveryError {
	switch a.Outcome {
	case Delivered:
		return nil
	case Gone:
		return &DeliveryError{reason: ErrGone}
	case Aborted:
		return &DeliveryError{reason: ErrAborted}
	case Rejected:
		return &DeliveryError{reason: ErrRejected}
	case Refused:
		return &DeliveryError{reason: ErrRefused}
	case Canceled:
		return &DeliveryError{reason: errors.Unwrap(a.Err), note: "sending was cut short"}
	}
	if schedule == nil {
		return &DeliveryError{reason: ErrExhausted}
	}
	if stopsAt(schedule.From(), a.Status) {
		a.Outcome = Rejected
		return &DeliveryError{reason: ErrRejected}
	}
	wait := schedule.NextBackOff()
	if wait < 0 {
		return &DeliveryError{reason: ErrExhausted}
	}
	wait = max(wait, a.RetryAfter)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return &DeliveryError{
			reason: context.DeadlineExceeded,
			note:   "the next attempt is due in " + wait.Round(time.Millisecond).String() + ", after the context's deadline",
		}
	}
	a.Wait = wait
	return nil
}

// wait waits for d, unless ctx or the Sender ends first.
func (s *Sender) wait(ctx context.Context, d time.Duration) *DeliveryError {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &DeliveryError{reason: contextError(ctx), note: "while waiting for the next attempt", interrupted: true}
	case <-s.closed:
		return &DeliveryError{reason: ErrClosed, note: "while waiting for the next attempt", interrupted: true}
	}
}
