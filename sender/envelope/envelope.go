package envelope

import (
	"context"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// Format puts events into envelopes. It has no settings, so the zero Format is
// ready for use. It is safe for concurrent use.
type Format struct{}

var _ sender.Format = Format{}

// New returns a Format.
func New() Format { return Format{} }

// Encode returns the event in a [payload.Envelope], as application/json. The
// delivery's ID is the member delivery_id of data.
func (Format) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	body, err := (&payload.Envelope{Event: *e}).Encode()
	return "", body, err
}
