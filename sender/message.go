package sender

import (
	"fmt"

	"github.com/deployhook/deployhook/payload"
)

const (
	// contentType is sent unless the Message says otherwise.
	contentType = "application/json"
	maxID       = 255
)

// Message is what is delivered: exactly these bytes are signed and sent, in every attempt. A Sender reads it
// and never changes it; do not change Body while a call is running.
type Message struct {
	// ID is the delivery's ID, by which receivers recognise duplicates: the same for every attempt, different for every
	// delivery. 1 to 255 bytes of visible ASCII without a dot, see [payload.NewDeliveryID]. Required.
	ID string
	// Type is the event's type, for the endpoint's filter. It is not sent; the body says it.
	Type payload.Type
	// ContentType is the value of Content-Type. Empty means application/json.
	ContentType string
	// Body is the body. Required: not empty.
	Body []byte
}

// NewMessage validates event and encodes it, under a fresh delivery ID if it has none. The event itself is not
// changed. To deliver one event to several endpoints, make a message for each: every delivery has its own ID.
//
// An invalid event is a [*payload.ValidationError]; a delivery ID with a dot in it wraps [ErrInvalidMessage].
func NewMessage(event *payload.Event) (Message, error) {
	if event == nil {
		return Message{}, fmt.Errorf("%w: the event is nil", ErrInvalidMessage)
	}
	e := *event
	if e.DeliveryID == "" {
		e.DeliveryID = payload.NewDeliveryID()
	}
	body, err := e.Encode()
	if err != nil {
		return Message{}, err
	}
	m := Message{ID: e.DeliveryID, Type: e.Type, Body: body}
	return m, m.check()
}

// check refuses what no receiver would accept. The rule for IDs is that of the signer package; it also holds for what
// is not signed. The error does not repeat the ID, which may come from anywhere.
func (m *Message) check() error {
	if !validID(m.ID) {
		return fmt.Errorf("%w: the delivery ID must be 1 to %d bytes of visible ASCII without a dot", ErrInvalidMessage, maxID)
	}
	if len(m.Body) == 0 {
		return fmt.Errorf("%w: the body is empty", ErrInvalidMessage)
	}
	if !validValue(m.ContentType) {
		return fmt.Errorf("%w: ContentType has a character that no header has", ErrInvalidMessage)
	}
	return nil
}

func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '.' {
			return false
		}
	}
	return true
}
