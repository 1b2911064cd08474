package outbox

import (
	"context"
	"errors"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// maxBatch is how many deliveries are read or written in one statement or transaction.
const maxBatch = 256

// newBatcher returns what runs concurrent calls of do together, one batch at a
// time. do returns a result for each item, in their order. Its faults are counted
// under the given name. do bounds each batch by batchTimeout, and what is tried item
// by item gets as much again.
func newBatcher[I, O any](faults *contain.Faults, name string, do func(context.Context, []I) ([]O, error)) *sqldb.Combiner[I, O] {
	return &sqldb.Combiner[I, O]{
		Run: do, Most: maxBatch, Width: 1, Timeout: 2 * batchTimeout, Alone: notTimeout, Faults: faults, In: name,
	}
}

// notTimeout lets the items of a batch that failed be tried one by one, so that one
// which the database does not take does not fail the others. A database that did
// not answer in time is not asked again for each item.
func notTimeout(err error) bool { return !errors.Is(err, context.DeadlineExceeded) }
