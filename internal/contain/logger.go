package contain

import (
	"context"
	"log/slog"
	"reflect"
)

// LoggerName is the name under which faults of the application's log handler are
// counted.
const LoggerName = "WithLogger"

// Logger returns a logger that writes to the application's handler and contains
// its faults, on a goroutine of its own for each line.
func (f *Faults) Logger() *slog.Logger { return slog.New(newHandler(f.handler, f, f.Call)) }

// InlineLogger is like [Faults.Logger] on the caller's goroutine, see
// [Faults.Inline].
func (f *Faults) InlineLogger() *slog.Logger { return slog.New(newHandler(f.handler, f, f.Inline)) }

// handler is the application's, contained.
type handler struct {
	own    slog.Handler
	faults *Faults
	call   call
	ask    call // for Enabled
}

type call func(context.Context, string, func()) *Fault

// newHandler asks a handler of package slog on the caller's goroutine whether a
// level is enabled: it looks at a number, and is asked far more often than it
// writes.
func newHandler(own slog.Handler, f *Faults, c call) *handler {
	h := &handler{own, f, c, c}
	t := reflect.TypeOf(own)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "log/slog" {
		h.ask = f.Inline
	}
	return h
}

// Enabled reports false if the application's handler has a fault.
func (h *handler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	if h.own == slog.DiscardHandler {
		return false
	}
	h.ask(ctx, LoggerName, func() { enabled = h.own.Enabled(ctx, level) })
	return enabled
}

// Handle passes the line on.
func (h *handler) Handle(ctx context.Context, line slog.Record) (err error) {
	if fault := h.call(ctx, LoggerName, func() { err = h.own.Handle(ctx, line) }); fault != nil {
		return fault
	}
	return err
}

// WithAttrs returns h as it is if the application's handler has a fault.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func() slog.Handler { return h.own.WithAttrs(attrs) })
}

// WithGroup returns h as it is if the application's handler has a fault.
func (h *handler) WithGroup(name string) slog.Handler {
	return h.with(func() slog.Handler { return h.own.WithGroup(name) })
}

func (h *handler) with(derive func() slog.Handler) slog.Handler {
	own := h.own
	h.call(context.Background(), LoggerName, func() { own = derive() })
	if own == nil {
		own = h.own
	}
	return newHandler(own, h.faults, h.call)
}
