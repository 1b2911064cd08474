package sqldedupe

import (
	"context"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// Ready reports whether the store takes new deliveries, for the readiness of a
// service. It writes to the table in a transaction that leaves nothing behind.
// It fails if the database is down, read-only, locked or full, if the role
// lacks a right, and if the SQLite file was deleted or replaced. With
// [WithCapacity] it also fails if the store is full.
//
// The text of the error says what an operator can do. Errors are
// [dedupe.ErrFull], [dedupe.ErrClosed], context errors, and failures of the
// database.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return s.fail(ctx, "Ready", err)
	}
	if s.room != nil {
		if err := s.room.take(ctx, s.count); err != nil {
			return s.fail(ctx, "Ready", err)
		}
		s.room.settle(false)
	}
	return s.fail(ctx, "Ready", sqldb.New(s.db, s.engine.dialect(), "").Ready(ctx, s.probe))
}
