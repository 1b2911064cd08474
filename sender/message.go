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

// Message is a body with its delivery ID. Every attempt signs and sends exactly
// these bytes. A Sender never changes a Message. Do not change Body during a
// call.
type Message struct {
	// ID is the delivery's ID, by which receivers recognise duplicates. It is
	// the same for every attempt and different for every delivery. It has 1 to
	// 255 bytes of visible ASCII without a dot, see [payload.NewDeliveryID].
	// Required.
	ID string
	// Type is the event's type, for the endpoint's filter. It is not sent,
	// because the body contains it. An empty Type passes only a filter that takes
	// all types.
	Type payload.Type
	// ContentType is the value of Content-Type. Empty means application/json.
	ContentType string
	// Body is the body. It must not be empty or longer than [WithMaxBody]
	// allows, which is 1 MiB by default. Required.
	Body []byte
	// Earlier is how many attempts of the delivery were made before. Zero means
	// none. It is for queues that keep their own schedule, and counts in
	// [Attempt].Number. A negative number is an error.
	Earlier int
	// Trace is the trace of the message's publication, for [WithTelemetry]. It is
	// not sent. Empty means none.
	Trace string
}

// check refuses a message that no receiver would accept, and a body over the
// limit. The rule for IDs is that of the signer package, and also applies to
// unsigned messages. The error does not repeat the ID, because it may come from
// an untrusted source.
func (m *Message) check(limit int) error {
	switch {
	case !validID(m.ID):
		return &MessageError{"ID", fmt.Sprintf("the delivery ID must be 1 to %d bytes of visible ASCII without a dot", maxID)}
	case len(m.Body) == 0:
		return &MessageError{"Body", "the body is empty"}
	case len(m.Body) > limit:
		return &MessageError{"Body", fmt.Sprintf("%d bytes are over the limit of %d (see WithMaxBody)", len(m.Body), limit)}
	case m.Earlier < 0:
		return &MessageError{"Earlier", "is negative; it is the number of attempts that were made before"}
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
