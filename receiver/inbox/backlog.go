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
	backlogPause = 250 * time.Millisecond // the least time between two counts while the backlog is full
)

// backlog knows about how many deliveries are pending: as many as were counted a moment ago, and what this process has
// stored since. What was handled since is left out, so that only other processes' arrivals can make it too low.
type backlog struct {
	mu      sync.Mutex
	pending int
	counted time.Time
}

// room reserves place for up to n deliveries and returns for how many. What is not used must be given back.
func (b *backlog) room(ctx context.Context, in *Inbox, n int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	age := time.Since(b.counted)
	if age > backlogFresh || b.pending+n > in.maxBacklog && age > backlogPause {
		count, err := in.countPending(ctx, in.maxBacklog)
		if err != nil {
			return 0, err
		}
		b.pending, b.counted = count, time.Now()
	}
	granted := min(max(in.maxBacklog-b.pending, 0), n)
	b.pending += granted
	return granted, nil
}

func (b *backlog) giveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = max(b.pending-n, 0)
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
