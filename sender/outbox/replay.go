package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// Replay sends a delivery again, from the beginning of its schedule, under the ID and with the body that it has; its attempts go on
// being counted. One that waits for a retry is made now. An endpoint that is disabled is an error ([ErrEndpointDisabled]), as
// is one that was deleted ([ErrUnknownEndpoint]).
func (o *Outbox) Replay(ctx context.Context, deliveryID string) error {
	if err := o.open(); err != nil {
		return err
	}
	if !storable(deliveryID) {
		return fmt.Errorf("%w: %s", ErrUnknownDelivery, clean(deliveryID))
	}
	err := o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		var (
			endpoint string
			length   int64
		)
		err := tx.QueryRow(ctx, `SELECT endpoint, length(body) FROM {schema}outbox_delivery WHERE id = ?`, deliveryID).Scan(&endpoint, &length)
		if errors.Is(err, riverdb.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrUnknownDelivery, clean(deliveryID))
		}
		if err != nil {
			return err
		}
		if length == 0 {
			return fieldError("body", "delivery %s has none: its format could not express the event", deliveryID)
		}
		e, _, err := o.readEndpoint(ctx, tx, endpoint)
		if err != nil {
			return err
		}
		if e.State == EndpointDisabled {
			return fmt.Errorf("%w: %s; enable it first", ErrEndpointDisabled, endpoint)
		}
		_, err = o.revive(ctx, tx, []revival{{id: deliveryID, due: time.Now()}}, "")
		return err
	})
	return wrap("replaying", err)
}

// revival is a delivery that is to be sent again at a time.
type revival struct {
	id  string
	due time.Time
}

// revive gives deliveries new jobs. A job that one still has is none of its own any more, see save.
func (o *Outbox) revive(ctx context.Context, tx *riverdb.Tx, all []revival, replay string) (int, error) {
	params := make([]river.InsertManyParams, len(all))
	for i, r := range all {
		params[i] = jobParams(r.id, r.due)
	}
	jobs, err := o.client.InsertManyTx(ctx, tx, params)
	if err != nil {
		return 0, err
	}
	revived := 0
	for i, r := range all {
		n, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = 'pending', job = ?, step = 0, next_at = ?, slot_at = 0, done_at = 0,
			replays = replays + 1, replay = CASE WHEN ? <> '' THEN ? ELSE replay END, last_error = '' WHERE id = ?`,
			jobs[i].Job.ID, micros(r.due), replay, replay, r.id)
		if err != nil {
			return revived, err
		}
		revived += int(n)
	}
	return revived, nil
}
