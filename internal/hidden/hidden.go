// Package hidden keeps secret values out of printed output.
//
// Package fmt calls no method on an unexported field of another struct. A
// Format or String method that redacts a type is therefore not enough. If a
// value of that type is in such a field, fmt prints the value's own fields. A
// [Value] keeps the secret in a closure, which reflection cannot read.
package hidden

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Value hides a value from printing, logging and marshalling, no matter which
// field holds it. Only [Value.Reveal] returns the hidden value. The zero Value
// hides nothing.
type Value[T any] struct{ reveal func() T }

// Of hides v.
func Of[T any](v T) Value[T] { return Value[T]{func() T { return v }} }

// Reveal returns the hidden value. For the zero Value it returns T's zero
// value.
func (v Value[T]) Reveal() T {
	if v.reveal == nil {
		var zero T
		return zero
	}
	return v.reveal()
}

// IsZero reports whether v hides nothing.
func (v Value[T]) IsZero() bool { return v.reveal == nil }

// String returns "[redacted]".
func (v Value[T]) String() string { return redacted }

// GoString returns "[redacted]".
func (v Value[T]) GoString() string { return redacted }

// Format writes "[redacted]" for every verb.
func (v Value[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]", for log/slog.
func (v Value[T]) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]". Unmarshalling therefore cannot restore the
// hidden value.
func (v Value[T]) MarshalText() ([]byte, error) { return []byte(redacted), nil }
