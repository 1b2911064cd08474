package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

const (
	// DefaultReplayRate is how many deliveries a second an endpoint gets from a replay.
	DefaultReplayRate = 10
	// replayBatch is how many deliveries of a range are scheduled in one transaction.
	replayBatch  = 200
	replayPrefix = "rpl_"
)

// ReplayOption configures [Outbox.ReplayRange] and [Outbox.ResumeReplay].
type ReplayOption interface {
	applyToReplay(*replayConfig)
}

type replayOption func(*replayConfig)

func (f replayOption) applyToReplay(c *replayConfig) { f(c) }

type replayConfig struct {
	rate     float64
	progress func(ReplayStatus)
	err      error
}

// WithReplayRate sets how many of the deliveries an endpoint gets each second, so that one that has just recovered is not flooded.
// Default 10 ([DefaultReplayRate]). Zero or less is an error. A resumed replay keeps the rate that it began with.
func WithReplayRate(perSecond float64) ReplayOption {
	return replayOption(func(c *replayConfig) { c.rate = perSecond })
}

// WithReplayProgress sets a function that is called after every batch that was scheduled, up to 200 deliveries each. Default none;
// nil is an error.
//
// The batch is on record before the call. The replay waits for the function, so one
// that hangs holds up the batches after it. A panic in it is contained, see
// [Outbox.Faults].
func WithReplayProgress(f func(ReplayStatus)) ReplayOption {
	return replayOption(func(c *replayConfig) {
		if f == nil {
			c.err = fieldError("WithReplayProgress", "the function is nil; leave it out")
		}
		c.progress = f
	})
}

// ReplayStatus is how far a replay has come.
type ReplayStatus struct {
	ID        string
	CreatedAt time.Time
	// Filter is what it replays, with its defaults filled in.
	Filter DeliveryFilter
	// Scheduled counts the deliveries that were scheduled so far. Skipped counts those that can't be sent: their endpoint is
	// disabled or gone, or they have no body.
	Scheduled, Skipped int
	// Complete reports that all have been scheduled; until then, [Outbox.ResumeReplay] goes on after an interruption.
	Complete bool
	// Of those that were scheduled: how many still wait, and how the others ended.
	Pending, Delivered, Failed, Canceled, Superseded int
}

// ReplayRange sends the deliveries again that match the filter, oldest first, each as [Outbox.Replay] does. It spaces them
// ([WithReplayRate]) by giving each its time, writes them down batch after batch, and returns when all have one; the deliveries
// follow by and by, and [Outbox.ReplayStatus] says how far they are. What it has written survives a crash, and [Outbox.ResumeReplay]
// does the rest.
//
// App or Endpoint is required. States empty means [Failed] and [Canceled]; [Pending] is an error, since those are on their way.
// Until empty means now. Type empty means all but [EventTest]: a test that failed is nothing that anyone waits for. ReplayRange
// needs no Start: it is another process that sends, if this one does not.
func (o *Outbox) ReplayRange(ctx context.Context, f DeliveryFilter, opts ...ReplayOption) (ReplayStatus, error) {
	if err := o.open(); err != nil {
		return ReplayStatus{}, err
	}
	c, err := newReplayConfig(opts)
	if err != nil {
		return ReplayStatus{}, err
	}
	now := time.Now()
	if f, err = f.forReplay(now); err != nil {
		return ReplayStatus{}, err
	}
	filter, err := json.Marshal(f)
	if err != nil {
		return ReplayStatus{}, fmt.Errorf("outbox: replaying: %w", err)
	}
	id := newID(replayPrefix)
	_, err = o.db.Exec(ctx, `INSERT INTO {schema}outbox_replay (id, created_at, filter, spacing, cursor) VALUES (?, ?, ?, ?, '')`,
		id, micros(now), string(filter), interval(c.rate).Microseconds())
	if err != nil {
		return ReplayStatus{}, wrap("replaying", err)
	}
	return o.runReplay(ctx, id, c.progress)
}

func newReplayConfig(opts []ReplayOption) (replayConfig, error) {
	c := replayConfig{rate: DefaultReplayRate}
	for _, opt := range opts {
		if opt == nil {
			return c, fieldError("ReplayOption", "an option is nil; leave it out")
		}
		opt.applyToReplay(&c)
	}
	if c.err != nil {
		return c, c.err
	}
	if !(c.rate >= 1.0/86400 && c.rate <= maxRate) {
		return c, fieldError("WithReplayRate", "want from one a day to %d a second", maxRate)
	}
	return c, nil
}

func (f DeliveryFilter) forReplay(now time.Time) (DeliveryFilter, error) {
	if f.App == "" && f.Endpoint == "" {
		return f, fieldError("App", "App or Endpoint is required, so that nobody replays everything by mistake")
	}
	if len(f.States) == 0 {
		f.States = []State{Failed, Canceled}
	}
	if slices.Contains(f.States, Pending) {
		return f, fieldError("States", "pending deliveries are on their way")
	}
	if f.Until.IsZero() {
		f.Until = now
	}
	for _, text := range [...]string{f.App, f.Endpoint, f.EventID, string(f.Type), f.DeploymentID, f.Replay} {
		if !storable(text) {
			return f, fieldError("DeliveryFilter", "has a text that is not valid UTF-8 or contains a zero byte; nothing can match")
		}
	}
	_, _, err := f.where()
	return f, err
}

// ResumeReplay goes on with a replay that was interrupted, and returns at once if it is complete.
func (o *Outbox) ResumeReplay(ctx context.Context, id string, opts ...ReplayOption) (ReplayStatus, error) {
	if err := o.open(); err != nil {
		return ReplayStatus{}, err
	}
	c, err := newReplayConfig(opts)
	if err != nil {
		return ReplayStatus{}, err
	}
	if !storable(id) {
		return ReplayStatus{}, fmt.Errorf("%w: %s", ErrUnknownReplay, clean(id))
	}
	return o.runReplay(ctx, id, c.progress)
}

// ReplayStatus says how far a replay has come, or [ErrUnknownReplay].
func (o *Outbox) ReplayStatus(ctx context.Context, id string) (ReplayStatus, error) {
	if err := o.open(); err != nil {
		return ReplayStatus{}, err
	}
	return o.replayStatus(ctx, id)
}

// Replays is a page of replays.
type Replays struct {
	Items []ReplayStatus
	// Next is the cursor of the next page; empty on the last.
	Next string
}

// Replays returns the replays of ranges, newest first: those that are not Complete were interrupted, or are being scheduled, perhaps
// by another process. A replay is forgotten when it is older than [WithRetention] and [WithDeadRetention] and so are the
// deliveries that it scheduled.
func (o *Outbox) Replays(ctx context.Context, p Page) (Replays, error) {
	if err := o.open(); err != nil {
		return Replays{}, err
	}
	limit, before, err := p.parse(replayPrefix)
	if err != nil {
		return Replays{}, err
	}
	where, args := `1 = 1`, []any{}
	if before != "" {
		where, args = `id < ?`, []any{before}
	}
	rows, err := riverdb.Collect(ctx, o.db, scanReplay, `SELECT `+replayColumns+` FROM {schema}outbox_replay WHERE `+where+` ORDER BY id DESC LIMIT ?`,
		append(args, int64(limit+1))...)
	if err != nil {
		return Replays{}, wrap("reading replays", err)
	}
	var page Replays
	if len(rows) > limit {
		rows = rows[:limit]
		page.Next = cursor(rows[limit-1].id)
	}
	page.Items, err = o.replayStatuses(ctx, rows)
	return page, err
}

func (o *Outbox) replayStatus(ctx context.Context, id string) (ReplayStatus, error) {
	r, err := o.readReplay(ctx, o.db, id)
	if err != nil {
		return ReplayStatus{}, err
	}
	all, err := o.replayStatuses(ctx, []replayRow{r})
	if err != nil {
		return ReplayStatus{}, err
	}
	return all[0], nil
}

// replayStatuses counts what became of the deliveries.
func (o *Outbox) replayStatuses(ctx context.Context, rows []replayRow) ([]ReplayStatus, error) {
	all, ids, byID := make([]ReplayStatus, len(rows)), make([]string, len(rows)), map[string]*ReplayStatus{}
	for i, r := range rows {
		all[i] = ReplayStatus{
			ID: r.id, CreatedAt: fromMicros(r.createdAt),
			Scheduled: int(r.scheduled), Skipped: int(r.skipped), Complete: r.done != 0,
		}
		if err := json.Unmarshal([]byte(r.filter), &all[i].Filter); err != nil {
			return nil, fmt.Errorf("outbox: reading replay %s: %w", r.id, err)
		}
		ids[i], byID[r.id] = r.id, &all[i]
	}
	type count struct {
		replay, state string
		n             int64
	}
	counts, err := riverdb.Collect(ctx, o.db, func(r riverdb.Row) (c count, err error) { return c, r.Scan(&c.replay, &c.state, &c.n) },
		`SELECT replay, state, count(*) FROM {schema}outbox_delivery WHERE replay `+o.in()+` AND replay <> '' GROUP BY replay, state`, o.ids(ids))
	for _, c := range counts {
		*byID[c.replay].field(State(c.state)) += int(c.n)
	}
	return all, wrap("reading replay", err)
}

func (s *ReplayStatus) field(state State) *int {
	switch state {
	case Delivered:
		return &s.Delivered
	case Failed:
		return &s.Failed
	case Canceled:
		return &s.Canceled
	case Superseded:
		return &s.Superseded
	default:
		return &s.Pending
	}
}

type replayRow struct {
	id, filter, cursor                           string
	createdAt, spacing, scheduled, skipped, done int64
}

const replayColumns = `id, filter, cursor, created_at, spacing, scheduled, skipped, done`

func scanReplay(s riverdb.Row) (r replayRow, err error) {
	return r, s.Scan(&r.id, &r.filter, &r.cursor, &r.createdAt, &r.spacing, &r.scheduled, &r.skipped, &r.done)
}

func (o *Outbox) readReplay(ctx context.Context, q riverdb.Querier, id string) (r replayRow, err error) {
	if !storable(id) {
		return r, fmt.Errorf("%w: %s", ErrUnknownReplay, clean(id))
	}
	r, err = scanReplay(q.QueryRow(ctx, `SELECT `+replayColumns+` FROM {schema}outbox_replay WHERE id = ?`, id))
	if errors.Is(err, riverdb.ErrNoRows) {
		return r, fmt.Errorf("%w: %s", ErrUnknownReplay, clean(id))
	}
	return r, wrap("reading replay", err)
}

// runReplay schedules batch after batch.
func (o *Outbox) runReplay(ctx context.Context, id string, progress func(ReplayStatus)) (ReplayStatus, error) {
	for {
		var done bool
		err := o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) (err error) {
			done, err = o.replayOnce(ctx, tx, id)
			return err
		})
		if err != nil {
			return ReplayStatus{ID: id}, wrap("replaying", err)
		}
		s, err := o.replayStatus(ctx, id)
		if err != nil {
			return ReplayStatus{ID: id}, err
		}
		if progress != nil {
			o.faults.Call(ctx, inProgress, func() { progress(s) })
		}
		if done {
			return s, nil
		}
	}
}

// replayOnce schedules one batch, and writes down how far it came in the same transaction.
func (o *Outbox) replayOnce(ctx context.Context, tx *riverdb.Tx, id string) (done bool, err error) {
	// Whoever else resumes this replay waits here.
	if _, err := tx.Exec(ctx, `UPDATE {schema}outbox_replay SET cursor = cursor WHERE id = ?`, id); err != nil {
		return false, err
	}
	r, err := o.readReplay(ctx, tx, id)
	if err != nil || r.done != 0 {
		return true, err
	}
	batch, err := o.replayBatch(ctx, tx, &r)
	if err != nil {
		return false, err
	}
	all, err := o.space(ctx, tx, id, &r, batch)
	if err != nil {
		return false, err
	}
	if len(all) > 0 {
		if _, err := o.revive(ctx, tx, all, id); err != nil {
			return false, err
		}
	}
	cursor := r.cursor
	if len(batch) > 0 {
		cursor = batch[len(batch)-1].id
	}
	done = len(batch) < replayBatch
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_replay SET cursor = ?, scheduled = scheduled + ?, skipped = skipped + ?, done = ? WHERE id = ?`,
		cursor, int64(len(all)), int64(len(batch)-len(all)), flag(done), id)
	return done, err
}

// candidate is a delivery that matches the filter.
type candidate struct {
	id, endpoint, state string
	length              int64
}

func (o *Outbox) replayBatch(ctx context.Context, tx *riverdb.Tx, r *replayRow) ([]candidate, error) {
	var f DeliveryFilter
	if err := json.Unmarshal([]byte(r.filter), &f); err != nil {
		return nil, err
	}
	where, args, err := f.where()
	if err != nil {
		return nil, err
	}
	statement := `SELECT d.id, d.endpoint, COALESCE(e.state, ''), length(d.body) FROM {schema}outbox_delivery d
		LEFT JOIN {schema}outbox_endpoint e ON e.id = d.endpoint WHERE d.id > ?`
	for _, w := range where {
		statement += ` AND ` + w
	}
	if f.Type == "" { // nobody waits for a test
		statement += ` AND d.type <> '` + string(EventTest) + `'`
	}
	return riverdb.Collect(ctx, tx, func(r riverdb.Row) (c candidate, err error) {
		return c, r.Scan(&c.id, &c.endpoint, &c.state, &c.length)
	}, statement+` ORDER BY d.id LIMIT ?`, append(append([]any{r.cursor}, args...), int64(replayBatch))...)
}

// space gives each delivery that can be sent its time, after those of the batches before.
func (o *Outbox) space(ctx context.Context, tx *riverdb.Tx, id string, r *replayRow, batch []candidate) ([]revival, error) {
	now := time.Now()
	spacing := time.Duration(r.spacing) * time.Microsecond
	next := map[string]time.Time{}
	var all []revival
	for _, c := range batch {
		if c.length == 0 || c.state == "" || c.state == string(EndpointDisabled) {
			continue
		}
		due, ok := next[c.endpoint]
		if !ok {
			var last int64
			err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(next_at), 0) FROM {schema}outbox_delivery WHERE replay = ? AND replay <> '' AND endpoint = ?`,
				id, c.endpoint).Scan(&last)
			if err != nil {
				return nil, err
			}
			if due = now; last != 0 {
				due = latest(now, fromMicros(last).Add(spacing))
			}
		}
		all = append(all, revival{id: c.id, due: due})
		next[c.endpoint] = due.Add(spacing)
	}
	return all, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
