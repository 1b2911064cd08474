package sender

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
)

// Format turns an event into the body that a destination wants: a chat service's message, another record of the
// deployment. Set one in [Endpoint].BodyFormat; the packages slack, discord, periscope, cdevents and template below this
// one have them ready.
//
// Implementations must be safe for concurrent use, and must give the same body whenever they are asked about the same
// event: a body is made once for each delivery, but perhaps in several processes.
//
// The interface is frozen. Further abilities become optional interfaces, which a
// Sender looks for by type assertion.
type Format interface {
	// Encode returns the value of Content-Type, empty for application/json, and the body. event is valid and has its
	// delivery ID; it must not be changed. If the destination has no use for the event, the error wraps
	// [ErrNoMessage]; any other error means that the event can't be put into the format.
	//
	// The texts of an event come from whoever could trigger a deployment: an Encode escapes them for its destination.
	//
	// ctx is that of [Sender.Send] or [Sender.Message], and in package outbox
	// that of the call which publishes. An Encode that calls a service passes
	// ctx on and returns when it ends. If Encode has not returned shortly
	// after that, the caller gets an error. The call keeps its goroutine until
	// it returns, and its result is dropped. It may then still read the event's
	// Commit, Metadata and Extra.
	Encode(ctx context.Context, event *payload.Event) (contentType string, body []byte, err error)
}

// ErrNoMessage: the endpoint's [Format] has no message for this event, so that there is nothing to send. It is for the
// caller to decide whether that is a mistake: an endpoint whose Events name only what its format can say never gets it.
var ErrNoMessage = errors.New("sender: the format has no message for this event")

// NewMessage validates event and encodes it as JSON, under a fresh delivery ID if it has none. The event itself is not
// changed. To deliver one event to several endpoints, make a message for each: every delivery has its own ID.
//
// An invalid event is a [*payload.ValidationError]; a delivery ID with a dot in it, or a body over [DefaultMaxBody], is a
// [*MessageError].
func NewMessage(event *payload.Event) (Message, error) {
	return newMessage(context.Background(), nil, event, DefaultMaxBody)
}

// Message is [NewMessage] through the endpoint's BodyFormat: it makes what [Sender.Send] would send to e. For a Sender
// with another limit than [DefaultMaxBody], use [Sender.Message].
//
// Beside the errors of NewMessage there are those of the format, which wrap [ErrNoMessage] where there is nothing to
// send.
func (e Endpoint) Message(ctx context.Context, event *payload.Event) (Message, error) {
	return newMessage(ctx, e.BodyFormat, event, DefaultMaxBody)
}

// Message is [Endpoint.Message] with the limit of this Sender, see [WithMaxBody].
func (s *Sender) Message(ctx context.Context, ep Endpoint, event *payload.Event) (Message, error) {
	if err := s.made(); err != nil {
		return Message{}, err
	}
	m, err := newMessage(ctx, ep.BodyFormat, event, s.maxBody)
	var fault *contain.Fault
	if errors.As(err, &fault) {
		s.faults.Report(ctx, inFormat, fault)
	}
	return m, err
}

// newMessage returns a message with the event's ID and type also when it fails, for the receipt.
func newMessage(ctx context.Context, f Format, event *payload.Event, limit int) (Message, error) {
	if event == nil {
		return Message{}, &MessageError{Field: "Body", Reason: "the event is nil"}
	}
	e := *event // the caller's stays as it is
	if e.DeliveryID == "" {
		e.DeliveryID = payload.NewDeliveryID()
	}
	m := Message{ID: e.DeliveryID, Type: e.Type}
	var err error
	if f == nil {
		m.Body, err = e.Encode() // validates
	} else {
		m.ContentType, m.Body, err = encode(ctx, f, e)
	}
	if err != nil {
		return m, err
	}
	return m, m.check(limit)
}

// encode takes the event by value, so that it is on the heap only for a format's sake.
func encode(ctx context.Context, f Format, e payload.Event) (contentType string, body []byte, err error) {
	if nilable.IsNil(f) {
		return "", nil, nilFormat(f)
	}
	if err := e.Validate(); err != nil {
		return "", nil, err
	}
	if contentType, body, err = contained(ctx, f, &e); err != nil {
		return "", nil, &formatError{format: f, cause: err}
	}
	return contentType, body, nil
}

// formatError is the failure of an endpoint's format.
type formatError struct {
	format Format
	cause  error
}

func (e *formatError) Error() string {
	return fmt.Sprintf("sender: Endpoint.BodyFormat %T: %v", e.format, e.cause)
}

func (e *formatError) Unwrap() error { return e.cause }

func nilFormat(f Format) *EndpointError {
	return endpointError(ErrRefused, "BodyFormat", "is a nil %T; leave it out to send the event itself", f)
}

func inspectFormat(ep *Endpoint) error {
	if ep.BodyFormat != nil && nilable.IsNil(ep.BodyFormat) {
		return nilFormat(ep.BodyFormat)
	}
	return nil
}
