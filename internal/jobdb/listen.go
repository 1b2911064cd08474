package jobdb

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/deployhook/deployhook/internal/sqldb"
)

const (
	// notifyEvery is how often a process at most tells others of new jobs. Each
	// notification has PostgreSQL commit its transaction alone.
	notifyEvery = 10 * time.Millisecond
	// listenAgain is the pause before a lost connection is replaced. Meanwhile the
	// poll finds new jobs.
	listenAgain = time.Second
)

// notify tells other processes of jobs when the transaction commits. It does
// nothing if this process has done so within notifyEvery, since those that were
// told look several times.
func (q *Queue) notify(ctx context.Context, tx *Tx) error {
	if q.db.Dialect() == SQLite || q.db.polling {
		return nil
	}
	now, last := time.Now().UnixNano(), q.notified.Load()
	if now-last < notifyEvery.Nanoseconds() && now >= last || !q.notified.CompareAndSwap(last, now) {
		return nil
	}
	_, err := tx.Exec(ctx, `SELECT pg_notify(?, '')`, q.channel())
	return err
}

// channel is the name under which the queue's notifications are sent. Two
// schemas of a database have different ones.
func (q *Queue) channel() string { return "deployhook." + q.db.Schema() + "." + q.name }

// listen has this process look for due jobs when another one tells of them.
func (r *runner) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.listenOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		r.config.Logger.WarnContext(ctx, r.config.Name+": listening for new jobs, which are polled for meanwhile; it will be tried again",
			slog.String("error", sqldb.Explain(err).Error()))
		rest(ctx, listenAgain)
	}
}

// listenOnce listens on a separate connection until that fails. The
// connection is closed afterwards, since it would go on receiving.
func (r *runner) listenOnce(ctx context.Context) error {
	pooled, err := r.q.db.Pool().Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		_ = conn.Close(ctx) // nothing depends on it
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{r.q.channel()}.Sanitize()); err != nil {
		return err
	}
	r.q.Kick() // for what was inserted before
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		r.q.Kick()
	}
}
