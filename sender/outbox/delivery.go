package outbox

import (
	"net/http"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// State is the state of a delivery. The values are stored.
type State string

const (
	// Pending means that it waits for its first or its next attempt.
	Pending State = "pending"
	// Delivering means that a process is working on it now. It is stored as
	// Pending, and the queue knows which jobs are running.
	Delivering State = "delivering"
	// Delivered means that the endpoint has answered 2xx.
	Delivered State = "delivered"
	// Failed means a dead letter, which can be replayed. The schedule is
	// exhausted, or the endpoint answered 410, or the event can't be put into its
	// format.
	Failed State = "failed"
	// Canceled means that the endpoint was disabled or deleted before it was
	// delivered.
	Canceled State = "canceled"
	// Superseded means that a newer event of the same deployment made it stale,
	// see [WithSupersession].
	Superseded State = "superseded"
)

// Delivery is one event on its way to one endpoint. Its ID, body and content
// type never change.
type Delivery struct {
	// ID is the delivery ID that receivers see. It is the same for every attempt
	// and every replay.
	ID string
	// EventID is the event's ID, the same for all deliveries of the event. It is
	// the member event_id of a JSON body, and of data in an envelope.
	EventID string
	// App owns the delivery, and Endpoint receives it.
	App, Endpoint string
	// Type and DeploymentID are the event's.
	Type         payload.Type
	DeploymentID string
	// State is its state.
	State State
	// Attempts counts the attempts so far, and Replays how often it was replayed.
	Attempts, Replays int
	// CreatedAt is when it was published, to the millisecond. NextAt is the
	// earliest time of the next attempt. It is zero after the last attempt. It is
	// in the past if the delivery waits for its endpoint's circuit breaker, rate
	// limit or other attempts. DoneAt is when it ended. It is zero if it has not.
	CreatedAt, NextAt, DoneAt time.Time
	// LastStatus, LastClass and LastError describe the failure of the last
	// attempt. LastError also says why there was no attempt. It is for the
	// operator, and Delivery.Problem for customers.
	LastStatus int
	LastClass  sender.Class
	LastError  string
	// ContentType and Body are exactly what is sent. Lists leave Body out.
	ContentType string
	Body        []byte
}

// Attempt is the record of one attempt. See sender.Attempt for what the fields
// mean and what is redacted in them.
type Attempt struct {
	DeliveryID     string
	Number         int
	Start          time.Time
	Outcome        sender.Outcome
	Class          sender.Class
	Status         int
	Error          string
	Timings        sender.Timings
	RetryAfter     time.Duration
	Addr           string
	Reused         bool
	RequestHeader  http.Header
	ResponseHeader http.Header
	Body           []byte
	Truncated      bool
}

// Publication is what [App.Publish] has stored.
type Publication struct {
	// EventID is the event's ID, given or generated.
	EventID string `json:"event_id"`
	// Duplicate reports that the same event had been published before. Nothing was
	// stored this time. Deliveries are those of the first time that have not been
	// pruned.
	Duplicate bool `json:"duplicate"`
	// Deliveries holds one for each endpoint that gets the event.
	Deliveries []Ref `json:"deliveries"`
}

// Ref names a delivery.
type Ref struct {
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
}
