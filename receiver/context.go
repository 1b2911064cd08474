package receiver

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
)

// Delivery describes the delivery that a handler is called for. Its ID,
// timestamp, principal and body are authenticated. A field that does not apply
// is zero.
type Delivery struct {
	// ID is the signed delivery ID. All attempts of a delivery have the same
	// ID. It is empty if the scheme does not sign one.
	ID string
	// Timestamp is the signed time of this attempt. It is zero if the scheme
	// does not sign one.
	Timestamp time.Time
	// Principal is the owner of the key, such as a tenant or an organization.
	// Verification sets it. It may be empty.
	Principal string
	// Key is the name of the key that matched. It is empty if the verifier names
	// none.
	Key string
	// Source is the name that was passed to WithDedupe. It is empty with
	// InsecureNoDedupe.
	Source string
	// Body holds the exact bytes that were received and signed. Handlers must
	// not change it.
	Body []byte
	// Event is the decoded body for handlers mounted with Events, otherwise
	// nil.
	Event *payload.Event
	// Envelope is the envelope that Event came in. It is nil if the event came
	// in its own form. See [WithEnvelope].
	Envelope *payload.Envelope
	// Deployment is the decoded body for handlers mounted with Records,
	// otherwise nil.
	Deployment *payload.Deployment
	// Claim is the claim that the handler runs under. It is zero with
	// InsecureNoDedupe.
	Claim dedupe.Claim

	completion atomic.Int32 // notCompleted, completing or completed
	reply      *answer      // set by the handler with Reply; nil means the default answer
	attrs      []slog.Attr  // added to the log line by the handler
}

// Reply sets the answer to a handled delivery. Default: 200 {"received":true}.
// The status must be 2xx and the body must be JSON. Duplicates and failures
// keep their usual answers.
//
// Only handlers of [Receiver.Events] and [Receiver.Records] may call Reply, on
// the goroutine that they were called on.
func (d *Delivery) Reply(status int, body []byte) {
	d.reply = &answer{status: status, body: string(body)}
}

// AddAttrs adds fields to the delivery's log line. Decoders and handlers may
// call it, on the goroutine that they were called on.
func (d *Delivery) AddAttrs(attrs ...slog.Attr) { d.attrs = append(d.attrs, attrs...) }

const (
	notCompleted int32 = iota
	completing
	completed
)

// CompleteWith lets a handler complete its claim in the same transaction as its
// effect. Both commit or neither does, so the event takes effect exactly once.
//
//	d, _ := receiver.FromContext(ctx)
//	return d.CompleteWith(func(c dedupe.Claim) error {
//		return store.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error { // store from package sqldedupe
//			_, err := tx.ExecContext(ctx, "UPDATE apps SET version = ? WHERE name = ?", e.Version, e.App)
//			return err
//		})
//	})
//
// complete must return nil only after the completion is committed. The receiver
// then does not complete the claim again. CompleteWith returns complete's error
// unchanged. Return it from the handler, so that the claim is released and a
// retry runs.
//
// While complete runs, the claim is still renewed. A failed renewal does not
// end ctx then, because the transaction decides.
//
// CompleteWith does not call complete, and returns an error that wraps
// [dedupe.ErrInvalid], if there is no claim (InsecureNoDedupe) or the claim was
// already completed.
func (d *Delivery) CompleteWith(complete func(c dedupe.Claim) error) error {
	if d.Claim.State != dedupe.Claimed {
		return fmt.Errorf("%w: receiver: CompleteWith: the delivery has no claim; make the receiver with WithDedupe", dedupe.ErrInvalid)
	}
	if !d.completion.CompareAndSwap(notCompleted, completing) {
		return fmt.Errorf("%w: receiver: CompleteWith: another call completes or has completed the claim; call it once per delivery", dedupe.ErrInvalid)
	}
	done := notCompleted
	defer func() { d.completion.Store(done) }() // also runs after a panic
	if err := complete(d.Claim); err != nil {
		return err
	}
	done = completed
	return nil
}

type deliveryKey struct{}

// NewContext returns a context in which [FromContext] finds d. Receivers do
// this for their handlers. Call it to run a handler later, as a durable queue
// does, or to test a handler.
func NewContext(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}

// FromContext returns the delivery that the handler was called for. ok is false
// in any other context. The caller must not change the delivery.
func FromContext(ctx context.Context) (d *Delivery, ok bool) {
	d, ok = ctx.Value(deliveryKey{}).(*Delivery)
	return d, ok
}
