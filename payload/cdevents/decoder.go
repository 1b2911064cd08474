package cdevents

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// NewDecoder returns a decoder for the Records handler of package receiver. The
// decoder reads the CDEvent only from the body, in structured or binary mode,
// because no signature covers the headers.
//
// base supplies what an event lacks, see [Event.Deployment]. The decoder calls
// it for every authentic delivery that is about a deployment, before the
// receiver claims the delivery. Its errors are treated as failures of the
// receiver, so the sender retries. The decoder ignores the event if the error
// wraps [payload.ErrIgnored]. A nil base supplies nothing.
func NewDecoder(base func(ctx context.Context, e *Event) (payload.Deployment, error)) func(ctx context.Context, body []byte) (*payload.Deployment, error) {
	return func(ctx context.Context, body []byte) (*payload.Deployment, error) {
		e, err := parseBody(body)
		if err != nil {
			return nil, err
		}
		var supplied payload.Deployment
		if base != nil && e.aboutDeployment() {
			if supplied, err = base(ctx, e); err != nil {
				return nil, baseError(err)
			}
		}
		return e.Deployment(supplied)
	}
}

// baseError wraps an error of base, which is a failure of the receiver. It
// hides [payload.ErrInvalid], because an invalid document that base found must
// not look like an invalid event.
func baseError(err error) error {
	if errors.Is(err, payload.ErrInvalid) {
		return fmt.Errorf("cdevents: calling base for the event: %v", err)
	}
	return fmt.Errorf("cdevents: calling base for the event: %w", err)
}

// aboutDeployment reports whether calling base for the event may be worthwhile.
func (e *Event) aboutDeployment() bool {
	_, err := e.report()
	return !errors.Is(err, payload.ErrIgnored)
}

// parseBody reads a body that is a CloudEvents envelope or a bare CDEvent. A
// bare CDEvent has its version inside its context.
func parseBody(body []byte) (*Event, error) {
	var envelope struct {
		SpecVersion jsontext.Value `json:"specversion"`
	}
	if read(body, &envelope) == nil && envelope.SpecVersion != nil {
		return decodeStructured(nil, body)
	}
	return Parse(body)
}
