package template

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/template"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/sender"
)

// condition is the member that decides whether the object that has it is there.
const condition = "$if"

const maxDepth = 64

// node is a value of the document. One of raw, text, and members or elements is
// set.
type node struct {
	raw      jsontext.Value     // a number, a boolean, null, or a string without a template
	text     *template.Template // a string with one
	isObject bool
	names    []string // of an object's members
	children []node   // an object's or an array's
	when     *template.Template
}

// parse reads a document. It is strict: duplicate names, invalid UTF-8 and
// anything after the document are errors.
func (f *Format) parse(document string) (node, error) {
	if len(document) > maxDocument {
		return node{}, fmt.Errorf("the document is longer than %d bytes", maxDocument)
	}
	d := jsontext.NewDecoder(strings.NewReader(document))
	root, err := f.value(d, 0)
	if err != nil {
		return node{}, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return node{}, errors.New("the document has something after its end")
	}
	if root.children == nil {
		return node{}, errors.New("the document must be an object or an array")
	}
	return root, nil
}

func (f *Format) value(d *jsontext.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, fmt.Errorf("the document is nested more than %d levels deep", maxDepth)
	}
	switch d.PeekKind() {
	case '{':
		return f.object(d, depth)
	case '[':
		return f.array(d, depth)
	case '"':
		t, err := d.ReadToken()
		if err != nil {
			return node{}, notJSON(err)
		}
		return f.leaf(d, t.String())
	default:
		v, err := d.ReadValue()
		if err != nil {
			return node{}, notJSON(err)
		}
		return node{raw: v.Clone()}, nil
	}
}

func (f *Format) object(d *jsontext.Decoder, depth int) (node, error) {
	n := node{isObject: true, children: []node{}}
	if _, err := d.ReadToken(); err != nil {
		return n, notJSON(err)
	}
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return n, notJSON(err)
		}
		name := t.String()
		if strings.Contains(name, "{{") {
			return n, fmt.Errorf("at %s: a name can't be a template", place(d))
		}
		child, err := f.value(d, depth+1)
		if err != nil {
			return n, err
		}
		if name != condition {
			n.names, n.children = append(n.names, name), append(n.children, child)
			continue
		}
		if child.text == nil {
			return n, fmt.Errorf("at %s: %s must be a template", place(d), condition)
		}
		n.when = child.text
	}
	_, err := d.ReadToken()
	return n, notJSON(err)
}

func (f *Format) array(d *jsontext.Decoder, depth int) (node, error) {
	n := node{children: []node{}}
	if _, err := d.ReadToken(); err != nil {
		return n, notJSON(err)
	}
	for d.PeekKind() != ']' {
		child, err := f.value(d, depth+1)
		if err != nil {
			return n, err
		}
		n.children = append(n.children, child)
	}
	_, err := d.ReadToken()
	return n, notJSON(err)
}

func (f *Format) leaf(d *jsontext.Decoder, text string) (node, error) {
	if !strings.Contains(text, "{{") {
		raw, err := jsontext.AppendQuote(nil, text)
		return node{raw: raw}, err
	}
	t, err := f.compile(text)
	if err != nil {
		return node{}, fmt.Errorf("at %s: %w", place(d), err)
	}
	return node{text: t}, nil
}

func place(d *jsontext.Decoder) string { return strconv.Quote(string(d.StackPointer())) }

func notJSON(err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the document is not JSON: %w", err)
}

// renderer executes a document's templates and writes it as JSON. It encodes
// the texts after their templates ran, so that nothing in them can end a
// string.
type renderer struct {
	data Data
	out  bytes.Buffer
	text strings.Builder
}

func (f *Format) render(d Data) ([]byte, error) {
	r := renderer{data: d}
	there, err := r.there(&f.root)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("%w: the template leaves out %s", sender.ErrNoMessage, d.Type)
	}
	if err := r.value(&f.root); err != nil {
		return nil, err
	}
	return r.out.Bytes(), nil
}

// there reports whether n is to be written.
func (r *renderer) there(n *node) (bool, error) {
	if n.when == nil {
		return true, nil
	}
	text, err := r.execute(n.when)
	return strings.TrimSpace(text) != "", err
}

func (r *renderer) execute(t *template.Template) (string, error) {
	r.text.Reset()
	if err := t.Execute(&r.text, r.data); err != nil {
		return "", err
	}
	return r.text.String(), nil
}

func (r *renderer) value(n *node) error {
	if r.out.Len() > maxRendered {
		return fmt.Errorf("template: the message is longer than %d bytes", maxRendered)
	}
	switch {
	case n.raw != nil:
		r.out.Write(n.raw)
		return nil
	case n.text != nil:
		text, err := r.execute(n.text)
		if err != nil {
			return err
		}
		return r.quote(text)
	case n.isObject:
		return r.list(n, '{', '}')
	default:
		return r.list(n, '[', ']')
	}
}

func (r *renderer) list(n *node, begin, end byte) error {
	r.out.WriteByte(begin)
	first := true
	for i := range n.children {
		child := &n.children[i]
		there, err := r.there(child)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if !first {
			r.out.WriteByte(',')
		}
		first = false
		if n.isObject {
			if err := r.quote(n.names[i]); err != nil {
				return err
			}
			r.out.WriteByte(':')
		}
		if err := r.value(child); err != nil {
			return err
		}
	}
	r.out.WriteByte(end)
	return nil
}

func (r *renderer) quote(s string) error {
	b, err := jsontext.AppendQuote(r.out.AvailableBuffer(), s)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	r.out.Write(b)
	return nil
}

// try renders the document for every sample.
func (f *Format) try() error {
	for _, e := range samples() {
		if _, err := f.render(f.data(e)); err != nil && !errors.Is(err, sender.ErrNoMessage) {
			return fmt.Errorf("for %s: %w", e.Type, err)
		}
	}
	return nil
}
