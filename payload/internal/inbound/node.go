package inbound

import (
	"strconv"

	"github.com/deployhook/deployhook/payload"
)

const (
	mustBeObject = "must be an object"
	mustBeString = "must be a string"
)

// A Node is one member of an event, with its path. A null member counts as
// absent, because the systems write both for unknown values.
type Node struct {
	b     *Builder
	path  string
	value payload.Value
	// wrong is the member on the path that should have been an object.
	wrong string
}

// Exists reports whether the member is there and not null.
func (n Node) Exists() bool { return n.value.Kind() != payload.KindNone }

// Kind returns the kind of the member's value, or KindNone for an absent one.
func (n Node) Kind() payload.Kind { return n.value.Kind() }

// Get goes down by the names of members. A member on the way that is neither an
// object nor absent becomes a failure when a field that needs the value reads
// it. A field that only informs people stays empty instead.
func (n Node) Get(names ...string) Node {
	for _, name := range names {
		child := Node{b: n.b, path: join(n.path, name), wrong: n.wrong}
		if n.Exists() && n.Kind() != payload.KindObject {
			child.wrong = n.path
		}
		if object, ok := n.object(); ok {
			if value, _ := object.Get(name); value.Kind() != payload.KindNull {
				child.value = value
			}
		}
		n = child
	}
	return n
}

// object reads the member as an object and caches it.
func (n Node) object() (payload.Object, bool) {
	if n.Kind() != payload.KindObject {
		return payload.Object{}, false
	}
	object, ok := n.b.objects[n.path]
	if !ok {
		// This cannot fail, because the text is part of a body that was already
		// checked.
		if err := n.value.Decode(&object); err != nil {
			n.b.fail(n.path, mustBeObject)
			return payload.Object{}, false
		}
		n.b.objects[n.path] = object
	}
	return object, true
}

// maxItems is the maximum number of elements of an array that are read.
const maxItems = 256

// Items returns the first 256 elements of an array without those that are null.
func (n Node) Items() []Node {
	if !n.Exists() {
		n.failWrong()
		return nil
	}
	var values []payload.Value
	if n.Kind() != payload.KindArray || n.value.Decode(&rawArray{&values}) != nil {
		n.b.fail(n.path, "must be an array")
		return nil
	}
	items := make([]Node, 0, len(values))
	for i, value := range values {
		if value.Kind() != payload.KindNull {
			items = append(items, Node{b: n.b, path: n.path + "[" + strconv.Itoa(i) + "]", value: value})
		}
	}
	return items
}

// failWrong records a failure of the member on the path that is not an object.
func (n Node) failWrong() {
	if n.wrong != "" {
		n.b.fail(n.wrong, mustBeObject)
	}
}

// informs returns the text of a string or an integer for a field that only
// informs people. Any other kind counts as absent.
func (n Node) informs() string {
	if _, ok := n.value.Int64(); ok {
		return n.value.JSON()
	}
	text, _ := n.value.Text()
	return text
}

// Text returns the text of a string, or "" for an absent member. Any other kind
// is a failure.
func (n Node) Text() string {
	n.failWrong()
	text, ok := n.value.Text()
	if !ok && n.Exists() {
		n.b.fail(n.path, mustBeString)
	}
	return text
}

// id returns the text of a string or an integer, or "" for an absent member.
func (n Node) id() string {
	n.failWrong()
	if n.Kind() == payload.KindNumber {
		if _, ok := n.value.Int64(); ok {
			return n.value.JSON()
		}
	}
	text, ok := n.value.Text()
	if !ok && n.Exists() {
		n.b.fail(n.path, "must be a string or an integer")
	}
	return text
}

// Bool returns the value of a boolean, or false for an absent member or another
// kind.
func (n Node) Bool() bool {
	value, _ := n.value.Bool()
	return value
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
