package inbox

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
)

// position is a deployment's progress in the table. It has the status reached
// and the time of the latest handled event.
type position struct {
	status  payload.Status
	eventAt int64
}

// A lease is this process's right to handle the events of one deployment. Its
// claim is a random number that no other lease has, not even a later one of the
// same process. Every change in the table names the claim, so a lease that has
// ended changes nothing.
//
// The lease counts from the time at which the table was asked. It therefore
// ends on this machine's clock before it ends in the table.
type lease struct {
	key   []byte
	claim int64
	position

	mu     sync.Mutex
	until  time.Time
	timer  *time.Timer             // fires at until
	ended  bool                    // the lease was lost
	cancel context.CancelCauseFunc // ends the handler's context; nil while no handler runs
}

// leaseTable stores leases. sqlLeases implements it for both databases. Tests
// have an implementation with virtual time.
type leaseTable interface {
	// take returns the deployment's position. ok is false if another lease has
	// not ended.
	take(ctx context.Context, key []byte, claim int64, length time.Duration) (position, bool, error)
	// renew extends the leases that have not ended, and returns their claims.
	renew(ctx context.Context, claims []int64, length time.Duration) ([]int64, error)
	// release ends leases.
	release(ctx context.Context, claims []int64) error
}

// leases holds the leases of this process.
type leases struct {
	table  leaseTable
	length time.Duration
	logger *slog.Logger

	mu   sync.Mutex
	held map[int64]*lease
	// unreleased maps claims that could not be released to the time at which
	// they end by themselves. The next renewal releases them.
	unreleased map[int64]time.Time
}

// take returns nil if another lease has not ended.
func (ls *leases) take(ctx context.Context, key []byte) (*lease, error) {
	l := &lease{key: key, claim: 1 + rand.Int64N(math.MaxInt64)}
	l.until = time.Now().Add(ls.length)
	at, ok, err := ls.table.take(ctx, key, l.claim, ls.length)
	if err != nil {
		ls.retryRelease(l) // the table may have granted the lease although the answer was lost
		return nil, err
	}
	if !ok {
		return nil, nil
	}
	l.position = at
	l.timer = time.AfterFunc(time.Until(l.until), l.expire)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.held == nil {
		ls.held = make(map[int64]*lease)
	}
	ls.held[l.claim] = l
	return l, nil
}

// release frees the deployment for other workers at once. If that fails, the
// lease is no longer renewed, and the next renewal tries to release it.
func (ls *leases) release(ctx context.Context, l *lease) {
	ls.mu.Lock()
	delete(ls.held, l.claim)
	ls.mu.Unlock()
	l.timer.Stop()
	if err := ls.table.release(context.WithoutCancel(ctx), []int64{l.claim}); err != nil {
		ls.retryRelease(l)
		ls.logger.WarnContext(ctx, "inbox: a deployment's lease could not be released; the next renewal tries again", slog.String("error", err.Error()))
	}
}

func (ls *leases) retryRelease(l *lease) {
	until := l.end()
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.unreleased == nil {
		ls.unreleased = make(map[int64]time.Time)
	}
	ls.unreleased[l.claim] = until
}

// renew extends all leases and releases those that could not be released
// before.
func (ls *leases) renew(ctx context.Context) {
	held, unreleased := ls.claims()
	if len(unreleased) > 0 && ls.table.release(ctx, unreleased) == nil {
		ls.forget(unreleased)
	}
	if len(held) == 0 {
		return
	}
	until := time.Now().Add(ls.length)
	renewed, err := ls.table.renew(ctx, held, ls.length)
	if err != nil {
		ls.logger.WarnContext(ctx, "inbox: leases could not be renewed; the next renewal tries again", slog.String("error", err.Error()))
		return
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, claim := range renewed {
		if l := ls.held[claim]; l != nil {
			l.extend(until)
		}
	}
}

// claims returns the leases to renew and those to release. It forgets
// unreleased leases that have ended.
func (ls *leases) claims() (held, unreleased []int64) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for claim := range ls.held {
		held = append(held, claim)
	}
	now := time.Now()
	for claim, until := range ls.unreleased {
		if now.Before(until) {
			unreleased = append(unreleased, claim)
		} else {
			delete(ls.unreleased, claim)
		}
	}
	return held, unreleased
}

func (ls *leases) forget(claims []int64) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, claim := range claims {
		delete(ls.unreleased, claim)
	}
}

func (l *lease) end() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

func (l *lease) extend(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return // the handler already knows that the lease ended
	}
	l.until = until
	l.timer.Reset(time.Until(until))
}

// expire ends the handler's context because the lease ended.
func (l *lease) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.until) {
		return // the lease was extended while the timer fired
	}
	l.ended = true
	if l.cancel != nil {
		l.cancel(ErrLeaseLost)
	}
}

// context returns the context for a handler. It ends when the lease does.
func (l *lease) context(ctx context.Context) (context.Context, func()) {
	if l == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel = cancel
	if l.ended {
		cancel(ErrLeaseLost)
	}
	return ctx, func() { cancel(nil) }
}

func (l *lease) lost() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// sqlLeases keeps leases in the inbox's database.
type sqlLeases struct{ in *Inbox }

func (t sqlLeases) take(ctx context.Context, key []byte, claim int64, length time.Duration) (position, bool, error) {
	var at position
	var ok bool
	err := t.in.write(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		var status string
		err := tx.QueryRow(ctx, `INSERT INTO {schema}inbox_deployment AS d (ordering_key, status, event_at, claim, until, used_at)
			VALUES (?, '', 0, ?, {now} + ?, {now})
			ON CONFLICT (ordering_key) DO UPDATE SET claim = excluded.claim, until = excluded.until, used_at = excluded.used_at
			WHERE d.until <= {now} RETURNING status, event_at`,
			key, claim, length.Microseconds()).Scan(&status, &at.eventAt)
		at.status, ok = payload.Status(status), err == nil
		if errors.Is(err, jobdb.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		// The batch may still commit after this call returns.
		return position{}, false, err
	}
	return at, ok, nil
}

func (t sqlLeases) renew(ctx context.Context, claims []int64, length time.Duration) ([]int64, error) {
	which, arg := t.in.db.IsAnyOf("claim", claims)
	which = "claim <> 0 AND until > {now} AND " + which
	// Skip locked rows. CompleteTx locks a row in a transaction that renews the
	// lease itself. Waiting for it would delay the renewal of the other leases.
	if t.in.db.Dialect() == jobdb.Postgres {
		which = "ordering_key IN (SELECT ordering_key FROM {schema}inbox_deployment WHERE " + which + " FOR UPDATE SKIP LOCKED)"
	}
	var renewed []int64
	err := t.in.write(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
		renewed, err = jobdb.Collect(ctx, tx, scanID,
			"UPDATE {schema}inbox_deployment SET until = {now} + ? WHERE "+which+" RETURNING claim", length.Microseconds(), arg)
		return err
	})
	if err != nil {
		return nil, err // the batch may still write to renewed, see take
	}
	return renewed, nil
}

func (t sqlLeases) release(ctx context.Context, claims []int64) error {
	which, arg := t.in.db.IsAnyOf("claim", claims)
	return t.in.write(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE {schema}inbox_deployment SET until = 0, claim = 0 WHERE claim <> 0 AND "+which, arg)
		return err
	})
}
