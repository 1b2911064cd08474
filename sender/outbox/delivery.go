package outbox

import (
	"net/http"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// State is where a delivery stands. The values are stored.
type State string

const (
	// Pending: it waits for its first or its next attempt.
	Pending State = "pending"
	// Delivering: a process has it in hand right now. It is stored as Pending and told by the queue.
	Delivering State = "delivering"
	// Delivered: the endpoint has answered 2xx.
	Delivered State = "delivered"
	// Failed: the schedule is exhausted, or the endpoint answered 410, or the event can't be put into its format: a dead
	// letter, to be replayed or looked at.
	Failed State = "failed"
	// Canceled: the endpoint was disabled or deleted before it was delivered.
	Canceled State = "canceled"
	// Superseded: a newer event of the same deployment made it stale, see [WithSupersession].
	Superseded State = "superseded"
)

// Delivery is one event on its way to one endpoint. Its ID, body and content type never change, whatever becomes of it.
type Delivery struct {
	// ID is the delivery ID that receivers see: the same for every attempt and every replay.
	ID string
	// EventID is the event's, the same for all deliveries of it. It is in the body as event_id, where the format is JSON.
	EventID string
	// App and Endpoint say whose it is.
	App, Endpoint string
	// Type and DeploymentID are the event's.
	Type         payload.Type
	DeploymentID string
	// State is where it stands.
	State State
	// Attempts counts the attempts so far, Replays how often it was replayed.
	Attempts, Replays int
	// CreatedAt is when it was published, to the millisecond. NextAt is when the next attempt is due, at the earliest; zero
	// if there is none. DoneAt is when it came to an end; zero if it has not.
	CreatedAt, NextAt, DoneAt time.Time
	// LastStatus, LastClass and LastError say what the last attempt ran into; LastError also why there was none.
	// LastError is for the operator, and Delivery.Problem for customers.
	LastStatus int
	LastClass  sender.Class
	LastError  string
	// ContentType and Body are exactly what is sent. Lists leave Body out.
	ContentType string
	Body        []byte
}

// Attempt is the record of one attempt: see sender.Attempt for what the fields mean and what is redacted in them.
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

// Publication is what [Outbox.Publish] has stored.
type Publication struct {
	// EventID is the event's ID: the one that was given, or a generated one.
	EventID string
	// Duplicate reports that the same event had been published before: nothing was stored this time, and Deliveries are
	// those of the first time, as far as they have not been pruned.
	Duplicate bool
	// Deliveries holds one for each endpoint that gets the event.
	Deliveries []Ref
}

// Ref names a delivery.
type Ref struct{ ID, Endpoint string }

// NoticeKind says what a [Notice] is about.
type NoticeKind string

// The kinds of notices.
const (
	// NoticeAttempt: an attempt has ended; Attempt is its record.
	NoticeAttempt NoticeKind = "attempt"
	// NoticeDone: a delivery was delivered or has failed for good, as State says.
	NoticeDone NoticeKind = "delivery"
	// NoticeFailing: an endpoint has used up a delivery's attempts, or failed for an hour.
	NoticeFailing NoticeKind = "endpoint.failing"
	// NoticeRecovered: an endpoint that was failing has accepted a delivery.
	NoticeRecovered NoticeKind = "endpoint.recovered"
	// NoticeDisabled: an endpoint gets nothing more; Reason says why.
	NoticeDisabled NoticeKind = "endpoint.disabled"
)

// Notice tells a [WithHook] function what happened.
type Notice struct {
	Kind          NoticeKind
	App, Endpoint string
	// Delivery, Type and State are set for NoticeAttempt and NoticeDone.
	Delivery string
	Type     payload.Type
	State    State
	// Attempt is set for NoticeAttempt. Do not change what it refers to.
	Attempt *sender.Attempt
	// Reason is set for endpoints.
	Reason string
}
