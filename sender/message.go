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
	// Body is the body. Required: not empty, and no longer than [WithMaxBody] allows, 1 MiB unless set.
	Body []byte
}

// check refuses what no receiver would accept, and a body over the limit. The rule for IDs is that of the signer package;
// it also holds for what is not signed. The error does not repeat the ID, which may come from anywhere.
func (m *Message) check(limit int) error {
	switch {
	case !validID(m.ID):
		return &MessageError{"ID", fmt.Sprintf("the delivery ID must be 1 to %d bytes of visible ASCII without a dot", maxID)}
	case len(m.Body) == 0:
		return &MessageError{"Body", "the body is empty"}
	case len(m.Body) > limit:
		return &MessageError{"Body", fmt.Sprintf("%d bytes are over the limit of %d (see WithMaxBody)", len(m.Body), limit)}
	case !validValue(m.ContentType):
		return &MessageError{"ContentType", "has a character that no header has"}
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
