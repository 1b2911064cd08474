package sender

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
)

// Format turns an event into the body that a destination wants, such as a chat
// service's message. Set one in [Endpoint].BodyFormat. The packages slack,
// discord, periscope, cdevents, envelope and template below this one provide
// formats.
//
// Implementations must be safe for concurrent use. They must return the same
// body for the same event at any time, because several processes may encode the
// same delivery.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces, which a Sender looks for by type assertion.
type Format interface {
	// Encode returns the value of Content-Type, empty for application/json, and the
	// body. event is valid and has its delivery ID; it must not be changed. If the
	// destination has no use for the event, the error wraps [ErrNoMessage]; any
	// other error means that the event can't be put into the format.
	//
	// Anyone who can trigger a deployment chooses the texts of an event, so
	// Encode must escape them for its destination.
	//
	// ctx is that of [Sender.Send] or [Sender.Message], and in package outbox
	// that of the call which publishes. An Encode that calls a service passes
	// ctx on and returns when it ends. If Encode has not returned shortly
	// after that, the caller gets an error. The call keeps its goroutine until
	// it returns, and its result is dropped. It may then still read the event's
	// Commit, Metadata and Extra.
	Encode(ctx context.Context, event *payload.Event) (contentType string, body []byte, err error)
}

// ErrNoMessage says that the endpoint's [Format] has no message for this event,
// so there is nothing to send. The caller decides whether that is a mistake. To
// avoid the error, list in the endpoint's Events only types that its format
// supports.
var ErrNoMessage = errors.New("sender: the format has no message for this event")

// NewMessage validates event and encodes it as JSON, under a fresh delivery ID
// if it has none. It does not change the event. To deliver one event to several
// endpoints, make a message for each, because every delivery needs a different
// ID.
//
// An invalid event gives a [*payload.ValidationError]. A delivery ID with a dot
// in it, or a body over [DefaultMaxBody], gives a [*MessageError].
func NewMessage(event *payload.Event) (Message, error) {
	return newMessage(context.Background(), nil, event, DefaultMaxBody)
}

// Message is [NewMessage] with the endpoint's BodyFormat. It returns the
// message that [Sender.Send] would send to e. For a Sender with another limit
// than [DefaultMaxBody], use [Sender.Message].
//
// Its errors are those of NewMessage and of the format. They wrap
// [ErrNoMessage] if there is nothing to send.
func (e Endpoint) Message(ctx context.Context, event *payload.Event) (Message, error) {
	return newMessage(ctx, e.BodyFormat, event, DefaultMaxBody)
}

// Message is [Endpoint.Message] with the limit of this Sender, see
// [WithMaxBody].
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

// newMessage returns a message with the event's ID and type even if it fails,
// for the receipt.
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

// encode takes the event by value, so that only a format moves it to the heap.
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
