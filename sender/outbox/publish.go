package outbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// eventIDMember is the member of an event's JSON that holds its ID.
const eventIDMember = "event_id"

// PublishOption configures [App.Publish].
type PublishOption interface {
	applyToPublish(*publishConfig)
}

type publishOption func(*publishConfig)

func (f publishOption) applyToPublish(c *publishConfig) { f(c) }

type publishConfig struct{ eventID string }

// WithEventID sets the event's ID, which makes publishing idempotent. A second
// call with the same ID and the same event stores nothing and returns the
// deliveries of the first. One with another event is an error that wraps
// [ErrConflict]. IDs belong to an app. 1 to 255 bytes of visible ASCII.
// Default: the event's own event_id member, or else a fresh ID.
func WithEventID(id string) PublishOption {
	return publishOption(func(c *publishConfig) { c.eventID = id })
}

// Publish stores one delivery of event for each of the app's endpoints that is
// not disabled and whose filter accepts it. When Publish returns nil, they
// survive a crash. Each has its own delivery ID. They share the event's ID,
// which is the member event_id of their JSON. The event is stored once, as
// JSON, whether or not an endpoint gets it. Bodies in other formats are made
// once, now. Every attempt sends the same bytes.
//
// The event is not changed. A delivery ID in it is replaced. An app without
// matching endpoints is no error. Errors: [ErrUnknownApp], [ErrConflict],
// *payload.ValidationError, and a [*FieldError] that wraps [ErrBodyTooLarge].
// Nothing is stored then. An event that the format of one endpoint can't
// express is no error. That endpoint gets no delivery (sender.ErrNoMessage), or
// one that is [Failed] with the reason (any other error).
func (a *App) Publish(ctx context.Context, event *payload.Event, opts ...PublishOption) (Publication, error) {
	if err := a.open(); err != nil {
		return Publication{}, err
	}
	ctx, trace := a.o.follower.startPublish(ctx, a.name, event)
	p, err := a.publish(ctx, trace, event, opts)
	a.o.follower.endPublish(ctx, p, err)
	return p, err
}

func (a *App) publish(ctx context.Context, trace string, event *payload.Event, opts []PublishOption) (p Publication, err error) {
	draft, err := a.o.publisher.draft(ctx, a.name, event, opts)
	if err != nil {
		return Publication{}, err
	}
	draft.trace = trace
	for tries := 0; ; tries++ {
		err = a.o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			p, err = a.o.publisher.publish(ctx, tx, draft)
			return err
		})
		if err == nil {
			a.o.queue.Kick()
			return p, nil
		}
		// The database has aborted this transaction in favor of another one.
		if !sqldb.IsBusy(err) || tries == 2 {
			return Publication{}, wrap("publishing", err)
		}
	}
}

// draft is a checked event that can be stored.
type draft struct {
	app   string
	event payload.Event // with its event_id, without a delivery ID
	id    string
	body  []byte // its JSON
	hash  [sha256.Size]byte
	trace string
	at    time.Time

	envelopeChecked bool
	envelopeError   error // of checkEnvelope
}

func (p *publisher) draft(ctx context.Context, app string, event *payload.Event, opts []PublishOption) (*draft, error) {
	if event == nil {
		return nil, fieldError("event", "is nil")
	}
	if !storable(app) {
		return nil, unknownApp(app)
	}
	var c publishConfig
	for _, opt := range opts {
		if opt == nil {
			return nil, fieldError("PublishOption", "an option is nil; leave it out")
		}
		opt.applyToPublish(&c)
		if c.eventID == "" {
			return nil, fieldError("event_id", "WithEventID is empty; leave it out for a fresh ID")
		}
	}
	d := &draft{app: app, event: *event, at: time.Now()}
	d.event.DeliveryID = ""
	if err := d.identify(c.eventID); err != nil {
		return nil, err
	}
	var err error
	if d.body, err = d.event.Encode(); err != nil {
		return nil, err
	}
	d.hash = sha256.Sum256(d.body)
	return d, p.checkSize(ctx, &d.event)
}

// identify decides the event's ID and puts it into the event.
func (d *draft) identify(given string) error {
	own, ok := d.event.Extra.Get(eventIDMember)
	if ok {
		text, isString := own.Text()
		if !isString {
			return fieldError(eventIDMember, "must be a string")
		}
		if given != "" && given != text {
			return fieldError(eventIDMember, "the event has another one than WithEventID says")
		}
		given = text
	}
	if given == "" {
		given = newID("evt_")
	}
	if !validEventID(given) {
		return fieldError(eventIDMember, "want 1 to 255 bytes of visible ASCII")
	}
	d.id = given
	if ok {
		return nil
	}
	return d.event.Extra.Set(eventIDMember, given)
}

func validEventID(id string) bool {
	if len(id) > 255 {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return false
		}
	}
	return true
}

// checkSize refuses an event whose JSON is over the sender's limit.
func (p *publisher) checkSize(ctx context.Context, e *payload.Event) error {
	_, err := p.rules.sender.Message(ctx, sender.Endpoint{}, e)
	var fault *sender.MessageError
	if errors.As(err, &fault) && fault.Field == "Body" {
		return &FieldError{Field: largestMember(e), Reason: fault.Reason, cause: fmt.Errorf("%w: %w", ErrBodyTooLarge, err)}
	}
	return err
}

// largestMember names the member of an event to shorten.
func largestMember(e *payload.Event) string {
	name, size := "event", 0
	consider := func(n string, length int) {
		if length > size {
			name, size = n, length
		}
	}
	consider("error", len(e.Error))
	consider("metadata", len(e.Metadata.JSON()))
	if e.Commit != nil {
		consider("commit.message", len(e.Commit.Message))
		consider("commit", len(e.Commit.Extra.JSON()))
	}
	if e.Rollback != nil {
		consider("rollback.reason", len(e.Rollback.Reason))
		consider("rollback", len(e.Rollback.Extra.JSON()))
	}
	if e.HealthCheck != nil {
		consider("health_check", len(e.HealthCheck.Extra.JSON()))
	}
	for n, v := range e.Extra.All() {
		consider(n, len(v.JSON()))
	}
	return name
}
