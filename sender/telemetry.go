package sender

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
)

// Telemetry follows the attempts of a Sender, for metrics and traces. The
// module sender/otelsender implements it with OpenTelemetry. Its methods must
// be safe for concurrent use.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces.
type Telemetry interface {
	// StartAttempt is called before each attempt. The attempt and EndAttempt get
	// the returned context, which must be derived from ctx. It may add headers to
	// h, which is empty, for example traceparent. They are sent, unless the
	// endpoint or the sender sets a header of the same name. It must not keep h.
	StartAttempt(ctx context.Context, s AttemptStart, h http.Header) context.Context
	// EndAttempt is called with the record of each attempt.
	EndAttempt(ctx context.Context, a Attempt)
	// EndDelivery is called when [Sender.Send] or [Sender.Deliver] is done with a
	// message. ctx is that of the call.
	EndDelivery(ctx context.Context, t payload.Type, r *Receipt)
}

// AttemptStart describes an attempt that is about to be made.
type AttemptStart struct {
	// Number counts the attempts of the delivery from 1.
	Number int
	// ID and Type are those of the message.
	ID   string
	Type payload.Type
	// Trace is [Message].Trace.
	Trace string
	// Endpoint is the endpoint's scheme and host, as in the errors of attempts.
	Endpoint string
	// Size is the number of bytes of the body.
	Size int
}

// WithTelemetry sets what follows the attempts. [New] calls open, and returns
// its error. Default: none, which costs nothing. Nil is an error.
//
// Send, Deliver and Attempt wait for its methods. A panic in them is contained,
// see [Sender.Faults]. The Telemetry of module otelsender runs on the caller's
// goroutine, so a provider that calls runtime.Goexit ends that.
func WithTelemetry(open func() (Telemetry, error)) Option {
	return optionFunc(func(c *config) {
		if open == nil {
			c.mistake("WithTelemetry", "the function is nil; leave it out")
		}
		c.openTelemetry = open
	})
}

// startTelemetry opens what WithTelemetry was given.
func (c *config) startTelemetry() error {
	if c.openTelemetry == nil {
		return nil
	}
	var (
		t   Telemetry
		err error
	)
	if fault := c.faults.Call(context.Background(), inTelemetry, func() { t, err = c.openTelemetry() }); fault != nil {
		return fmt.Errorf("%w: WithTelemetry: the function %w", ErrConfig, fault)
	}
	if err != nil {
		return fmt.Errorf("%w: WithTelemetry: %w", ErrConfig, err)
	}
	if nilable.IsNil(t) {
		return fmt.Errorf("%w: WithTelemetry: the function returned neither a Telemetry nor an error", ErrConfig)
	}
	c.telemetry, c.telemetryIsOwn = t, isOwnPackage(t)
	return nil
}

// isOwnPackage reports whether t is of the module otelsender.
func isOwnPackage(t Telemetry) bool {
	kind := reflect.TypeOf(t)
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	return strings.HasPrefix(kind.PkgPath(), ownPath)
}

const ownPath = "github.com/deployhook/deployhook/sender/otelsender"

// startAttempt returns the context of an attempt, and the header of its request
// with what the telemetry has added. The header is nil without telemetry.
//
// A telemetry of our own runs on the caller's goroutine, because another one
// would cost more than the rest of the call. The two ways are in separate
// functions, so that what the first one refers to stays off the heap.
func (s *Sender) startAttempt(ctx context.Context, t *target, msg *Message, number int) (context.Context, http.Header) {
	if s == nil || s.telemetry == nil {
		return ctx, nil
	}
	about := AttemptStart{Number: number, ID: msg.ID, Type: msg.Type, Trace: msg.Trace, Endpoint: t.origin(), Size: len(msg.Body)}
	header := make(http.Header, usualHeaders)
	var started context.Context
	if s.telemetryIsOwn {
		started = s.startInline(ctx, about, header)
	} else {
		started = s.startApart(ctx, about, header)
	}
	if started == nil {
		return ctx, nil
	}
	keepValid(header)
	return started, header
}

// startInline returns nil after a fault, and so does startApart.
func (s *Sender) startInline(ctx context.Context, about AttemptStart, header http.Header) (started context.Context) {
	if s.faults.Inline(ctx, inTelemetry, func() { started = s.telemetry.StartAttempt(ctx, about, header) }) != nil {
		return nil
	}
	return started
}

// startApart passes another header and copies it, so that a telemetry that
// keeps the header does no harm.
func (s *Sender) startApart(ctx context.Context, about AttemptStart, header http.Header) (started context.Context) {
	added := make(http.Header)
	if s.faults.Call(ctx, inTelemetry, func() { started = s.telemetry.StartAttempt(ctx, about, added) }) != nil {
		return nil
	}
	for key, values := range added {
		header[key] = slices.Clone(values)
	}
	return started
}

func (s *Sender) endAttempt(ctx context.Context, a *Attempt) {
	switch {
	case s == nil || s.telemetry == nil:
	case s.telemetryIsOwn:
		s.faults.Inline(ctx, inTelemetry, func() { s.telemetry.EndAttempt(ctx, *a) })
	default:
		s.endApart(ctx, *a)
	}
}

func (s *Sender) endApart(ctx context.Context, record Attempt) {
	s.faults.Call(ctx, inTelemetry, func() { s.telemetry.EndAttempt(ctx, record) })
}

func (s *Sender) endDelivery(ctx context.Context, t payload.Type, r *Receipt) {
	switch {
	case s == nil || s.telemetry == nil:
	case s.telemetryIsOwn:
		s.faults.Inline(ctx, inTelemetry, func() { s.telemetry.EndDelivery(ctx, t, r) })
	default:
		s.endDeliveryApart(ctx, t, r)
	}
}

func (s *Sender) endDeliveryApart(ctx context.Context, t payload.Type, r *Receipt) {
	s.faults.Call(ctx, inTelemetry, func() { s.telemetry.EndDelivery(ctx, t, r) })
}

// keepValid removes the headers that a telemetry must not set. The others get
// their canonical names.
func keepValid(h http.Header) {
	if trace, ok := h["Traceparent"]; len(h) == 0 || ok && len(h) == 1 && all(trace, validValue) {
		return // as usual
	}
	for key, values := range h {
		name := http.CanonicalHeaderKey(key)
		valid := validName(key) && !reserved(name) && all(values, validValue)
		if valid && name == key {
			continue
		}
		delete(h, key)
		if _, taken := h[name]; valid && !taken {
			h[name] = values
		}
	}
}

func all(values []string, valid func(string) bool) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !valid(v) })
}
