package payload

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// An Object is a JSON object whose members stay byte for byte as they were
// written. Events and deployments keep members without a field in an Object,
// and [Deployment.RawPayload] is one.
//
// The zero Object is absent, unlike "{}". The content of an Object is always
// valid: UTF-8 without duplicate names, nested at most 128 levels deep. Reading
// is safe for concurrent use. Copies are independent of each other, because
// [Object.Set] and [Object.Delete] replace the content instead of changing it.
// Two Objects are equal with == if their bytes are equal.
type Object struct{ text string }

// ParseObject checks that data is one JSON object without duplicate names, in
// valid UTF-8, nested at most 128 levels deep. It keeps a copy. Errors wrap
// [ErrInvalid].
func ParseObject(data []byte) (Object, error) {
	if err := checkSyntax(data); err != nil {
		return Object{}, err
	}
	text := strings.Trim(string(data), " \t\r\n")
	if text[0] != '{' {
		return Object{}, whole("must be a JSON object")
	}
	if deeperThan(text, maxDepth) {
		return Object{}, whole(tooDeep)
	}
	return Object{text}, nil
}

// IsZero reports whether there is no object at all. It is false for "{}".
func (o Object) IsZero() bool { return o.text == "" }

// JSON returns the object exactly as it was written, and "" for the zero
// Object.
func (o Object) JSON() string { return o.text }

// Len returns the number of members.
func (o Object) Len() int {
	n := 0
	for range o.members {
		n++
	}
	return n
}

// All iterates over names and values in the order of the document.
func (o Object) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for m := range o.members {
			if !yield(unquote(m.name), Value{m.value}) {
				return
			}
		}
	}
}

// Get returns the value of the named member, and whether it exists. Names are
// case-sensitive. Each call reads the object from its beginning. To look up
// many names in a large object, range over [Object.All] once.
func (o Object) Get(name string) (Value, bool) {
	for m := range o.members {
		if unquote(m.name) == name {
			return Value{m.value}, true
		}
	}
	return Value{}, false
}

// Set replaces the value of the named member, or adds the member at the end.
// The value is encoded by the rules of encoding/json/v2, with sorted map keys.
// A [Value], an Object, a json.RawMessage and a json.Number keep their bytes.
// If the value has no JSON form or the name is not valid UTF-8, Set returns an
// error and changes nothing.
func (o *Object) Set(name string, value any) error {
	v, err := valueOf(value)
	if err != nil {
		return fmt.Errorf("payload: set member %q: %w", cut(name), err)
	}
	return o.set(name, v)
}

func (o *Object) set(name string, value Value) error {
	if !utf8.ValidString(name) {
		return errors.New("payload: set member: the name must be valid UTF-8")
	}
	var b objectBuilder
	found := false
	for m := range o.members {
		if unquote(m.name) == name {
			m.value, found = value.text, true
		}
		b.add(m.name, m.value)
	}
	if !found {
		quoted, _ := jsontext.AppendQuote(nil, name) // It is valid UTF-8, see above.
		b.add(string(quoted), value.text)
	}
	*o = b.object()
	return nil
}

// Delete removes the named member if it exists. Deleting the only member leaves
// "{}".
func (o *Object) Delete(name string) {
	var b objectBuilder
	found := false
	for m := range o.members {
		if unquote(m.name) == name {
			found = true
			continue
		}
		b.add(m.name, m.value)
	}
	if found {
		*o = Object{b.object().orEmpty()}
	}
}

// MarshalJSON returns the object exactly as it was written, and null for the
// zero Object. Its callers may change white space and escapes afterwards, as
// encoding/json does.
func (o Object) MarshalJSON() ([]byte, error) {
	if o.IsZero() {
		return []byte("null"), nil
	}
	return []byte(o.text), nil
}

// UnmarshalJSON implements json.Unmarshaler with [ParseObject]. For null it
// sets the zero Object.
func (o *Object) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*o = Object{}
		return nil
	}
	parsed, err := ParseObject(data)
	if err == nil {
		*o = parsed
	}
	return err
}

func (o Object) orEmpty() string {
	if o.text == "" {
		return "{}"
	}
	return o.text
}

// inner returns the text between the braces without surrounding white space.
func (o Object) inner() string {
	if o.text == "" {
		return ""
	}
	return strings.Trim(o.text[1:len(o.text)-1], " \t\r\n")
}

// A member is a name, quoted exactly as it was written, and a value.
type member struct{ name, value string }

// members iterates over the members as they were written.
func (o Object) members(yield func(member) bool) {
	for i := 1; i < len(o.text); {
		i = skipSpace(o.text, i)
		if o.text[i] == '}' {
			return
		}
		name := i
		nameEnd := skipString(o.text, name)
		// +1 for the colon
		value := skipSpace(o.text, skipSpace(o.text, nameEnd)+1)
		valueEnd := skipValue(o.text, value)
		if !yield(member{o.text[name:nameEnd], o.text[value:valueEnd]}) {
			return
		}
		i = skipSpace(o.text, valueEnd)
		if o.text[i] == ',' {
			i++
		}
	}
}

// objectBuilder builds an object from members whose names are known to differ.
type objectBuilder struct{ text []byte }

// add appends a member. The name is in quotes.
func (b *objectBuilder) add(name, value string) {
	if len(b.text) == 0 {
		b.text = append(b.text, '{')
	} else {
		b.text = append(b.text, ',')
	}
	b.text = append(b.text, name...)
	b.text = append(b.text, ':')
	b.text = append(b.text, value...)
}

// object returns the built object, or the zero Object if nothing was added.
func (b *objectBuilder) object() Object {
	if len(b.text) == 0 {
		return Object{}
	}
	return Object{string(b.text) + "}"}
}

// cut shortens a name for an error.
func cut(name string) string {
	if len(name) > maxQuoted {
		return name[:maxQuoted] + "..."
	}
	return name
}
