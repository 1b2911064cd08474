package outbox

import (
	"errors"
	"fmt"
)

// Every error of this package wraps one of these, the context's error, or the
// database's.
var (
	// ErrConfig is wrapped by every error of [OpenSQLite] and [NewPostgres] that
	// the options cause. The text names the option.
	ErrConfig = errors.New("outbox: invalid configuration")
	// ErrInvalid means that a field of an argument is invalid. Every [*FieldError]
	// wraps it.
	ErrInvalid = errors.New("outbox: invalid")
	// ErrUnknownApp means that the app was not registered ([Outbox.RegisterApp])
	// and never had an endpoint.
	ErrUnknownApp = errors.New("outbox: unknown app")
	// ErrUnknownEndpoint means that there is no endpoint with that ID. It may have
	// been deleted.
	ErrUnknownEndpoint = errors.New("outbox: unknown endpoint")
	// ErrUnknownDelivery means that there is no delivery with that ID. It may have
	// been pruned.
	ErrUnknownDelivery = errors.New("outbox: unknown delivery")
	// ErrUnknownEvent means that there is no event with that ID. It may have been
	// pruned.
	ErrUnknownEvent = errors.New("outbox: unknown event")
	// ErrCursorExpired means that events after a cursor have been deleted.
	ErrCursorExpired = errors.New("outbox: events after the cursor have been deleted")
	// ErrFileInUse means that an event was erased, and that the SQLite file still
	// contains its text because of a reader.
	ErrFileInUse = errors.New("outbox: the event is erased, but the file can't be cleaned yet")
	// ErrUnknownReplay means that there is no replay with that ID.
	ErrUnknownReplay = errors.New("outbox: unknown replay")
	// ErrDuplicateEndpoint means that the app already has an endpoint with that
	// URL.
	ErrDuplicateEndpoint = errors.New("outbox: duplicate endpoint")
	// ErrTooManyEndpoints means that the app has as many endpoints as
	// [WithMaxEndpoints] allows.
	ErrTooManyEndpoints = errors.New("outbox: too many endpoints")
	// ErrEndpointDisabled means that the endpoint gets no deliveries until
	// [App.Enable].
	ErrEndpointDisabled = errors.New("outbox: endpoint is disabled")
	// ErrKeyReused means that an endpoint was created under the same
	// EndpointConfig.IdempotencyKey with other settings.
	ErrKeyReused = errors.New("outbox: the idempotency key was used for another endpoint")
	// ErrEndpointChanged means that the endpoint no longer has the version of
	// EndpointUpdate.IfVersion. Read it again, and decide anew.
	ErrEndpointChanged = errors.New("outbox: the endpoint has changed")
	// ErrConflict means that an event with the same ID and other content was
	// published before.
	ErrConflict = errors.New("outbox: another event was published under this ID")
	// ErrBodyTooLarge means that the event's body is over the limit of
	// sender.WithMaxBody. It comes in a [*FieldError] that names the largest
	// member.
	ErrBodyTooLarge = errors.New("outbox: body too large")
	// ErrUnseal means that a sealed column can't be opened. Its key is missing in
	// [WithSealingKeys], or the value, the endpoint's app or its scheme was
	// altered in the database.
	ErrUnseal = errors.New("outbox: can't unseal")
	// ErrClosed means that the Outbox was closed.
	ErrClosed = errors.New("outbox: closed")
)

// FieldError says which field is invalid, and why. It wraps [ErrInvalid] and
// its cause. Its text contains no credential. It shows at most scheme and host
// of a URL, and the name of a header. It is for the operator, since it may name
// options and internal addresses. Show customers [Problems] of it.
type FieldError struct {
	// Field is the name of a field of EndpointConfig ("URL"), of a field of the
	// event in its JSON spelling ("commit.message"), or of an option.
	Field string
	// Reason says what is wrong and what to do.
	Reason string

	cause error
}

func (e *FieldError) Error() string { return fmt.Sprintf("outbox: %s: %s", e.Field, e.Reason) }

// Unwrap returns ErrInvalid and the cause, if there is one.
func (e *FieldError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrInvalid}
	}
	return []error{ErrInvalid, e.cause}
}

func fieldError(field, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}
