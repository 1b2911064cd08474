package receiver

import (
	"context"
	"errors"
	"net/http"

	"github.com/deployhook/deployhook/payload"
)

// RecordDecoder turns a verified body into the record of a deployment. The
// packages under payload make one with their NewDecoder.
// [payload.DecodeDeployment] reads this SDK's own records.
//
// The decoder runs before the delivery is claimed, so it also runs for
// duplicates. [FromContext] returns the delivery. The decoder's error selects
// the answer:
//
//	wraps payload.ErrIgnored    200 {"received":true,"ignored":true}
//	wraps payload.ErrInvalid    400 {"error":"Invalid payload: …"}
//	a TryAgain                  503, Retry-After
//	any other error, a panic    500
//
// None of these touches the store, so a retry runs the decoder again.
type RecordDecoder func(ctx context.Context, body []byte) (*payload.Deployment, error)

// RecordHandler handles the record of one deployment. The rules of
// [EventHandler] apply. The handler must not change the record.
type RecordHandler func(ctx context.Context, d *payload.Deployment) error

// Records returns the handler for the webhooks of other systems. It verifies,
// decodes and deduplicates each delivery, calls h for each deployment, and
// answers. Events that are not about a deployment are acknowledged and never
// claimed. Inbox.Records of package inbox does the same for work that takes
// longer than the sender waits. If decode or h is nil, every delivery is
// answered with 503.
//
//	decode, err := github.NewDecoder()
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/github", rcv.Records(decode, onDeployment))
func (rc *Receiver) Records(decode RecordDecoder, h RecordHandler) http.Handler {
	var problem error
	switch {
	case decode == nil:
		problem = configError("Records: the decoder is nil; check the error of NewDecoder")
	case h == nil:
		problem = configError("Records: the handler is nil; pass a function")
	}
	return rc.mount(recordConsumer{decode: decode, h: h, success: rc.successStatus()}, problem)
}

type recordConsumer struct {
	decode  RecordDecoder
	h       RecordHandler
	success int
}

func (c recordConsumer) takesCloudEvents() bool { return true }

func (c recordConsumer) prepare(parent context.Context, d *Delivery) error {
	ctx := &lazyContext{parent: parent, delivery: d}
	defer ctx.end(nil)
	record, err := c.decode(ctx, d.Body)
	if err == nil && record == nil {
		return errNoRecord
	}
	d.Deployment = record
	return err
}

var errNoRecord = errors.New("receiver: the decoder returned neither a record nor an error")

func (c recordConsumer) consume(ctx context.Context, _ *http.Request, d *Delivery) (answer, error) {
	if err := c.h(ctx, d.Deployment); err != nil {
		return failedAnswer(), err
	}
	return handledAnswer(d, c.success), nil
}
