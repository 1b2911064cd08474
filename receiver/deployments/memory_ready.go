package deployments

import "context"

// smallRecord is about what a small record takes in bytes.
const smallRecord = 1 << 10

// Ready reports whether the ledger takes new records, for the readiness of a
// service. Errors are [ErrClosed], [ErrLedgerFull] and the context's.
func (l *MemoryLedger) Ready(ctx context.Context) error {
	if err := l.begin(ctx, "ready"); err != nil {
		return err
	}
	defer l.mu.Unlock()
	if l.capacity-l.used < smallRecord {
		return l.full()
	}
	return nil
}
