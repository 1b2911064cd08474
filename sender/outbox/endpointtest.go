package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// TestOption configures [App.TestEndpoint].
type TestOption interface{ applyToTest(*testConfig) }

type testOptionFunc func(*testConfig)

func (f testOptionFunc) applyToTest(c *testConfig) { f(c) }

type testConfig struct {
	event *payload.Event
	given bool
}

// WithTestEvent sets the event that is sent, so that a customer can see how the
// endpoint handles its type. The endpoint can't tell it from a real event, so
// give it a deployment ID that no deployment has. The log shows it as
// [EventTest]. Default: an event of the type webhook.test. Nil is an error.
func WithTestEvent(event *payload.Event) TestOption {
	return testOptionFunc(func(c *testConfig) { c.event, c.given = event, true })
}

// TestEndpoint makes one attempt to deliver an event of the type webhook.test,
// now and from this process, whatever the endpoint's filter, state and limits
// are. It returns the delivery and its attempt, which are in the log like any
// other. An endpoint that does not accept the delivery is no error of
// TestEndpoint. Look at Delivery.State and Attempt.Status.
func (a *App) TestEndpoint(ctx context.Context, id string, opts ...TestOption) (Delivery, Attempt, error) {
	if err := a.open(); err != nil {
		return Delivery{}, Attempt{}, err
	}
	var c testConfig
	for _, opt := range opts {
		if opt == nil {
			return Delivery{}, Attempt{}, fieldError("TestOption", "an option is nil; leave it out")
		}
		opt.applyToTest(&c)
	}
	if c.given && c.event == nil {
		return Delivery{}, Attempt{}, fieldError("event", "WithTestEvent: is nil; leave the option out")
	}
	e, err := a.o.endpoints.findUnsealed(ctx, a.o.db.Reader(), a.of(id))
	if err != nil {
		return Delivery{}, Attempt{}, err
	}
	to, _, err := a.o.rules.target(e, time.Now())
	if err != nil {
		return Delivery{}, Attempt{}, wrap("testing endpoint", err)
	}
	n, err := a.o.publisher.storeTest(ctx, e, c.event)
	if err != nil {
		return Delivery{}, Attempt{}, err
	}
	if n.body != nil {
		if err := a.o.worker.attemptTest(ctx, n, to); err != nil {
			return Delivery{}, Attempt{}, err
		}
	}
	ctx = context.WithoutCancel(ctx)
	d, err := a.Delivery(ctx, n.id)
	if err != nil {
		return Delivery{}, Attempt{}, err
	}
	attempts, err := a.Attempts(ctx, n.id)
	if err != nil || len(attempts) == 0 {
		return d, Attempt{}, err
	}
	return d, attempts[0], nil
}

// storeTest stores the delivery of a test as failed and without a job. No other
// process makes an attempt, and a crash leaves nothing that waits.
// Its type is that of a test whatever the event is, so that no replay of a
// range sends it again.
func (p *publisher) storeTest(ctx context.Context, e *endpointRow, event *payload.Event) (*newDelivery, error) {
	if event == nil {
		event = endpointEvent(EventTest, e, time.Now())
	}
	d, err := p.draft(ctx, e.App, event, nil)
	if err != nil {
		return nil, err
	}
	n, err := p.newDelivery(ctx, d, &subscriber{id: e.ID, format: e.BodyFormat})
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, fmt.Errorf("outbox: testing endpoint %s: %w", e.ID, sender.ErrNoMessage)
	}
	n.typ = EventTest
	if n.encoding == jsonBody || n.encoding == envelopeBody { // the event of a test is not stored
		n.encoding, n.body = ownBody, n.encoding.body(n.id, d.body)
	}
	if n.state == Pending {
		n.state, n.reason = Failed, "the test was cut off"
	}
	err = p.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		return insertRows(ctx, tx, []*newDelivery{n})
	})
	return n, wrap("testing endpoint", err)
}

func (w *worker) attemptTest(ctx context.Context, n *newDelivery, to sender.Endpoint) error {
	a := w.sender.Attempt(ctx, to, sender.Message{ID: n.id, Type: n.typ, ContentType: n.contentType, Body: n.body})
	r := &result{id: n.id, state: Failed, doneAt: time.Now(), attempt: &a}
	if a.Outcome == sender.Delivered {
		r.state = Delivered
	}
	_, err := w.recorder.save(context.WithoutCancel(ctx), []*result{r})
	return err
}
