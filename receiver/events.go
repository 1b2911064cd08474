package receiver

import (
	"context"
	"net/http"

	"github.com/deployhook/deployhook/payload"
)

// EventHandler handles one verified, valid, first-time event. [FromContext]
// returns the rest of the delivery. The handler must not change the event. Its
// result selects the answer. See [TryAgain], [ErrDuplicate] and [Incomplete].
//
//	handler's result              answer             delivery
//	nil                           200                remembered; duplicates get 200 without calling the handler
//	error or panic                500                a retry calls the handler again
//	TryAgain                      503, Retry-After   a retry calls the handler again
//	ErrDuplicate                  200, duplicate     remembered
//	Incomplete                    200                remembered, and logged as an error
//
// Return nil only when the work is done or safely stored.
// [Delivery.CompleteWith] commits the effect and the completion together.
//
// ctx ends when the sender disconnects. It ends with the cause [ErrLeaseLost]
// when another instance has taken over. Use [context.WithoutCancel] to continue
// after a disconnect. The claim is renewed until the handler returns.
type EventHandler func(ctx context.Context, e *payload.Event) error

// Events returns the handler for deployment events. It verifies, decodes,
// validates and deduplicates each event, calls h, and answers. If h is nil,
// every delivery is answered with 503.
//
// With [WithEnvelope] it also takes events in the body that Standard Webhooks
// recommends. A [Mux] routes events by type:
//
//	http.Handle("POST /webhooks/deploy", rcv.Events(mux.Handle))
func (rc *Receiver) Events(h EventHandler) http.Handler {
	var problem error
	if h == nil {
		problem = configError("Events: the handler is nil; pass a function")
	}
	return rc.mount(eventConsumer{h: h, success: rc.successStatus(), envelope: rc.takesEnvelopes()}, problem)
}

type eventConsumer struct {
	h        EventHandler
	success  int
	envelope bool
}

func (c eventConsumer) takesCloudEvents() bool { return false }

func (c eventConsumer) prepare(_ context.Context, d *Delivery) (err error) {
	if c.envelope {
		d.Event, d.Envelope, err = payload.DecodeEventOrEnvelope(d.Body)
		return err
	}
	if d.Event, err = payload.DecodeEvent(d.Body); err != nil {
		return hintEnvelope(d.Body, err)
	}
	return nil
}

func (c eventConsumer) consume(ctx context.Context, _ *http.Request, d *Delivery) (answer, error) {
	if err := c.h(ctx, d.Event); err != nil {
		return failedAnswer(), err
	}
	return handledAnswer(d, c.success), nil
}
