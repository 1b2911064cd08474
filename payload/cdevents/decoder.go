package cdevents

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// NewDecoder returns a decoder for the Records handler of package receiver. It
// reads the CDEvent from the body alone, in structured or binary mode, since no
// signature covers the headers.
//
// base supplies what an event lacks, see [Event.Deployment]. It runs for every
// authentic delivery that is about a deployment, before the delivery is claimed.
// Its errors are failures on our side, so the sender tries again. One that wraps
// [payload.ErrIgnored] has the event ignored. Nil means that nothing is supplied.
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

// baseError is a failure on our side. An invalid document that base came upon
// must not look like an invalid event.
func baseError(err error) error {
	if errors.Is(err, payload.ErrInvalid) {
		return fmt.Errorf("cdevents: supplying what the event lacks: %v", err)
	}
	return fmt.Errorf("cdevents: supplying what the event lacks: %w", err)
}

// aboutDeployment reports whether the event may be worth a lookup.
func (e *Event) aboutDeployment() bool {
	_, err := e.report()
	return !errors.Is(err, payload.ErrIgnored)
}

// parseBody tells a CloudEvents envelope from a bare CDEvent, whose version is
// inside its context.
func parseBody(body []byte) (*Event, error) {
	var envelope struct {
		SpecVersion jsontext.Value `json:"specversion"`
	}
	if read(body, &envelope) == nil && envelope.SpecVersion != nil {
		return decodeStructured(nil, body)
	}
	return Parse(body)
}
