package inbound

import (
	"fmt"
	"unicode/utf8"

	"github.com/deployhook/deployhook/payload"
)

// maxTitle is the maximum number of characters of a title.
const maxTitle = 1024

// Incident decodes an event about an incident with m. Errors about the event
// wrap [payload.ErrInvalid] or [payload.ErrIgnored].
func Incident(system string, body []byte, m func(b *Builder, event Node, i *payload.Incident) error) (*payload.Incident, error) {
	b, event, err := newBuilder(body)
	if err != nil {
		return nil, err
	}
	i := new(payload.Incident)
	if err := m(b, event, i); err != nil {
		return nil, fmt.Errorf("%s: %w", system, err)
	}
	if len(b.failures) > 0 {
		return nil, &payload.ValidationError{Failures: b.failures, Omitted: b.omitted}
	}
	if err := i.Validate(); err != nil {
		return nil, fmt.Errorf("%s: event as an incident: %w", system, err)
	}
	return i, nil
}

// Title reads a string for people. One that can't be kept is left out.
func Title(n Node) string {
	text, _ := n.value.Text()
	if utf8.RuneCountInString(text) > maxTitle {
		return ""
	}
	return text
}
