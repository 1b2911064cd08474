package receiver

import (
	"fmt"

	"github.com/deployhook/deployhook/payload"
)

// WithEnvelope makes [Receiver.Events] also take events in the body that the
// Standard Webhooks specification recommends, a [payload.Envelope]. Default:
// only events in their own form.
//
//	{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"dep_1",…}}
//
// Events in their own form are still taken, as without this option. A sender
// can therefore change its form while older deliveries are being retried. The
// top-level names decide which form a body has. See
// [payload.DecodeEventOrEnvelope] for the rule, and [payload.DecodeEnvelope]
// for members that contradict each other.
//
// The handler gets the same event in both forms. [Delivery].Envelope has what
// the sender added to the envelope. Records and Wrap ignore this option.
func WithEnvelope() Option {
	return optionFunc(func(c *config) { c.envelope = true })
}

// takesEnvelopes is safe to call on a nil Receiver.
func (rc *Receiver) takesEnvelopes() bool { return rc != nil && rc.envelope }

// hintEnvelope tells the operator about the option if an invalid event is a
// valid envelope. The answer to the sender stays the same.
func hintEnvelope(body []byte, err error) error {
	if _, e := payload.DecodeEnvelope(body); e != nil {
		return err
	}
	return fmt.Errorf("%w (the body is a Standard Webhooks envelope; accept it with WithEnvelope)", err)
}
