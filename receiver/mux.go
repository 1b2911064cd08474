package receiver

import (
	"context"
	"regexp"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// Mux routes events to handlers by type. Make it with [NewMux] and pass its
// Handle method to [Receiver.Events]. It is immutable and safe for concurrent
// use.
type Mux struct {
	exact    map[payload.Type]EventHandler
	prefixes []prefixRoute // longest first
	rest     EventHandler
}

type prefixRoute struct {
	prefix string // includes the dot, as in "deploy."
	h      EventHandler
}

// MuxRoute is one entry of a [Mux]. Make it with [Route].
type MuxRoute struct {
	pattern string
	h       EventHandler
}

// Route sends events that match pattern to h. The most specific pattern wins,
// in any order.
//
//	"deploy.failed"   that event type
//	"deploy.*"        a prefix: deploy.live, deploy.canary.started
//	"*"               all events
func Route(pattern string, h EventHandler) MuxRoute { return MuxRoute{pattern: pattern, h: h} }

// NewMux returns a mux with the given routes. It returns an error that wraps
// [ErrConfig] if a pattern is malformed, repeated or has no handler.
func NewMux(routes ...MuxRoute) (*Mux, error) {
	if len(routes) == 0 {
		return nil, configError("NewMux: no Route was given; pass at least one")
	}
	m := &Mux{exact: make(map[payload.Type]EventHandler)}
	seen := make(map[string]bool)
	for _, r := range routes {
		switch {
		case r.h == nil:
			return nil, configError("Route(%q): the handler is nil; pass a function", r.pattern)
		case seen[r.pattern]:
			return nil, configError("Route(%q): the pattern was given twice; remove one", r.pattern)
		}
		seen[r.pattern] = true
		if err := m.add(r); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// patternForm matches dotted lower-case words. The last word may be a star.
var patternForm = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*\.(\*|[a-z0-9_]+)$`)

func (m *Mux) add(r MuxRoute) error {
	if r.pattern == "*" {
		m.rest = r.h
		return nil
	}
	if !patternForm.MatchString(r.pattern) {
		return configError(`Route(%q): want an event type such as "deploy.failed", a prefix such as "deploy.*", or "*"`, r.pattern)
	}
	prefix, ok := strings.CutSuffix(r.pattern, "*")
	if !ok {
		m.exact[payload.Type(r.pattern)] = r.h
		return nil
	}
	i := 0
	for i < len(m.prefixes) && len(m.prefixes[i].prefix) >= len(prefix) {
		i++
	}
	m.prefixes = append(m.prefixes[:i], append([]prefixRoute{{prefix, r.h}}, m.prefixes[i:]...)...)
	return nil
}

// Handle calls the handler of the most specific matching route. It acknowledges
// and drops an event that matches no route, so that a sender may add types. Add
// a "*" route to see those events.
//
// Handle returns an error that wraps [ErrConfig] if the event is nil or
// [NewMux] did not make the Mux.
func (m *Mux) Handle(ctx context.Context, e *payload.Event) error {
	switch {
	case m == nil || m.exact == nil:
		return configError("the Mux was not made with NewMux; check the error of NewMux")
	case e == nil:
		return configError("Mux.Handle: the event is nil")
	}
	if h := m.lookup(e.Type); h != nil {
		return h(ctx, e)
	}
	return nil
}

func (m *Mux) lookup(t payload.Type) EventHandler {
	if h, ok := m.exact[t]; ok {
		return h
	}
	for _, r := range m.prefixes {
		if strings.HasPrefix(string(t), r.prefix) {
			return r.h
		}
	}
	return m.rest
}
