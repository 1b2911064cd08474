package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/sender"
)

// newSender makes the sender and finds out for how long it lets an attempt take: a job must outlast its attempt.
func (o *Outbox) newSender() error {
	opts := append([]sender.Option{
		sender.WithLogger(o.logger), sender.WithMaxRetryAfter(DefaultMaxRetryAfter), sender.WithTimeout(min(sender.DefaultTimeout, o.maxTimeout)),
	}, o.senderOptions...)
	var err error
	if o.sender, err = sender.New(opts...); err != nil {
		return fmt.Errorf("%w: WithSender: %w", ErrConfig, err)
	}
	if o.timeout = o.sender.Timeout(); o.timeout > o.maxTimeout {
		return fmt.Errorf("%w: WithSender: sender.WithTimeout(%v) is over the %v of WithMaxTimeout; lower the one or raise the other",
			ErrConfig, o.timeout, o.maxTimeout)
	}
	return nil
}

// blameDeadline makes an attempt that was under way when its job's time was up one that has failed: it was given all the
// time that there is. One that Stop has cut off stays canceled, and so does one that never began.
func blameDeadline(ctx context.Context, a *sender.Attempt, to sender.Endpoint) {
	if a.Outcome == sender.Canceled && a.RequestHeader != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		a.Outcome, a.Class = sender.Failed, sender.ClassTimeout
		a.Err = &sender.AttemptError{Endpoint: to.String(), Class: sender.ClassTimeout}
	}
}
