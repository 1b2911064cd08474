package receiver

import (
	"context"
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
	// Event is the decoded body where the handler was mounted with Events; nil with Wrap.
	Event *payload.Event
	// Claim is the right under which the handler runs. The zero Claim with InsecureNoDedupe.
	Claim dedupe.Claim
}

type deliveryKey struct{}

// FromContext returns the delivery that a handler was called for; ok is false in any other context. It must not be
// changed.
func FromContext(ctx context.Context) (d *Delivery, ok bool) {
	d, ok = ctx.Value(deliveryKey{}).(*Delivery)
	return d, ok
}
