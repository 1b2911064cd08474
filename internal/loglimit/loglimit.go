// Package loglimit limits repeated log lines and counts the lines that it left
// out.
//
// A [Limiter] has a token bucket for each kind of line. The caller chooses the
// kinds from a small fixed set, such as the outcomes of a request. Text that
// comes from outside is never a kind.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// DefaultBurst is the number of lines of one kind that [Default] writes
	// before it leaves any out.
	DefaultBurst = 20
	// DefaultInterval is the time after which [Default] writes another line of
	// a kind that has used up its burst.
	DefaultInterval = 5 * time.Second
	// maxKinds bounds the memory. Further kinds share one bucket.
	maxKinds = 64
)

// LeftOut is the name of the attribute with the number of lines of the same
// kind that were left out before a line.
const LeftOut = "left_out"

// Limiter decides which lines are written. Create it with [New] or [Default].
// It is safe for concurrent use.
type Limiter struct {
	burst    time.Duration // how far a kind may be ahead of its rate
	interval time.Duration

	mu    sync.Mutex
	kinds map[string]*kind
}

type kind struct {
	// next is when the next line would be due if lines came at the rate.
	next time.Time
	left uint64
}

// New returns a limiter that writes burst lines of a kind at once, and one more
// after each interval.
func New(burst int, interval time.Duration) *Limiter {
	return &Limiter{burst: time.Duration(burst-1) * interval, interval: interval, kinds: map[string]*kind{}}
}

// Default returns a limiter for the lines of one component.
func Default() *Limiter { return New(DefaultBurst, DefaultInterval) }

// Allow reports whether a line of this kind may be written now. left is the
// number of lines that were left out since the last one. A nil Limiter allows
// every line.
func (l *Limiter) Allow(name string) (left uint64, allowed bool) {
	if l == nil {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kind(name)
	now := time.Now()
	if k.next.Sub(now) > l.burst {
		k.left++
		return 0, false
	}
	if k.next.Before(now) {
		k.next = now
	}
	k.next = k.next.Add(l.interval)
	left, k.left = k.left, 0
	return left, true
}

func (l *Limiter) kind(name string) *kind {
	k := l.kinds[name]
	if k == nil && len(l.kinds) >= maxKinds {
		name = ""
		k = l.kinds[name]
	}
	if k == nil {
		k = &kind{}
		l.kinds[name] = k
	}
	return k
}

// Append appends the number of lines that were left out, if there are any.
func Append(attrs []slog.Attr, left uint64) []slog.Attr {
	if left == 0 {
		return attrs
	}
	return append(attrs, slog.Uint64(LeftOut, left))
}

// Handler returns a handler that limits warnings and errors. Each message is a
// kind, so messages must be constant. Lines below [slog.LevelWarn] pass.
func (l *Limiter) Handler(h slog.Handler) slog.Handler {
	return &handler{h, l, func(r *slog.Record) string { return r.Message }}
}

// OneKind is like [Limiter.Handler] for messages that contain variable text.
// All lines of a level are one kind.
func (l *Limiter) OneKind(h slog.Handler) slog.Handler {
	return &handler{h, l, func(r *slog.Record) string { return r.Level.String() }}
}

// Limit returns a logger whose warnings and errors [Default] limits, see
// [Limiter.Handler].
func Limit(l *slog.Logger) *slog.Logger { return slog.New(Default().Handler(l.Handler())) }

type handler struct {
	slog.Handler

	limiter *Limiter
	kind    func(*slog.Record) string
}

// Handle implements [slog.Handler].
func (h *handler) Handle(ctx context.Context, line slog.Record) error {
	if line.Level >= slog.LevelWarn {
		left, allowed := h.limiter.Allow(h.kind(&line))
		if !allowed {
			return nil
		}
		if left > 0 {
			line = line.Clone()
			line.AddAttrs(slog.Uint64(LeftOut, left))
		}
	}
	return h.Handler.Handle(ctx, line)
}

// WithAttrs implements [slog.Handler].
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs), h.limiter, h.kind}
}

// WithGroup implements [slog.Handler].
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.limiter, h.kind}
}
