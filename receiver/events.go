package receiver

import (
	"context"
	"net/http"

	"github.com/deployhook/deployhook/payload"
)

// EventHandler handles one verified, valid, first-time event. [FromContext] has the rest of the delivery.
//
// A nil error means that the event took effect: the delivery is remembered, and its copies are answered without a call.
// An error or a panic means that it did not: the peer gets 500 and a retry runs the handler again. So return nil
// only when the work is done or safely stored. [TryAgain] and [ErrDuplicate] choose other answers, and
// [Delivery.CompleteWith] commits the effect together with its being remembered.
//
// ctx ends when the peer hangs up, and with the cause [ErrLeaseLost] when another instance has taken over. A handler
// that must go on after the peer has gone uses [context.WithoutCancel]; its claim is renewed until it returns. The
// event must not be changed.
type EventHandler func(ctx context.Context, e *payload.Event) error

// Events returns the handler for deployment events: it verifies, decodes and validates, deduplicates, calls h, and
// answers. If h is nil, every delivery is answered with 503.
//
// A [Mux] routes by event type:
//
//	http.Handle("POST /webhooks/deploy", rcv.Events(mux.Handle))
func (rc *Receiver) Events(h EventHandler) http.Handler {
	var problem error
	if h == nil {
		problem = configError("Events: the handler is nil")
	}
	return rc.mount(eventConsumer{h: h, success: rc.successStatus()}, problem)
}

type eventConsumer struct {
	h       EventHandler
	success int
}

func (c eventConsumer) takesCloudEvents() bool { return false }

func (c eventConsumer) prepare(_ *http.Request, d *Delivery) (err error) {
	d.Event, err = payload.DecodeEvent(d.Body)
	return err
}

func (c eventConsumer) consume(ctx context.Context, _ *http.Request, d *Delivery) (answer, error) {
	if err := c.h(ctx, d.Event); err != nil {
		return failedAnswer(), err
	}
	return handledAnswer(d, c.success), nil
}
