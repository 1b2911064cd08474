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

// Delivery is what is known of the delivery that a handler is called for. All of it is authentic.
type Delivery struct {
	// ID is the signed delivery ID, the same for all attempts. Empty where the scheme signs none.
	ID string
	// Timestamp is the signed time of this attempt; zero where the scheme signs none.
	Timestamp time.Time
	// Principal is who the key belongs to, as verification returned it: a tenant, an organization. May be empty.
	Principal string
	// Key is the name of the key that matched.
	Key string
	// Source is the name given to WithDedupe. Empty with InsecureNoDedupe.
	Source string
	// Body is exactly what was received and signed. Handlers must not change it.
	Body []byte
	// Event is the decoded body where the handler was mounted with Events; nil otherwise.
	Event *payload.Event
	// Deployment is the decoded body where the handler was mounted with Records; nil otherwise.
	Deployment *payload.Deployment
	// Claim is the right under which the handler runs. The zero Claim with InsecureNoDedupe.
	Claim dedupe.Claim

	completion atomic.Int32 // notCompleted, completing or completed
	reply      *answer      // what the handler chose; nil: the default
	attrs      []slog.Attr  // the handler's own, for the log line
}

// Reply sets the answer that the sender gets when the delivery has been
// handled, instead of 200 {"received":true}. It is for the handlers of
// [Receiver.Events] and [Receiver.Records], on the goroutine that they were
// called on. The status must be 2xx and body must be JSON. Duplicates and
// failures are answered as usual.
func (d *Delivery) Reply(status int, body []byte) {
	d.reply = &answer{status: status, body: string(body)}
}

// AddAttrs adds fields to the delivery's log line. It is for decoders and
// handlers, on the goroutine that they were called on.
func (d *Delivery) AddAttrs(attrs ...slog.Attr) { d.attrs = append(d.attrs, attrs...) }

const (
	notCompleted int32 = iota
	completing
	completed
)

// CompleteWith is for handlers that complete their claim themselves, in the transaction that their effect commits in:
// both are then there or neither is, and the event takes effect exactly once. complete must return nil only when the
// completion has been committed. The receiver then does not complete the claim again. After an error, which CompleteWith
// returns as it is, the handler returns an error, too: the claim is released, and a retry runs.
//
//	d, _ := receiver.FromContext(ctx)
//	return d.CompleteWith(func(c dedupe.Claim) error {
//		return store.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error { // store from package sqldedupe
//			_, err := tx.ExecContext(ctx, "UPDATE apps SET version = ? WHERE name = ?", e.Version, e.App)
//			return err
//		})
//	})
//
// While complete runs the claim is renewed as before, but it is the transaction that decides: a renewal that fails does not
// end ctx any more. Without a claim (InsecureNoDedupe), or after it has been completed, the error wraps
// [dedupe.ErrInvalid] and complete is not called.
func (d *Delivery) CompleteWith(complete func(c dedupe.Claim) error) error {
	if d.Claim.State != dedupe.Claimed {
		return fmt.Errorf("%w: receiver: CompleteWith: the delivery has no claim; make the receiver with WithDedupe", dedupe.ErrInvalid)
	}
	if !d.completion.CompareAndSwap(notCompleted, completing) {
		return fmt.Errorf("%w: receiver: CompleteWith: the claim has been completed, or is being completed, by another call", dedupe.ErrInvalid)
	}
	done := notCompleted
	defer func() { d.completion.Store(done) }() // also after a panic
	if err := complete(d.Claim); err != nil {
		return err
	}
	done = completed
	return nil
}

type deliveryKey struct{}

// NewContext returns a context in which [FromContext] finds d. A receiver does this for its handlers; it is for those
// that run a handler later, such as a durable queue, and for tests of handlers.
func NewContext(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}

// FromContext returns the delivery that a handler was called for; ok is false in any other context. It must not be
// changed.
func FromContext(ctx context.Context) (d *Delivery, ok bool) {
	d, ok = ctx.Value(deliveryKey{}).(*Delivery)
	return d, ok
}
