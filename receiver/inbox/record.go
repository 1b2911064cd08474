package inbox

import (
	"context"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// record is a row with the columns that a worker needs.
type record struct {
	id, round, attempts int64
	orderingKey         []byte
	state               State
	retryAt             time.Time
	eventAt             int64

	source, principal, deliveryID, signingKey string
	typ, deploymentID                         string
	signedAt, receivedAt                      time.Time
	body                                      []byte
	trace                                     string

	job int64 // the job that works on it, or zero for another job's delivery
}

const recordColumns = `id, round, attempts, ordering_key, state, retry_at, event_at, source, principal, delivery_id, signing_key,
	type, deployment_id, signed_at, received_at, body, trace`

func scanRecord(row jobdb.Row) (*record, error) {
	var r record
	var state string
	var retryAt, signedAt, receivedAt int64
	err := row.Scan(&r.id, &r.round, &r.attempts, &r.orderingKey, &state, &retryAt, &r.eventAt, &r.source, &r.principal, &r.deliveryID,
		&r.signingKey, &r.typ, &r.deploymentID, &signedAt, &receivedAt, &r.body, &r.trace)
	r.state, r.retryAt = State(state), sqldb.Time(retryAt)
	r.signedAt, r.receivedAt = sqldb.Time(signedAt), sqldb.Time(receivedAt)
	return &r, err
}

// delivery returns the delivery that receiver.FromContext gives to the handler.
func (r *record) delivery(e *payload.Event, envelope *payload.Envelope) *receiver.Delivery {
	return &receiver.Delivery{
		Deployment: deploymentOf(e),
		ID:         r.deliveryID, Timestamp: r.signedAt, Principal: r.principal, Key: r.signingKey, Source: r.source,
		Body: r.body, Event: e, Envelope: envelope,
	}
}

// loadAll returns a record for each ID, or nil if there is no such row.
func (in *Inbox) loadAll(ctx context.Context, ids []int64) ([]*record, error) {
	which, arg := in.db.IsAnyOf("id", ids)
	records, err := jobdb.Collect(ctx, in.db, scanRecord, "SELECT "+recordColumns+" FROM {schema}inbox_delivery WHERE "+which, arg)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]*record, len(records))
	for _, r := range records {
		byID[r.id] = r
	}
	results := make([]*record, len(ids))
	for i, id := range ids {
		results[i] = byID[id]
	}
	return results, nil
}

// deliveryRound identifies a delivery between two replays. A slow worker of an
// earlier round must not finish a delivery that was replayed.
type deliveryRound struct {
	id, round int64
	job       int64 // see record
}

// number combines both fields, so that a statement needs only one list. It is
// unique for up to 2^20 replays of a delivery.
func (t deliveryRound) number() int64 { return t.id<<20 | t.round&(1<<20-1) }

// markAll marks deliveries as handled and finishes their jobs. It reports for
// each whether it was pending before.
func (in *Inbox) markAll(ctx context.Context, rounds []deliveryRound) ([]bool, error) {
	ids, numbers, jobs := make([]int64, len(rounds)), make([]int64, len(rounds)), make([]int64, len(rounds))
	for i, t := range rounds {
		ids[i], numbers[i], jobs[i] = t.id, t.number(), t.job
	}
	which, idsArg := in.db.IsAnyOf("id", ids) // so that the database uses the index on id
	const number = "id * 1048576 + round % 1048576"
	inRound, numbersArg := in.db.IsAnyOf(number, numbers)
	mark := `UPDATE {schema}inbox_delivery SET state = 'handled', finished_at = {now}, attempts = attempts + 1, last_error = ''
		WHERE state = 'pending' AND ` + which + " AND " + inRound + " RETURNING " + number
	var marked []int64
	var err error
	if in.db.Dialect() == jobdb.Postgres {
		finish, jobsArg := in.queue.Finish(jobs)
		marked, err = jobdb.Collect(ctx, in.db, scanID, "WITH finished AS ("+finish+") "+mark, jobsArg, idsArg, numbersArg)
	} else {
		err = in.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			if marked, err = jobdb.Collect(ctx, tx, scanID, mark, idsArg, numbersArg); err == nil {
				err = in.queue.FinishTx(ctx, tx, jobs)
			}
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	done := make(map[int64]bool, len(marked))
	for _, n := range marked {
		done[n] = true
	}
	results := make([]bool, len(rounds))
	for i, n := range numbers {
		results[i] = done[n]
	}
	return results, nil
}

func scanID(row jobdb.Row) (id int64, err error) { return id, row.Scan(&id) }
