package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// MaxMetadata bounds how many members of the metadata a message shows.
const MaxMetadata = 5

// Look is what the options of a format set that concern how events look.
type Look struct {
	Metadata []string
	Colors   map[payload.Type]int
}

// AddMetadata adds names of metadata members to show, or returns an error.
func (l *Look) AddMetadata(names []string) error {
	if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return Blank(strings.Trim(n, "*")) }) {
		return fmt.Errorf("names no member, or a blank one; leave it out")
	}
	l.Metadata = append(l.Metadata, names...)
	if len(l.Metadata) > MaxMetadata {
		return fmt.Errorf("names %d members; a message shows at most %d", len(l.Metadata), MaxMetadata)
	}
	return nil
}

// SetColor sets the colour of a type of event, in the form #rrggbb.
func (l *Look) SetColor(t payload.Type, color string) error {
	hex, ok := strings.CutPrefix(color, "#")
	n, err := strconv.ParseUint(hex, 16, 24)
	if !ok || err != nil || len(hex) != 6 {
		return fmt.Errorf("%q is not a colour: want # and six hexadecimal digits", color)
	}
	if t == "" {
		return fmt.Errorf("the event type is empty")
	}
	l.Colors = maps.Clone(l.Colors)
	if l.Colors == nil {
		l.Colors = make(map[payload.Type]int)
	}
	l.Colors[t] = int(n)
	return nil
}

// Color returns an event's colour as a number of 24 bits. Green, red and blue
// are those of the guide by Temps. A rollback is blue there and amber here,
// because it must not look like a step of a deployment in progress.
func (l *Look) Color(e *payload.Event) int {
	if c, ok := l.Colors[e.Type]; ok {
		return c
	}
	switch LevelOf(e) {
	case Good:
		return 0x36a64f
	case Warning:
		return 0xdaa038
	case Bad:
		return 0xff0000
	default:
		return 0x3498db
	}
}

// JSON encodes v without escapes that only HTML needs.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
