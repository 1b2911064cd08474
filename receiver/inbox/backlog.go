package inbox

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	backlogFresh = time.Second            // how long a count is good for
	backlogPause = 250 * time.Millisecond // the least time between two counts while a large backlog is full
	// backlogSmall is a limit up to which counting costs no more than storing does.
	// Such a backlog is counted each time before a delivery is turned away.
	backlogSmall = 1000
)

// backlog knows about how many deliveries are pending: those that were counted a
// moment ago, and those that this process has stored since. Only other processes'
// arrivals can make it too low. Deliveries that were handled since the last count
// make it too high, so a full backlog is counted again.
type backlog struct {
	mu       sync.Mutex
	pending  int // counted, and stored since
	reserved int // on their way into the table
	counted  time.Time
}

// room reserves place for up to n deliveries and returns for how many. Each grant must be settled.
func (b *backlog) room(ctx context.Context, in *Inbox, n int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	age := time.Since(b.counted)
	full := b.pending+b.reserved+n > in.maxBacklog
	if age > backlogFresh || full && (age > backlogPause || in.maxBacklog <= backlogSmall) {
		count, err := in.countPending(ctx, in.maxBacklog)
		if err != nil {
			return 0, err
		}
		b.pending, b.counted = count, time.Now()
	}
	granted := min(max(in.maxBacklog-b.pending-b.reserved, 0), n)
	b.reserved += granted
	return granted, nil
}

// settle ends a reservation, of which stored deliveries are in the table now.
func (b *backlog) settle(reserved, stored int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved -= reserved
	b.pending += stored
}

// countPending counts no further than the limit: what it costs is bounded by that and not by the table.
func (in *Inbox) countPending(ctx context.Context, limit int) (n int, err error) {
	err = in.db.QueryRow(ctx, `SELECT count(*) FROM
		(SELECT 1 FROM {schema}inbox_delivery WHERE state = 'pending' LIMIT ?) AS waiting`, limit).Scan(&n)
	return n, err
}

func sortByKey(batch []*arrival) {
	slices.SortFunc(batch, func(a, b *arrival) int { return bytes.Compare(a.key[:], b.key[:]) })
}
