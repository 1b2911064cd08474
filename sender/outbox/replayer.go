package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
)

type replayRow struct {
	id, app, filter, cursor, planned             string
	createdAt, spacing, scheduled, skipped, done int64
	missed                                       int64 // it sends missed events
	background                                   int64 // a started process schedules it
	canceledAt                                   int64
}

const replayColumns = `id, app, filter, cursor, planned, created_at, spacing, scheduled, skipped, done, missed, background, canceled_at`

func scanReplay(s jobdb.Row) (r replayRow, err error) {
	return r, s.Scan(&r.id, &r.app, &r.filter, &r.cursor, &r.planned, &r.createdAt, &r.spacing, &r.scheduled, &r.skipped, &r.done, &r.missed,
		&r.background, &r.canceledAt)
}

func unknownReplay(id string) error { return fmt.Errorf("%w: %s", ErrUnknownReplay, clean(id)) }

func readReplay(ctx context.Context, q jobdb.Querier, k owned) (row replayRow, err error) {
	if !k.storable() {
		return row, unknownReplay(k.id)
	}
	row, err = scanReplay(q.QueryRow(ctx, `SELECT `+replayColumns+` FROM {schema}outbox_replay WHERE app = ? AND id = ?`, k.app, k.id))
	if errors.Is(err, jobdb.ErrNoRows) {
		return row, unknownReplay(k.id)
	}
	return row, wrap("reading replay", err)
}

func (r *replayer) status(ctx context.Context, k owned) (ReplayStatus, error) {
	row, err := readReplay(ctx, r.db.Reader(), k)
	if err != nil {
		return ReplayStatus{}, err
	}
	all, err := r.statuses(ctx, []replayRow{row}, MaxCount)
	if err != nil {
		return ReplayStatus{}, err
	}
	return all[0], nil
}

// statuses counts the deliveries of replays by their state, each up to most.
func (r *replayer) statuses(ctx context.Context, rows []replayRow, most int) ([]ReplayStatus, error) {
	all, ids, byID := make([]ReplayStatus, len(rows)), make([]string, len(rows)), map[string]*ReplayStatus{}
	for i, row := range rows {
		all[i] = ReplayStatus{
			ID: row.id, App: row.app, CreatedAt: fromMicros(row.createdAt),
			Missed: row.missed != 0, Scheduled: int(row.scheduled), Skipped: int(row.skipped), Complete: row.done != 0,
			CanceledAt: fromMicros(row.canceledAt),
		}
		if err := json.Unmarshal([]byte(row.filter), &all[i].Filter); err != nil {
			return nil, fmt.Errorf("outbox: reading replay %s: %w", row.id, err)
		}
		ids[i], byID[row.id] = row.id, &all[i]
	}
	type count struct {
		replay, state string
		n             int64
	}
	table, list := each(r.db, ids)
	counts, err := jobdb.Collect(ctx, r.db.Reader(), func(r jobdb.Row) (c count, err error) { return c, r.Scan(&c.replay, &c.state, &c.n) },
		`SELECT u.id, s.state, (SELECT count(*) FROM (SELECT 1 AS found FROM {schema}outbox_delivery d
			WHERE d.replay = u.id AND d.replay <> '' AND d.state = s.state LIMIT ?) AS bounded)
		FROM `+table+`, (SELECT 'pending' AS state UNION ALL SELECT 'delivered' UNION ALL SELECT 'failed' UNION ALL SELECT 'canceled'
			UNION ALL SELECT 'superseded') AS s`, int64(most), list)
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

// run schedules batch after batch.
func (r *replayer) run(ctx context.Context, k owned, progress func(ReplayStatus)) (ReplayStatus, error) {
	for {
		var done bool
		err := r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			done, err = r.scheduleBatch(ctx, tx, k)
			return err
		})
		if err != nil {
			return ReplayStatus{ID: k.id}, wrap("replaying", err)
		}
		s, err := r.status(ctx, k)
		if err != nil {
			return ReplayStatus{ID: k.id}, err
		}
		if progress != nil {
			r.faults.Call(ctx, inProgress, func() { progress(s) })
		}
		if done {
			return s, nil
		}
	}
}

// scheduleBatch schedules one batch, and stores its progress in the same
// transaction.
func (r *replayer) scheduleBatch(ctx context.Context, tx *jobdb.Tx, k owned) (done bool, err error) {
	// Another process that resumes this replay waits here.
	if _, err := tx.Exec(ctx, `UPDATE {schema}outbox_replay SET cursor = cursor WHERE app = ? AND id = ?`, k.app, k.id); err != nil {
		return false, err
	}
	row, err := readReplay(ctx, tx, k)
	if err != nil || row.done != 0 || row.canceledAt != 0 {
		return true, err
	}
	schedule := r.scheduleRange
	if row.missed != 0 {
		schedule = r.scheduleMissed
	}
	b, err := schedule(ctx, tx, &row)
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_replay SET cursor = ?, planned = ?, scheduled = scheduled + ?, skipped = skipped + ?, done = ?
		WHERE app = ? AND id = ?`,
		b.cursor, row.planned, int64(b.scheduled), int64(b.skipped), flag(b.done), k.app, k.id)
	return b.done, err
}

// replayed is the outcome of a batch.
type replayed struct {
	cursor             string // after it
	scheduled, skipped int
	done               bool // it was the last one
}

// scheduleRange schedules deliveries that match the filter.
func (r *replayer) scheduleRange(ctx context.Context, tx *jobdb.Tx, row *replayRow) (replayed, error) {
	batch, next, err := r.nextBatch(ctx, tx, row)
	if err != nil {
		return replayed{}, err
	}
	all, err := row.schedule(batch)
	if err != nil {
		return replayed{}, err
	}
	if len(all) > 0 {
		if err := r.requeue(ctx, tx, all, row.id); err != nil {
			return replayed{}, err
		}
	}
	return replayed{cursor: next, scheduled: len(all), skipped: len(batch) - len(all), done: next == ""}, nil
}

// candidate is a delivery that matches the filter.
type candidate struct {
	id, endpoint, state string
	encoding            int64
}

// nextBatch returns the next deliveries, and the cursor after them. It is empty
// after the last. A batch can be empty although there are more.
func (r *replayer) nextBatch(ctx context.Context, tx *jobdb.Tx, row *replayRow) (batch []candidate, next string, err error) {
	selected := selection{app: row.app}
	if err := json.Unmarshal([]byte(row.filter), &selected.DeliveryFilter); err != nil {
		return nil, "", err
	}
	s, err := selected.scanForReplay(ctx, tx)
	if err != nil {
		return nil, "", err
	}
	s.from(row.cursor)
	found, err := s.step(ctx, r.db.Dialect(), tx, replayBatch)
	if err != nil {
		return nil, "", err
	}
	batch, err = r.candidates(ctx, tx, found.ids)
	return batch, found.last, err
}

// scanForReplay leaves out tests, which are sent again only on request.
func (f selection) scanForReplay(ctx context.Context, q jobdb.Querier) (scan, error) {
	s, err := f.scan(ctx, q)
	if f.Type == "" {
		s.check(`d.type <> ?`, string(EventTest))
	}
	return s, err
}

func (r *replayer) candidates(ctx context.Context, q jobdb.Querier, ids []string) ([]candidate, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, list := anyOf(r.db, ids)
	return jobdb.Collect(ctx, q, func(r jobdb.Row) (c candidate, err error) {
		return c, r.Scan(&c.id, &c.endpoint, &c.state, &c.encoding)
	}, `SELECT d.id, d.endpoint, COALESCE(e.state, ''), d.encoding FROM {schema}outbox_delivery d
		LEFT JOIN {schema}outbox_endpoint e ON e.id = d.endpoint WHERE d.id `+in+` ORDER BY d.id`, list)
}

// sendable reports whether the delivery can be sent again.
func (c *candidate) sendable() bool {
	return encoding(c.encoding) != noBody && c.state != "" && c.state != string(EndpointDisabled)
}

// schedule gives each delivery that can be sent a time after those of earlier
// batches, and changes planned accordingly. The deliveries themselves can't say
// when they were planned, since an attempt moves the time of the next one.
func (row *replayRow) schedule(batch []candidate) ([]requeued, error) {
	p, err := row.pace()
	if err != nil {
		return nil, err
	}
	var all []requeued
	for _, c := range batch {
		if !c.sendable() {
			continue
		}
		all = append(all, requeued{id: c.id, due: p.next(c.endpoint)})
	}
	row.planned = p.text()
	return all, nil
}

// pace gives each delivery of a replay its time.
type pace struct {
	now     time.Time
	spacing int64
	last    map[string]int64 // the last time of each endpoint
}

// pace continues after the earlier batches.
func (row *replayRow) pace() (*pace, error) {
	p := &pace{now: time.Now(), spacing: row.spacing}
	return p, json.Unmarshal([]byte(row.planned), &p.last)
}

// next returns the time of the next delivery to an endpoint.
func (p *pace) next(endpoint string) time.Time {
	due := p.now
	if last, ok := p.last[endpoint]; ok {
		due = later(due, fromMicros(last+p.spacing))
	}
	p.last[endpoint] = micros(due)
	return due
}

// text is the form in which the row keeps it.
func (p *pace) text() string {
	text, _ := json.Marshal(p.last) // numbers always marshal
	return string(text)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Replay sends a delivery again, from the beginning of its schedule, under the
// ID and with the body that it has. Its attempts continue to be counted. A
// delivery that waits for a retry is due now. A disabled endpoint is an error
// ([ErrEndpointDisabled]), as is a deleted one ([ErrUnknownEndpoint]).
func (a *App) Replay(ctx context.Context, deliveryID string) error {
	if err := a.open(); err != nil {
		return err
	}
	if !a.of(deliveryID).storable() {
		return unknownDelivery(deliveryID)
	}
	err := a.o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		return a.o.replayer.replay(ctx, tx, a.of(deliveryID))
	})
	return wrap("replaying", err)
}

func unknownDelivery(id string) error { return fmt.Errorf("%w: %s", ErrUnknownDelivery, clean(id)) }

// replayer sends deliveries again.
type replayer struct {
	db        *jobdb.DB
	queue     *jobdb.Queue
	endpoints *endpointStore
	publisher *publisher
	faults    *contain.Faults
	logger    *slog.Logger
	takeTurn  func(context.Context) (more bool, err error)
	begun     chan struct{} // sent to when a replay is to be scheduled in the background
}

func (r *replayer) replay(ctx context.Context, tx *jobdb.Tx, k owned) error {
	var (
		endpoint string
		encoded  int64
	)
	err := tx.QueryRow(ctx, `SELECT endpoint, encoding FROM {schema}outbox_delivery WHERE app = ? AND id = ?`, k.app, k.id).Scan(&endpoint, &encoded)
	if errors.Is(err, jobdb.ErrNoRows) {
		return unknownDelivery(k.id)
	}
	if err != nil {
		return err
	}
	if encoding(encoded) == noBody {
		return fieldError("body", "delivery %s has none: its format could not express the event, or it was erased", k.id)
	}
	e, _, err := r.endpoints.find(ctx, tx, owned{k.app, endpoint})
	if err != nil {
		return err
	}
	if e.State == EndpointDisabled {
		return fmt.Errorf("%w: %s; enable it first", ErrEndpointDisabled, endpoint)
	}
	return r.requeue(ctx, tx, []requeued{{id: k.id, due: time.Now()}}, "")
}

// requeued is a delivery that is to be sent again at a time.
type requeued struct {
	id  string
	due time.Time
}

// requeue gives deliveries new jobs. A job that a delivery still has is no
// longer its own, see recorder.save.
func (r *replayer) requeue(ctx context.Context, tx *jobdb.Tx, all []requeued, replay string) error {
	fresh := make([]jobdb.NewJob, len(all))
	for i, d := range all {
		fresh[i] = jobdb.NewJob{Ref: d.id, Wait: time.Until(d.due)}
	}
	jobs, err := r.queue.Insert(ctx, tx, fresh)
	if err != nil {
		return err
	}
	for i, d := range all {
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = 'pending', job = ?, step = 0, blocked = 0, next_at = ?, done_at = 0,
			replays = replays + 1, replay = CASE WHEN ? <> '' THEN ? ELSE replay END, last_error = '' WHERE id = ?`,
			jobs[i], micros(d.due), replay, replay, d.id)
		if err != nil {
			return err
		}
	}
	return nil
}
