// Package hidden keeps values that are secret out of the reach of printers.
//
// Package fmt calls no method on an unexported field of another struct. A
// redacting Format or String method is therefore not enough: the fields of a
// type are printed as they are once it stands in such a field. A [Value] keeps
// the secret in a closure, which no reflection can look into.
package hidden

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Value is a value that shows nothing of itself, whoever prints, logs or
// marshals it and in whatever field it stands. [Value.Reveal] is the only way
// to it. The zero Value hides nothing.
type Value[T any] struct{ reveal func() T }

// Of hides v.
func Of[T any](v T) Value[T] { return Value[T]{func() T { return v }} }

// Reveal returns the hidden value. Of the zero Value it is T's zero value.
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

// MarshalText returns "[redacted]". A hidden value does not survive
// marshalling.
func (v Value[T]) MarshalText() ([]byte, error) { return []byte(redacted), nil }
