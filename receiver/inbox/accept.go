package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const (
	maxSource = 255
	// fullRetry is what a peer is told to wait when the backlog is full.
	fullRetry = 30 * time.Second
)

// Handler returns what takes the deliveries of one source: it verifies, decodes and validates as [receiver.Receiver.Events]
// does, stores the delivery, and answers 202 `{"received":true}` when it is safe. A copy of one that is stored already is
// answered with 200 `{"received":true,"duplicate":true}`; where the delivery can't be stored, in time or at all, and while
// the backlog is full, the answer is 503 with Retry-After.
//
// source names where the deliveries come from: "platform", "github". Deliveries are told apart by it, the principal that v
// returns, and the signed ID, or the hash of the body where the scheme signs none. opts are those of [receiver.New] that
// make sense here; WithDedupe is an error, since the inbox itself remembers, and the logger is the inbox's own unless another
// is given. The retention must be at least twice the
// tolerance of v. With [receiver.PerRequest], whose tolerance shows only with each request, a timestamp that is further off than
// half the retention is answered with 503.
//
// Errors wrap [ErrConfig]. The handler works before [Inbox.Start], and after [Inbox.Stop] until [Inbox.Close].
func (in *Inbox) Handler(v signer.Verifier, source string, opts ...receiver.Option) (http.Handler, error) {
	if source == "" || len(source) > maxSource {
		return nil, configError("Handler: the source needs a name of 1 to %d bytes, such as the sending system's", maxSource)
	}
	if tolerance := toleranceOf(v); in.retention < 2*tolerance {
		return nil, configError("WithRetention(%v): it is less than twice the verifier's tolerance of %v, so replays would "+
			"pass; raise the retention", in.retention, tolerance)
	}
	own := []receiver.Option{receiver.InsecureNoDedupe(), receiver.WithAccepted(), receiver.WithLogger(in.logger)}
	rcv, err := receiver.New(v, append(own, opts...)...)
	if err != nil {
		return nil, configError("Handler: %w", err)
	}
	return rcv.Events(func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		return in.accept(ctx, source, d, e)
	}), nil
}

// toleranceOf is zero where a scheme has none, and for a nil pointer in an interface, which receiver.New has the words for.
func toleranceOf(v signer.Verifier) time.Duration {
	if t, ok := v.(interface{ Tolerance() time.Duration }); ok && !nilable.IsNil(v) {
		return t.Tolerance()
	}
	return 0
}

// arrival is a delivery on its way into the table.
type arrival struct {
	key         dedupe.Key
	orderingKey dedupe.Key

	source, principal, deliveryID, signingKey string
	signedAt                                  time.Time
	event                                     *payload.Event
	body                                      []byte
}

// acceptance is what became of an arrival.
type acceptance int

const (
	turnedAway acceptance = iota
	accepted
	duplicate
)

func (in *Inbox) accept(ctx context.Context, source string, d *receiver.Delivery, e *payload.Event) error {
	if off := time.Since(d.Timestamp).Abs(); !d.Timestamp.IsZero() && off > in.retention/2 {
		return receiver.TryAgain(0, configError("WithRetention(%v): the verifier takes a timestamp that is %v off, so "+
			"replays would pass; raise the retention", in.retention, off.Round(time.Second)))
	}
	if in.closed.Load() {
		return receiver.TryAgain(0, ErrClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	result, err := in.accepts.Do(ctx, newArrival(source, d, e))
	switch {
	case err != nil:
		return receiver.TryAgain(0, err)
	case result == turnedAway:
		return receiver.TryAgain(fullRetry, ErrFull)
	case result == duplicate:
		return receiver.ErrDuplicate
	}
	return nil
}

func newArrival(source string, d *receiver.Delivery, e *payload.Event) *arrival {
	id := d.ID
	if id == "" {
		sum := sha256.Sum256(d.Body)
		id = "sha256." + hex.EncodeToString(sum[:]) // no scheme takes an ID with a dot in it
	}
	return &arrival{
		key: dedupe.NewKey(source, d.Principal, id), orderingKey: dedupe.NewKey(source, d.Principal, deployment(e)),
		source: source, principal: d.Principal, deliveryID: d.ID, signingKey: d.Key, signedAt: d.Timestamp, event: e, body: d.Body,
	}
}

// deployment is what events are ordered by: app and deployment ID. Several apps of
// one pipeline run may share an ID. The app's length keeps the two apart.
func deployment(e *payload.Event) string {
	return strconv.Itoa(len(e.App)) + ":" + e.App + e.DeploymentID
}

// store puts arrivals into the table, each with the job that will handle it, in one transaction.
func (in *Inbox) store(ctx context.Context, batch []*arrival) ([]acceptance, error) {
	results := make([]acceptance, len(batch))
	room, err := in.backlog.room(ctx, in, len(batch))
	if err != nil {
		return nil, err
	}
	if room == 0 {
		return results, nil
	}
	used := 0
	defer func() { in.backlog.settle(room, used) }()
	place := make(map[dedupe.Key]int, len(batch)) // in results
	fresh := make([]*arrival, 0, len(batch))
	for i, a := range batch {
		if _, twice := place[a.key]; twice {
			results[i] = duplicate
		} else if len(fresh) < room {
			place[a.key] = i
			fresh = append(fresh, a)
			results[i] = duplicate // unless it is inserted
		}
	}
	var stored []insertion
	err = in.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		if stored, err = insert(ctx, tx, fresh); err != nil || len(stored) == 0 {
			return err
		}
		return in.enqueue(ctx, tx, stored)
	})
	if err != nil {
		return nil, err
	}
	used = len(stored)
	for _, s := range stored {
		results[place[dedupe.Key(s.key)]] = accepted
	}
	return results, nil
}

// insertion is a row that is to get a job.
type insertion struct {
	id, round int64
	key       []byte
}

const (
	insertHead = `INSERT INTO {schema}inbox_delivery (delivery_key, ordering_key, source, principal, delivery_id, signing_key, signed_at,
		type, deployment_id, event_at, received_at, body, state, round, attempts, retry_at, finished_at, last_error) VALUES `
	insertRow  = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {now}, ?, 'pending', 1, 0, 0, 0, '')`
	insertTail = ` ON CONFLICT (delivery_key) DO NOTHING RETURNING id, round, delivery_key`
)

// insert leaves out what is there already. All processes insert in the order of the keys, so that none waits for another
// that waits for it.
func insert(ctx context.Context, tx *riverdb.Tx, batch []*arrival) ([]insertion, error) {
	sortByKey(batch)
	args := make([]any, 0, 11*len(batch))
	for _, a := range batch {
		args = append(args, a.key[:], a.orderingKey[:], a.source, storable(a.principal), a.deliveryID, storable(a.signingKey),
			sqldb.Micros(a.signedAt), string(a.event.Type), storable(a.event.DeploymentID), sqldb.Micros(a.event.Timestamp), a.body)
	}
	statement := insertHead + insertRow + strings.Repeat(", "+insertRow, len(batch)-1) + insertTail
	return riverdb.Collect(ctx, tx, func(r riverdb.Row) (s insertion, err error) {
		return s, r.Scan(&s.id, &s.round, &s.key)
	}, statement, args...)
}

// enqueue inserts the jobs of rows.
func (in *Inbox) enqueue(ctx context.Context, tx *riverdb.Tx, rows []insertion) error {
	jobs := make([]river.InsertManyParams, len(rows))
	for i, row := range rows {
		jobs[i] = river.InsertManyParams{Args: jobArgs{ID: row.id, Round: row.round}}
	}
	_, err := in.client.InsertManyTx(ctx, tx, jobs)
	return err
}
