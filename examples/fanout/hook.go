package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender/outbox"
)

// services is the outbox's app. Its endpoints are the internal services.
const services = "services"

// newHook returns the endpoint for the platform.
func newHook(s *stores, o *options, logger *slog.Logger) (http.Handler, error) {
	scheme, err := o.scheme()
	if err != nil {
		return nil, err
	}
	// 202, because the event is stored and delivered later
	rcv, err := receiver.New(scheme, receiver.WithDedupe(s.claims, "platform"), receiver.WithLease(o.lease),
		receiver.WithLogger(logger), receiver.WithAccepted())
	if err != nil {
		return nil, fmt.Errorf("-lease: %w", err)
	}
	return rcv.Events(s.passOn), nil
}

// passOn stores an event for all services that want it, and completes its claim
// in the same transaction. After a crash at any moment there are both or
// neither, and the platform's retry is a duplicate or is stored.
func (s *stores) passOn(ctx context.Context, e *payload.Event) error {
	d, _ := receiver.FromContext(ctx) // a receiver calls this with its delivery
	opts := idOf(e, d)
	return d.CompleteWith(func(c dedupe.Claim) error {
		return s.claims.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
			p, err := s.outbox.App(services).PublishTx(ctx, tx, e, opts...)
			d.AddAttrs(slog.String("event_id", p.EventID), slog.Int("services", len(p.Deliveries)))
			return err
		})
	})
}

// idOf returns the ID under which all services see the event. It is the
// platform's event_id if there is one, because that stays the same if the
// platform sends the event again as another delivery. Otherwise it is the
// signed ID of the delivery.
func idOf(e *payload.Event, d *receiver.Delivery) []outbox.PublishOption {
	if _, has := e.Extra.Get("event_id"); has {
		return nil // the outbox takes it
	}
	return []outbox.PublishOption{outbox.WithEventID(d.ID)}
}
