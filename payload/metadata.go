package payload

import (
	"fmt"
	"iter"
)

const scalarMessage = "must be a string, number, or boolean"

// Metadata holds a sender's own names and values: version numbers, feature flags, release notes. A value is a string, a
// number or a boolean; that is the rule of Periscope's deployment webhook, and events have the same one, so that
// metadata moves between the two documents unchanged.
//
// It stays as it was written, to the byte, until it is asked for. The zero Metadata means that there is none, which is
// not the same as "{}". Reading is safe for concurrent use, and copies are independent of each other. Two Metadata are
// equal with == if their bytes are.
type Metadata struct{ object Object }

// ParseMetadata checks that data is one JSON object of strings, numbers and booleans, without duplicate names, in valid
// UTF-8, and keeps a copy of it. Errors wrap [ErrInvalid] and list every value of another kind.
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

// checkScalars adds a failure for each value of another kind. The loop that looks at every byte is what valid metadata
// costs; only if it meets a null, an object or an array are the members looked at one by one.
func checkScalars(object Object, path string, f *failures) {
	for i := 1; i < len(object.text); i++ {
		switch object.text[i] {
		case '"':
			i = skipString(object.text, i) - 1
		case '{', '[', 'n': // outside strings, n only begins null
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

// JSON returns the metadata as it was written, and "" for the zero Metadata.
func (m Metadata) JSON() string { return m.object.JSON() }

// Len returns the number of members.
func (m Metadata) Len() int { return m.object.Len() }

// All iterates over names and values in the order of the document.
func (m Metadata) All() iter.Seq2[string, Value] { return m.object.All() }

// Get returns the value of a member, and whether there is one of that name. Upper and lower case differ.
func (m Metadata) Get(name string) (Value, bool) { return m.object.Get(name) }

// Set adds a member at the end, or replaces the value of the one that has the name. The value must be a string, a
// boolean, a number, a json.Number, a [Value] of one of these kinds, or a Go value that encodes as one. Set fails, and
// changes nothing, for any other.
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

// Delete removes a member, if there is one of that name.
func (m *Metadata) Delete(name string) { m.object.Delete(name) }

// MarshalJSON returns the metadata as it was written, and null for the zero Metadata. Packages that call it may change
// white space and escapes afterwards: encoding/json does.
func (m Metadata) MarshalJSON() ([]byte, error) { return m.object.MarshalJSON() }

// UnmarshalJSON is [ParseMetadata]; null gives the zero Metadata.
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
