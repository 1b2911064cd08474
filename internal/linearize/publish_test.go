package linearize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// publish tests that publishing an event with an ID is idempotent.
var publish = subject{
	name:       "publish",
	open:       openPublish,
	operations: operations[publishInput, publishOutput],
	model:      func(task) porcupine.Model { return publishModel() },
}

const (
	app = "linearize"
	// subscribers is the number of endpoints that get an event. One more
	// endpoint filters events out.
	subscribers = 2
	eventCount  = 6
)

// publishInput is a call of an outbox.
type publishInput struct {
	Method  string `json:"method"` // one of the constants below
	Event   string `json:"event"`
	Variant int    `json:"variant,omitempty"` // of the event with this ID
}

const (
	publishEvent = "Publish"
	deliveries   = "Deliveries"
)

// publishOutput is the result of a call. The zero publishOutput is an unknown
// one.
type publishOutput struct {
	Result string `json:"result"` // one of the constants below, or an error that no call may return
	// Deliveries has the sorted IDs of the deliveries with their endpoints.
	Deliveries string `json:"deliveries,omitempty"`
}

const (
	stored    = "stored"
	duplicate = "duplicate"
	conflict  = "conflict"
	listed    = "listed"
)

// publishState is the state of one event ID.
type publishState struct {
	variant    int    // 0 if there is no such event
	deliveries string // empty before any call has returned them
}

func publishModel() porcupine.Model {
	return porcupine.Model{
		Partition: split(func(in publishInput) string { return in.Event }),
		Init:      func() any { return publishState{} },
		Step: func(state, input, output any) (bool, any) {
			return stepPublish(state.(publishState), input.(timed[publishInput]).in, output.(publishOutput))
		},
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v: %+v", input.(timed[publishInput]).in, output)
		},
	}
}

// stepPublish returns the state after the call, and whether the call could
// return this output. The first call stores the event. All others see its
// deliveries.
func stepPublish(s publishState, in publishInput, out publishOutput) (bool, publishState) {
	want := listed
	switch {
	case in.Method == publishEvent && s.variant == 0:
		want, s.variant = stored, in.Variant
	case in.Method == publishEvent && s.variant == in.Variant:
		want = duplicate
	case in.Method == publishEvent:
		want = conflict
	}
	switch {
	case out.Result == unknown:
		return true, s
	case out.Result != want:
		return false, s
	case want == conflict || s.variant == 0:
		return out.Deliveries == "", s
	case s.deliveries == "":
		s.deliveries = out.Deliveries
		return strings.Count(out.Deliveries, "@") == subscribers, s
	}
	return out.Deliveries == s.deliveries, s
}

func openPublish(ctx context.Context, t task) (func(client) caller, func() error, error) {
	o, closeOutbox, err := openOutbox(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	return func(c client) caller { return (&publisher{c, o.App(app)}).call }, closeOutbox, nil
}

func openOutbox(ctx context.Context, t task) (*outbox.Outbox, func() error, error) {
	key, err := outbox.NewSealingKey("k1", []byte("0123456789abcdefghijklmnopqrstuv"))
	if err != nil {
		return nil, nil, err
	}
	opts := []outbox.Option{
		outbox.WithSealingKeys(key), outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
		outbox.WithLogger(slog.New(slog.DiscardHandler)), // it logs lost connections
	}
	if t.Store == "sqlite" {
		o, err := outbox.OpenSQLite(ctx, t.Address, opts...)
		return o, o.Close, err
	}
	config, err := pgxpool.ParseConfig(t.Address)
	if err != nil {
		return nil, nil, err
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	o, err := outbox.NewPostgres(ctx, pool, opts...)
	return o, func() error {
		defer pool.Close()
		return o.Close()
	}, err
}

// createEndpoints prepares an empty outbox. Its outboxes are never started, so
// nothing is sent.
func createEndpoints(ctx context.Context, t task) (err error) {
	o, closeOutbox, err := openOutbox(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOutbox()) }()
	for n := range subscribers + 1 {
		c := outbox.EndpointConfig{URL: sender.NewURL(fmt.Sprintf("http://127.0.0.1:9/%d", n))}
		if n == subscribers {
			c.Events = []string{string(payload.DeployFailed)}
		}
		if _, _, err := o.App(app).CreateEndpoint(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// eventLog has the methods of an app that are tested.
type eventLog interface {
	Publish(context.Context, *payload.Event, ...outbox.PublishOption) (outbox.Publication, error)
	Deliveries(context.Context, outbox.DeliveryFilter, outbox.Page) (outbox.Deliveries, error)
}

// publisher is a client of an outbox.
type publisher struct {
	client
	app eventLog
}

func (c *publisher) call(ctx context.Context) fate {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	in := publishInput{Method: deliveries, Event: fmt.Sprintf("%s-%d", c.Name, c.random.IntN(eventCount))}
	if c.random.IntN(3) > 0 {
		in.Method, in.Variant = publishEvent, 1+c.random.IntN(5)/4
	}
	return c.journal.call(c.number, in, func() (any, fate) {
		if in.Method == publishEvent {
			return c.publish(ctx, in)
		}
		out, f := c.list(ctx, in)
		if f == lost {
			f = refused // reading has no effect
		}
		return out, f
	})
}

func (c *publisher) publish(ctx context.Context, in publishInput) (any, fate) {
	p, err := c.app.Publish(ctx, &payload.Event{
		Type: payload.DeployStarted, Timestamp: time.Unix(int64(in.Variant), 0).UTC(), DeploymentID: in.Event, App: "api",
	}, outbox.WithEventID(in.Event))
	switch {
	case errors.Is(err, outbox.ErrConflict):
		return publishOutput{Result: conflict}, answered
	case err != nil:
		return publishFailure(err)
	}
	out := publishOutput{Result: stored, Deliveries: join(p.Deliveries)}
	if p.Duplicate {
		out.Result = duplicate
	}
	return out, answered
}

func (c *publisher) list(ctx context.Context, in publishInput) (any, fate) {
	var refs []outbox.Ref
	for page := (outbox.Page{}); ; {
		d, err := c.app.Deliveries(ctx, outbox.DeliveryFilter{EventID: in.Event}, page)
		if err != nil {
			return publishFailure(err)
		}
		for _, item := range d.Items {
			refs = append(refs, outbox.Ref{ID: item.ID, Endpoint: item.Endpoint})
		}
		if page.Cursor = d.Next; page.Cursor == "" {
			return publishOutput{Result: listed, Deliveries: join(refs)}, answered
		}
	}
}

func publishFailure(err error) (any, fate) {
	var field *outbox.FieldError
	if errors.Is(err, outbox.ErrClosed) || errors.Is(err, outbox.ErrUnknownApp) || errors.As(err, &field) {
		return publishOutput{Result: err.Error()}, answered
	}
	return nil, fateOf(err)
}

// join returns the deliveries as one sorted text.
func join(refs []outbox.Ref) string {
	var all []string
	for _, r := range refs {
		all = append(all, r.ID+"@"+r.Endpoint)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
