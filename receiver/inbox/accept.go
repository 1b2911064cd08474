package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const (
	maxSource = 255
	// fullRetry is the Retry-After of an answer while the backlog is full.
	fullRetry = 30 * time.Second
)

// Handler returns the HTTP handler for the deliveries of one source. It
// verifies, decodes and validates as [receiver.Receiver.Events] does, then
// stores the delivery and answers.
//
//	stored                               202 {"received":true}
//	stored before                        200 {"received":true,"duplicate":true}
//	not stored in time, or backlog full  503, Retry-After
//
// source names the sending system, such as "platform". It is required. Source,
// principal and signed ID identify a delivery. If the scheme signs no ID, the
// hash of the body replaces it. [Inbox.Records] takes the webhooks of other
// systems, such as GitHub.
//
// opts are options of [receiver.New], such as [receiver.WithEnvelope].
// WithDedupe is an error, because the inbox remembers deliveries itself. The
// logger defaults to the inbox's.
//
// The retention must be at least twice the tolerance of v. With
// [receiver.PerRequest] each request has its own tolerance. A timestamp further
// off than half the retention is then answered with 503.
//
// Errors wrap [ErrConfig]. The handler works before [Inbox.Start] and after
// [Inbox.Stop], until [Inbox.Close].
func (in *Inbox) Handler(v signer.Verifier, source string, opts ...receiver.Option) (http.Handler, error) {
	rcv, err := in.receiver("Handler", v, source, opts)
	if err != nil {
		return nil, err
	}
	return rcv.Events(func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		return in.accept(ctx, newArrival(source, d, e))
	}), nil
}

// receiver returns what verifies the requests of one source. operation is the
// method that the caller called.
func (in *Inbox) receiver(operation string, v signer.Verifier, source string, opts []receiver.Option) (*receiver.Receiver, error) {
	if err := in.open(); err != nil {
		return nil, err
	}
	if source == "" || len(source) > maxSource || storable(source) != source {
		return nil, configError("%s: the source needs a name of 1 to %d bytes of text, such as the sending system's", operation, maxSource)
	}
	if tolerance := toleranceOf(v); in.retention < 2*tolerance {
		return nil, configError("WithRetention(%v): this is less than twice the verifier's tolerance of %v, so replays would "+
			"pass; raise the retention", in.retention, tolerance)
	}
	own := []receiver.Option{receiver.InsecureNoDedupe(), receiver.WithAccepted(), receiver.WithLogger(in.logger.With(slog.String("source", source)))}
	rcv, err := receiver.New(v, slices.Concat(own, in.followed(source), opts)...)
	if err != nil {
		return nil, configError("%s: %w", operation, err)
	}
	return rcv, nil
}

// toleranceOf returns zero for a scheme without a tolerance. It also returns
// zero for a nil pointer in the interface, which receiver.New reports.
func toleranceOf(v signer.Verifier) time.Duration {
	if t, ok := v.(interface{ Tolerance() time.Duration }); ok && !nilable.IsNil(v) {
		return t.Tolerance()
	}
	return 0
}

// arrival is a delivery that is about to be stored.
type arrival struct {
	key         dedupe.Key
	orderingKey dedupe.Key

	source, principal, deliveryID, signingKey string
	signedAt                                  time.Time
	event                                     *payload.Event
	body                                      []byte
	trace                                     string
}

// acceptance is the result of storing an arrival.
type acceptance int

const (
	turnedAway acceptance = iota
	accepted
	duplicate
)

func (in *Inbox) accept(ctx context.Context, a *arrival) error {
	if off := time.Since(a.signedAt).Abs(); !a.signedAt.IsZero() && off > in.retention/2 {
		return receiver.TryAgain(0, configError("WithRetention(%v): the verifier accepts a timestamp that is %v off, so "+
			"replays would pass; raise the retention", in.retention, off.Round(time.Second)))
	}
	if in.closed.Load() {
		return receiver.TryAgain(0, ErrClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	a.trace = in.trace(ctx)
	result, err := in.accepts.Do(ctx, a)
	switch {
	case err != nil:
		return receiver.TryAgain(0, sqldb.Explain(err))
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
		// never equals a signed ID, because no scheme accepts an ID with a dot
		id = "sha256." + hex.EncodeToString(sum[:])
	}
	return &arrival{
		key: dedupe.NewKey(source, d.Principal, id), orderingKey: dedupe.NewKey(source, d.Principal, deployment(e)),
		source: source, principal: d.Principal, deliveryID: d.ID, signingKey: d.Key, signedAt: d.Timestamp, event: e, body: d.Body,
	}
}

// deployment identifies a deployment for ordering by app and deployment ID.
// Several apps of one pipeline run may share an ID. The length prefix keeps app
// and ID apart.
func deployment(e *payload.Event) string {
	return strconv.Itoa(len(e.App)) + ":" + e.App + e.DeploymentID
}

// store inserts arrivals and the jobs that will handle them in one transaction.
func (in *Inbox) store(ctx context.Context, batch []*arrival) ([]acceptance, error) {
	results := make([]acceptance, len(batch))
	room, err := in.backlog.reserve(ctx, in, len(batch))
	if err != nil {
		return nil, err
	}
	if room == 0 {
		return results, nil
	}
	used := 0
	defer func() { in.backlog.settle(room, used) }()
	place := make(map[dedupe.Key]int, len(batch)) // index into results
	fresh := make([]*arrival, 0, len(batch))
	for i, a := range batch {
		if _, twice := place[a.key]; twice {
			results[i] = duplicate
		} else if len(fresh) < room {
			place[a.key] = i
			fresh = append(fresh, a)
			results[i] = duplicate // until it is inserted
		}
	}
	var stored []insertion
	err = in.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		if stored, err = insert(ctx, tx, fresh); err != nil || len(stored) == 0 {
			return err
		}
		return in.enqueue(ctx, tx, stored)
	})
	if err != nil {
		return nil, err
	}
	if used = len(stored); used > 0 {
		in.queue.Kick()
	}
	for _, s := range stored {
		results[place[dedupe.Key(s.key)]] = accepted
	}
	return results, nil
}

// insertion is an inserted row that needs a job.
type insertion struct {
	id, round int64
	key       []byte
}

const (
	insertHead = `INSERT INTO {schema}inbox_delivery (delivery_key, ordering_key, source, principal, delivery_id, signing_key, signed_at,
		type, deployment_id, event_at, received_at, body, trace, state, round, attempts, retry_at, finished_at, last_error, dead_error) VALUES `
	insertRow  = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {now}, ?, ?, 'pending', 1, 0, 0, 0, '', '')`
	insertTail = ` ON CONFLICT (delivery_key) DO NOTHING RETURNING id, round, delivery_key`
)

// insert skips rows that already exist. All processes insert in the order of
// the keys, which avoids deadlocks.
func insert(ctx context.Context, tx *jobdb.Tx, batch []*arrival) ([]insertion, error) {
	sortByKey(batch)
	args := make([]any, 0, 12*len(batch))
	for _, a := range batch {
		args = append(args, a.key[:], a.orderingKey[:], a.source, storable(a.principal), a.deliveryID, storable(a.signingKey),
			sqldb.Micros(a.signedAt), string(a.event.Type), storable(a.event.DeploymentID), sqldb.Micros(a.event.Timestamp), a.body, a.trace)
	}
	statement := insertHead + insertRow + strings.Repeat(", "+insertRow, len(batch)-1) + insertTail
	return jobdb.Collect(ctx, tx, func(r jobdb.Row) (s insertion, err error) {
		return s, r.Scan(&s.id, &s.round, &s.key)
	}, statement, args...)
}

// enqueue inserts the jobs for rows. Call Kick of the queue after the commit.
func (in *Inbox) enqueue(ctx context.Context, tx *jobdb.Tx, rows []insertion) error {
	jobs := make([]jobdb.NewJob, len(rows))
	for i, row := range rows {
		jobs[i].Ref = jobRef{row.id, row.round}.String()
	}
	_, err := in.queue.Insert(ctx, tx, jobs)
	return err
}
