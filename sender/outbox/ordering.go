package outbox

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// WithOrdering attempts the deliveries of each deployment to an endpoint in
// order and one at a time, across all processes. Default: off. The order is
// that of the events' timestamps, and that of publishing where these are equal.
// A delivery waits while an older one of its deployment is pending at the same
// endpoint. It makes no attempt meanwhile and takes no slot. It stays
// [Pending], and its NextAt says only when the outbox checks again. Other
// deployments and other endpoints are not delayed.
//
//	the older delivery                  the newer one
//	ends, whichever way                 is due at once
//	waits for a retry                   waits as well
//	is replayed, or was missed          waits, unless it has ended
//	is published after the newer one    waits, unless it has ended
//
// In the last two cases the older delivery comes late if the newer one has been
// delivered. It is sent nevertheless. Of the events that are published late,
// [WithSupersession] drops intermediate ones whose deployment is over.
//
// Give the option to every process on the database. A process without it
// attempts deliveries in any order.
func WithOrdering() Option {
	return optionFunc(func(c *config) { c.ordering = true })
}

// recheckAfter is about how long a blocked delivery waits if nothing makes it
// due before, such as the end of an older delivery in a process without
// WithOrdering.
const recheckAfter = 5 * time.Minute

// ordering implements WithOrdering. A worker that finds an older pending
// delivery blocks its own, which is then due much later. The transaction that
// ends a delivery makes the next one of its sequence due and gives it a new
// job. The old job finds that the delivery is no longer its own.
type ordering struct {
	on    bool
	db    *jobdb.DB
	queue *jobdb.Queue
}

// sequence is the deliveries of one deployment to one endpoint, and so of one
// app.
type sequence struct{ endpoint, deployment string }

// olderPending is the first pending delivery of a sequence if it is older than
// the delivery d, and otherwise empty.
const olderPending = `COALESCE((SELECT o.id FROM {schema}outbox_delivery o WHERE o.endpoint = d.endpoint AND o.deployment = d.deployment
	AND o.state = 'pending' AND o.deployment <> '' AND (o.event_at, o.id) < (d.event_at, d.id) ORDER BY o.event_at, o.id LIMIT 1), '')`

// block stores that deliveries wait for an older one. A result counts only if
// the older delivery is still pending. The lock has its end wait until the
// transaction is over. Either the end comes first and nothing is blocked, or
// the end finds the blocked delivery.
func (o *ordering) block(ctx context.Context, results []*result) error {
	if len(results) == 0 {
		return nil
	}
	lock := ``
	if o.db.Dialect() == jobdb.Postgres {
		lock = ` FOR SHARE`
	}
	ids := make([]string, len(results))
	for i, r := range results {
		ids[i] = r.blockedBy
	}
	in, list := anyOf(o.db, ids)
	return o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		older, err := jobdb.Collect(ctx, tx, scanText,
			`SELECT id FROM {schema}outbox_delivery WHERE id `+in+` AND state = 'pending' ORDER BY id`+lock, list)
		if err != nil {
			return err
		}
		pending := make(map[string]bool, len(older))
		for _, id := range older {
			pending[id] = true
		}
		for _, r := range results {
			if r.counted = false; !pending[r.blockedBy] {
				continue
			}
			n, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET next_at = ?, blocked = 1 WHERE id = ? AND state = 'pending' AND job = ?`,
				micros(r.nextAt), r.id, r.job)
			if err != nil {
				return err
			}
			r.counted = n > 0
		}
		return nil
	})
}

// lockEnding locks deliveries that are about to end in the order in which block
// locks them. Without an order of deliveries, endings alone and attempts alone
// are locked in order by the statements that record them.
func (o *ordering) lockEnding(ctx context.Context, tx *jobdb.Tx, endings, attempts []*result) error {
	if o.db.Dialect() != jobdb.Postgres || !o.on && (len(endings) == 0 || len(attempts) == 0) {
		return nil
	}
	var ids []string
	for _, r := range slices.Concat(endings, attempts) {
		ids = append(ids, r.id)
	}
	_, err := tx.Exec(ctx, `SELECT FROM {schema}outbox_delivery WHERE id`+sqldb.AnyInArray("text")+` ORDER BY id FOR UPDATE`, ids)
	return err
}

// ended returns the sequences in which results have ended a delivery.
func ended(results []*result) (all []sequence) {
	seen := map[sequence]bool{}
	for _, r := range results {
		s := sequence{r.endpoint, r.deployment}
		if r.counted && r.state != Pending && !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	return all
}

// unblock makes the first pending delivery of each sequence due if it is
// blocked. The transaction has ended one before it.
func (o *ordering) unblock(ctx context.Context, tx *jobdb.Tx, sequences []sequence) error {
	if !o.on || len(sequences) == 0 {
		return nil
	}
	from, args := o.sequences(sequences)
	blocked, err := jobdb.Collect(ctx, tx, scanText, firstBlocked+from+`) ORDER BY d.id`, args...)
	if err != nil || len(blocked) == 0 {
		return err
	}
	now := time.Now()
	all := make([]jobdb.NewJob, len(blocked))
	for i, id := range blocked {
		all[i] = jobdb.NewJob{Ref: id}
	}
	jobs, err := o.queue.Insert(ctx, tx, all)
	if err != nil {
		return err
	}
	for i, id := range blocked {
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET next_at = ?, blocked = 0, job = ? WHERE id = ? AND state = 'pending' AND blocked = 1`,
			micros(now), jobs[i], id)
		if err != nil {
			return err
		}
	}
	return nil
}

const firstBlocked = `SELECT d.id FROM {schema}outbox_delivery d WHERE d.blocked = 1 AND d.id IN (SELECT (
	SELECT o.id FROM {schema}outbox_delivery o WHERE o.endpoint = v.endpoint AND o.deployment = v.deployment AND o.state = 'pending'
	AND o.deployment <> '' ORDER BY o.event_at, o.id LIMIT 1) FROM `

// sequences is a table v of sequences, and its arguments.
func (o *ordering) sequences(all []sequence) (from string, args []any) {
	var endpoints, deployments []string
	for _, s := range all {
		endpoints, deployments = append(endpoints, s.endpoint), append(deployments, s.deployment)
	}
	if o.db.Dialect() == jobdb.Postgres {
		return `unnest(?::text[], ?::text[]) AS v (endpoint, deployment)`, []any{endpoints, deployments}
	}
	pairs := make([][2]string, len(all))
	for i := range all {
		pairs[i] = [2]string{endpoints[i], deployments[i]}
	}
	text, _ := json.Marshal(pairs) // texts always have a JSON form
	return `(SELECT value ->> 0 AS endpoint, value ->> 1 AS deployment FROM json_each(?)) v`, []any{string(text)}
}

// unblockAfter unblocks the sequences of an event's deliveries, which the
// transaction has ended.
func (o *ordering) unblockAfter(ctx context.Context, tx *jobdb.Tx, event owned) error {
	if !o.on {
		return nil
	}
	all, err := jobdb.Collect(ctx, tx, func(r jobdb.Row) (s sequence, err error) { return s, r.Scan(&s.endpoint, &s.deployment) },
		`SELECT endpoint, deployment FROM {schema}outbox_delivery WHERE app = ? AND event = ?`, event.app, event.id)
	if err != nil {
		return err
	}
	return o.unblock(ctx, tx, all)
}
