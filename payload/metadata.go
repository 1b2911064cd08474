package payload

import (
	"fmt"
	"iter"
)

const scalarMessage = "must be a string, number, or boolean"

// Metadata holds a sender's own names and values, such as version numbers,
// feature flags and release notes. A value is a string, a number or a boolean.
// This is the rule of Periscope's deployment webhook. Events have the same
// rule, so that metadata moves between the two documents unchanged.
//
// The content stays byte for byte as it was written. The zero Metadata is
// absent, unlike "{}". Reading is safe for concurrent use, and copies are
// independent of each other. Two Metadata are equal with == if their bytes are
// equal.
type Metadata struct{ object Object }

// ParseMetadata checks that data is one JSON object of strings, numbers and
// booleans, without duplicate names, in valid UTF-8. It keeps a copy. Errors
// wrap [ErrInvalid] and list every value of another kind.
func ParseMetadata(data []byte) (Metadata, error) {
	object, err := ParseObject(data)
	if err != nil {
		return Metadata{}, err
	}
	var f failures
	checkScalars(object, "", &f)
	if err := f.err(); err != nil {
		return Metadata{}, err
	}
	return Metadata{object}, nil
}

// checkScalars adds a failure for each value that is not a string, number or
// boolean. Valid metadata needs only one loop over its bytes. checkScalars
// visits each member only if that loop finds a null, an object or an array.
func checkScalars(object Object, path string, f *failures) {
	for i := 1; i < len(object.text); i++ {
		switch object.text[i] {
		case '"':
			i = skipString(object.text, i) - 1
		case '{', '[', 'n': // Outside strings, n only begins null.
			nameScalars(object, path, f)
			return
		}
	}
}

func nameScalars(object Object, path string, f *failures) {
	for name, value := range object.All() {
		switch value.Kind() {
		case KindString, KindNumber, KindBool:
		default:
			f.add(join(path, name), scalarMessage)
		}
	}
}

// IsZero reports whether there is no metadata at all. It is false for "{}".
func (m Metadata) IsZero() bool { return m.object.IsZero() }

// JSON returns the metadata exactly as it was written, and "" for the zero
// Metadata.
func (m Metadata) JSON() string { return m.object.JSON() }

// Len returns the number of members.
func (m Metadata) Len() int { return m.object.Len() }

// All iterates over names and values in the order of the document.
func (m Metadata) All() iter.Seq2[string, Value] { return m.object.All() }

// Get returns the value of the named member, and whether it exists. Names are
// case-sensitive.
func (m Metadata) Get(name string) (Value, bool) { return m.object.Get(name) }

// Set replaces the value of the named member, or adds the member at the end.
// The value must be a string, a boolean, a number, a json.Number, a [Value] of
// one of these kinds, or a Go value that encodes as one. For any other value,
// Set returns an error and changes nothing.
func (m *Metadata) Set(name string, value any) error {
	v, err := valueOf(value)
	if err != nil {
		return fmt.Errorf("payload: set metadata %q: %w", cut(name), err)
	}
	switch v.Kind() {
	case KindString, KindNumber, KindBool:
		return m.object.set(name, v)
	default:
		return fmt.Errorf("payload: set metadata %q: the value %s, not %v", cut(name), scalarMessage, v.Kind())
	}
}

// Delete removes the named member if it exists.
func (m *Metadata) Delete(name string) { m.object.Delete(name) }

// MarshalJSON returns the metadata exactly as it was written, and null for the
// zero Metadata. Its callers may change white space and escapes afterwards, as
// encoding/json does.
func (m Metadata) MarshalJSON() ([]byte, error) { return m.object.MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler with [ParseMetadata]. For null it
// sets the zero Metadata.
func (m *Metadata) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*m = Metadata{}
		return nil
	}
	parsed, err := ParseMetadata(data)
	if err == nil {
		*m = parsed
	}
	return err
}
