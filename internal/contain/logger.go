package contain

import (
	"context"
	"log/slog"
	"reflect"
)

// LoggerName is the name under which faults of the application's log handler
// are counted.
const LoggerName = "WithLogger"

// Logger returns a logger that writes to the application's handler and contains
// its faults. It uses a new goroutine for each line.
func (f *Faults) Logger() *slog.Logger { return slog.New(&handler{f.handler, f, f.Call}) }

// InlineLogger is like [Faults.Logger] on the caller's goroutine, see
// [Faults.Inline].
func (f *Faults) InlineLogger() *slog.Logger { return slog.New(inlineHandler{f.handler, f}) }

// handler contains the faults of the application's handler.
type handler struct {
	own    slog.Handler
	faults *Faults
	call   func(context.Context, string, func()) *Fault
}

// Enabled returns false if the application's handler has a fault.
//
// It calls a handler of package slog on the caller's goroutine. Such a handler
// only compares a number, and Enabled is called far more often than Handle.
func (h *handler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	switch {
	case h.own == slog.DiscardHandler:
		return false
	case isStandard(h.own):
		return inlineHandler{h.own, h.faults}.Enabled(ctx, level)
	}
	return h.enabled(ctx, level)
}

func (h *handler) enabled(ctx context.Context, level slog.Level) (enabled bool) {
	h.call(ctx, LoggerName, func() { enabled = h.own.Enabled(ctx, level) })
	return enabled
}

func isStandard(own slog.Handler) bool {
	t := reflect.TypeOf(own)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "log/slog"
}

// Handle passes the line to the application's handler.
func (h *handler) Handle(ctx context.Context, line slog.Record) (err error) {
	if fault := h.call(ctx, LoggerName, func() { err = h.own.Handle(ctx, line) }); fault != nil {
		return fault
	}
	return err
}

// WithAttrs returns h unchanged if the application's handler has a fault.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.with(func() slog.Handler { return h.own.WithAttrs(attrs) }), h.faults, h.call}
}

// WithGroup returns h unchanged if the application's handler has a fault.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.with(func() slog.Handler { return h.own.WithGroup(name) }), h.faults, h.call}
}

func (h *handler) with(derive func() slog.Handler) slog.Handler {
	own := h.own
	h.call(context.Background(), LoggerName, func() { own = derive() })
	if own == nil {
		return h.own
	}
	return own
}

// inlineHandler is a handler without allocations.
type inlineHandler struct {
	own    slog.Handler
	faults *Faults
}

func (h inlineHandler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	h.faults.Inline(ctx, LoggerName, func() { enabled = h.own.Enabled(ctx, level) })
	return enabled
}

func (h inlineHandler) Handle(ctx context.Context, line slog.Record) (err error) {
	if fault := h.faults.Inline(ctx, LoggerName, func() { err = h.own.Handle(ctx, line) }); fault != nil {
		return fault
	}
	return err
}

func (h inlineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return inlineHandler{h.aside().with(func() slog.Handler { return h.own.WithAttrs(attrs) }), h.faults}
}

func (h inlineHandler) WithGroup(name string) slog.Handler {
	return inlineHandler{h.aside().with(func() slog.Handler { return h.own.WithGroup(name) }), h.faults}
}

func (h inlineHandler) aside() *handler { return &handler{h.own, h.faults, h.faults.Inline} }
