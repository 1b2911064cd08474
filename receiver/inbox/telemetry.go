package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/receiver"
)

// Telemetry follows the requests and deliveries of an Inbox, for metrics and
// traces. Package otelinbox implements it with OpenTelemetry. Its methods must
// be safe for concurrent use.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces.
type Telemetry interface {
	// Receiver returns what follows the requests of an [Inbox.Handler].
	Receiver(source string) (receiver.Telemetry, error)
	// Trace returns the trace that a request belongs to, as text that is stored
	// with its delivery. A text with more than 512 bytes, or with anything
	// except visible ASCII, is not stored.
	Trace(ctx context.Context) string
	// StartHandler is called before the handler, with the stored text. The
	// handler and EndHandler get the returned context, which must be derived
	// from ctx.
	StartHandler(ctx context.Context, trace string, d Delivery, attempt int) context.Context
	// EndHandler is called when the handler has returned.
	EndHandler(ctx context.Context, took time.Duration, err error)
	// End is called with each result, after it is stored. The handler may not
	// have run, see [Result].
	End(ctx context.Context, r Result)
	// Close is called once, by [Inbox.Close].
	Close() error
}

const maxTrace = 512

// WithTelemetry sets what follows the requests and deliveries. The constructor
// calls open last, with [Inbox.Backlog]. An error of open is an error of the
// constructor. Default: none, which costs nothing. A nil function is an error.
//
// The answer waits for Trace, and a worker for the other methods. One that
// hangs blocks it. A panic is contained, see [Inbox.Faults].
func WithTelemetry(open func(backlog func(context.Context) (Backlog, error)) (Telemetry, error)) Option {
	return optionFunc(func(c *config) { c.openTelemetry, c.telemetryGiven = open, true })
}

// startTelemetry opens what WithTelemetry was given.
func (in *Inbox) startTelemetry(ctx context.Context) error {
	if in.openTelemetry == nil {
		return nil
	}
	var (
		t   Telemetry
		err error
	)
	if fault := in.faults.Call(ctx, inTelemetry, func() { t, err = in.openTelemetry(in.Backlog) }); fault != nil {
		return configError("WithTelemetry: the function %w", fault)
	}
	if err != nil {
		return configError("WithTelemetry: %w", err)
	}
	if nilable.IsNil(t) {
		return configError("WithTelemetry: the function returned neither a Telemetry nor an error")
	}
	in.telemetry = t
	return nil
}

func (in *Inbox) closeTelemetry() (err error) {
	if in.telemetry == nil {
		return nil
	}
	if fault := in.faults.Call(context.Background(), inTelemetry, func() { err = in.telemetry.Close() }); fault != nil {
		return fmt.Errorf("inbox: WithTelemetry: closing it %w", fault)
	}
	return err
}

// followed returns the options of a receiver that the telemetry follows.
func (in *Inbox) followed(source string) []receiver.Option {
	if in.telemetry == nil {
		return nil
	}
	return []receiver.Option{receiver.WithTelemetry(func(string) (receiver.Telemetry, error) { return in.telemetry.Receiver(source) })}
}

// trace returns the text that is stored with a delivery.
func (in *Inbox) trace(ctx context.Context) (text string) {
	if in.telemetry == nil {
		return ""
	}
	in.faults.Call(ctx, inTelemetry, func() { text = in.telemetry.Trace(ctx) })
	if len(text) > maxTrace {
		return ""
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return ""
		}
	}
	return text
}

// startHandler returns the context in which the handler is called.
func (in *Inbox) startHandler(ctx context.Context, r *record, number int) context.Context {
	if in.telemetry == nil {
		return ctx
	}
	var started context.Context
	fault := in.faults.Call(ctx, inTelemetry, func() { started = in.telemetry.StartHandler(ctx, r.trace, r.public(), number) })
	if fault != nil || started == nil {
		return ctx
	}
	return started
}

func (in *Inbox) endHandler(ctx context.Context, took time.Duration, err error) {
	if in.telemetry != nil {
		in.faults.Call(ctx, inTelemetry, func() { in.telemetry.EndHandler(ctx, took, err) })
	}
}

func (in *Inbox) endTelemetry(ctx context.Context, result Result) {
	if in.telemetry != nil {
		in.faults.Call(ctx, inTelemetry, func() { in.telemetry.End(ctx, result) })
	}
}

// MaxDead is the largest number of dead letters that a [Backlog] counts.
const MaxDead = 10_000

// Backlog is what an Inbox has to do, and what it has given up.
type Backlog struct {
	// Pending is the number of pending deliveries. Limit is the largest one, see
	// [WithMaxBacklog]. Pending is not counted beyond it.
	Pending, Limit int
	// Dead is the number of dead letters, up to [MaxDead].
	Dead int
	// OldestPending is when the oldest pending delivery was received. It is
	// zero if none is pending.
	OldestPending time.Time
}

// Backlog counts what is not handled. Its cost does not grow with the number of
// handled deliveries, so that it can be called every few seconds. All processes
// on the same database get the same figures.
func (in *Inbox) Backlog(ctx context.Context) (Backlog, error) {
	if err := in.open(); err != nil {
		return Backlog{}, err
	}
	b, err := in.readBacklog(ctx)
	if err != nil {
		return Backlog{}, fmt.Errorf("inbox: Backlog: %w", sqldb.Explain(err))
	}
	return b, nil
}

func (in *Inbox) readBacklog(ctx context.Context) (b Backlog, err error) {
	b.Limit = in.maxBacklog
	if b.Pending, err = in.countUpTo(ctx, Pending, in.maxBacklog); err != nil {
		return b, err
	}
	if b.Dead, err = in.countUpTo(ctx, Dead, MaxDead); err != nil {
		return b, err
	}
	b.OldestPending, err = in.oldestPending(ctx)
	return b, err
}

// oldestPending returns the zero time if none is pending.
func (in *Inbox) oldestPending(ctx context.Context) (time.Time, error) {
	var oldest int64
	err := in.db.Reader().QueryRow(ctx, "SELECT received_at FROM {schema}inbox_delivery WHERE state = 'pending' ORDER BY id LIMIT 1").Scan(&oldest)
	if err != nil && !errors.Is(err, jobdb.ErrNoRows) {
		return time.Time{}, err
	}
	return sqldb.Time(oldest), nil
}
