package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// rateSlots are the slots of an endpoint's rate limit. The row of the endpoint
// has the time of the last one, which was taken for an attempt that followed at
// once. All processes share it. So a new rate, a restart and a pause neither
// lose slots nor collect them.
//
// All times are read from the clock of the database, so that processes with
// different clocks share the slots.
type rateSlots struct {
	db       *jobdb.DB
	endpoint string
}

// maxLateSlot is how much later than its time a slot can be taken without
// delaying the next one. A slot of a shorter spacing can be taken until the
// next one.
const maxLateSlot = time.Second

// Take takes the next slot if its time has come.
func (s *rateSlots) Take(ctx context.Context, hold time.Duration) (taken bool, next time.Duration, err error) {
	now := s.now()
	var wait int64
	err = s.db.QueryRow(ctx, `UPDATE {schema}outbox_endpoint SET rate_slot_at = CAST(? AS bigint) + CASE
			WHEN rate_slot_at + spacing + CASE WHEN spacing < ? THEN spacing ELSE ? END > `+now+` THEN rate_slot_at + spacing ELSE `+now+` END
		WHERE id = ? AND rate_slot_at + spacing <= `+now+` RETURNING rate_slot_at + spacing - `+now,
		hold.Microseconds(), maxLateSlot.Microseconds(), maxLateSlot.Microseconds(), s.endpoint).Scan(&wait)
	if errors.Is(err, jobdb.ErrNoRows) {
		next, err = s.untilNext(ctx)
		return false, next, err
	}
	return err == nil, micro(wait), wrap("taking a rate slot", err)
}

// untilNext returns in what time the next slot is free. If the last slot is in
// the future, the clock was set back since, and the next one comes one spacing
// from now.
func (s *rateSlots) untilNext(ctx context.Context) (time.Duration, error) {
	now := s.now()
	var last, spacing, ahead int64
	err := s.db.QueryRow(ctx, `SELECT rate_slot_at, spacing, rate_slot_at - `+now+` FROM {schema}outbox_endpoint WHERE id = ?`,
		s.endpoint).Scan(&last, &spacing, &ahead)
	switch {
	case errors.Is(err, jobdb.ErrNoRows): // deleted, which the worker sees next time
		return admission.MinSnooze, nil
	case err != nil:
		return 0, wrap("taking a rate slot", err)
	case micro(ahead) <= admission.MaxHold:
		return micro(ahead + spacing), nil
	}
	_, err = s.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET rate_slot_at = `+now+` WHERE id = ? AND rate_slot_at = ?`, s.endpoint, last)
	return micro(spacing), wrap("taking a rate slot", err)
}

// now is SQL for the time in microseconds.
func (s *rateSlots) now() string {
	if s.db.Dialect() == jobdb.SQLite {
		return `CAST(unixepoch('now', 'subsec') * 1000000 AS integer)`
	}
	return `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)`
}

func micro(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
