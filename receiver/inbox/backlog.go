package inbox

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	backlogFresh = time.Second // a count is used for this long
	// minimum time between two counts while a large backlog is full
	backlogPause = 250 * time.Millisecond
	// backlogSmall is the limit up to which counting costs no more than
	// storing. A backlog with such a limit is counted before every refusal.
	backlogSmall = 1000
)

// backlog estimates the number of pending deliveries. It adds what this process
// stored to the last count.
//
//	too low    by what other processes stored since the count
//	too high   by what was handled since the count
//
// Because of the latter a full backlog is counted again before a refusal.
type backlog struct {
	mu       sync.Mutex
	pending  int // last count plus deliveries stored since
	reserved int // being stored
	counted  time.Time
}

// reserve grants room for up to n deliveries and returns how many. Call settle
// for each grant.
func (b *backlog) reserve(ctx context.Context, in *Inbox, n int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	age := time.Since(b.counted)
	full := b.pending+b.reserved+n > in.maxBacklog
	if age > backlogFresh || full && (age > backlogPause || in.maxBacklog <= backlogSmall) {
		count, err := in.countUpTo(ctx, Pending, in.maxBacklog)
		if err != nil {
			return 0, err
		}
		b.pending, b.counted = count, time.Now()
	}
	granted := min(max(in.maxBacklog-b.pending-b.reserved, 0), n)
	b.reserved += granted
	return granted, nil
}

// settle ends a reservation. stored deliveries of it are in the table now.
func (b *backlog) settle(reserved, stored int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved -= reserved
	b.pending += stored
}

// countUpTo stops counting at the limit, which bounds its cost.
func (in *Inbox) countUpTo(ctx context.Context, state State, limit int) (n int, err error) {
	err = in.db.Reader().QueryRow(ctx, `SELECT count(*) FROM
		(SELECT 1 FROM {schema}inbox_delivery WHERE state = '`+string(state)+`' LIMIT ?) AS counted`, limit).Scan(&n)
	return n, err
}

func sortByKey(batch []*arrival) {
	slices.SortFunc(batch, func(a, b *arrival) int { return bytes.Compare(a.key[:], b.key[:]) })
}
