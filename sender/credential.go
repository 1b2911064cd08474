package sender

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/internal/hidden"
)

// URL is an endpoint's URL. Many services put a credential into its path.
// Printed, logged or marshalled, a URL shows scheme and host only. From an
// unexported field of another struct it shows nothing. [URL.Reveal] is the only
// way to the text. Make one with [NewURL].
type URL struct{ text hidden.Value[string] }

// NewURL takes the text of a URL. It does not check the text, because
// [Sender.Check] and every attempt do.
func NewURL(text string) URL { return URL{hidden.Of(text)} }

// Reveal returns the text of the URL. The zero URL gives "".
func (u URL) Reveal() string { return u.text.Reveal() }

// IsZero reports whether the URL is empty.
func (u URL) IsZero() bool { return u.Reveal() == "" }

// String returns scheme and host.
func (u URL) String() string {
	parsed, err := parseURL(u.Reveal())
	if err != nil {
		return "invalid URL"
	}
	return origin(parsed)
}

// GoString returns scheme and host.
func (u URL) GoString() string { return "sender.URL(" + u.String() + ")" }

// Format writes scheme and host for every verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// LogValue returns scheme and host, for log/slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText returns scheme and host. The rest of a URL does not survive
// marshalling.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Header is the header that an endpoint gets with every attempt. Its values may
// be API keys. Printed, logged or marshalled, a Header shows names only. From
// an unexported field of another struct it shows nothing. [Header.Reveal] is
// the only way to the values. Make one with [NewHeader].
type Header struct{ values hidden.Value[http.Header] }

// NewHeader takes a copy of h. It does not check the values, because
// [Sender.Check] and every attempt do.
func NewHeader(h http.Header) Header {
	if len(h) == 0 {
		return Header{}
	}
	return Header{hidden.Of(h.Clone())}
}

// Reveal returns the values. The map is the Header's own and must not be
// changed. The zero Header gives nil.
func (h Header) Reveal() http.Header { return h.values.Reveal() }

// IsZero reports whether the header is empty.
func (h Header) IsZero() bool { return h.values.IsZero() }

// Names returns the names in the header, in canonical form and sorted.
func (h Header) Names() []string {
	names := make([]string, 0, len(h.Reveal()))
	for name := range maps.Keys(h.Reveal()) {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	slices.Sort(names)
	return names
}

// String returns the names.
func (h Header) String() string { return "header(" + strings.Join(h.Names(), ", ") + ")" }

// GoString returns the names.
func (h Header) GoString() string { return "sender." + h.String() }

// Format writes the names for every verb.
func (h Header) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, h.String()) }

// LogValue returns the names, for log/slog.
func (h Header) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalText returns the names. Values do not survive marshalling.
func (h Header) MarshalText() ([]byte, error) { return []byte(h.String()), nil }
