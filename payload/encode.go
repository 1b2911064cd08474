package payload

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// writer builds a document. It appends bytes directly because a JSON encoder
// may change white space, escapes and numbers, while members that the document
// only carries must keep their exact bytes. writer relies on validation to
// exclude invalid UTF-8, infinities and NaN.
type writer struct{ out []byte }

// begin opens an object.
func (w *writer) begin() { w.out = append(w.out, '{') }

// end writes the members in extra and closes the object.
func (w *writer) end(extra Object) {
	if members := extra.inner(); members != "" {
		w.comma()
		w.out = append(w.out, members...)
	}
	w.out = append(w.out, '}')
}

// comma writes a comma before every member except the first.
func (w *writer) comma() {
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
}

// name writes the name of a field. It needs no escaping.
func (w *writer) name(name string) {
	w.comma()
	w.out = append(w.out, '"')
	w.out = append(w.out, name...)
	w.out = append(w.out, '"', ':')
}

// string writes a member unless it is empty.
func (w *writer) string(name, value string) {
	if value == "" {
		return
	}
	w.name(name)
	w.out, _ = jsontext.AppendQuote(w.out, value) // It is valid UTF-8: Encode validates first.
}

// link writes a link as [CleanURL] repairs it.
func (w *writer) link(name, url string) {
	url, _ = CleanURL(url) // Validation refuses links that CleanURL cannot repair.
	w.string(name, url)
}

// time writes a date in RFC 3339, in UTC, unless it is zero.
func (w *writer) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	w.name(name)
	w.out = append(w.out, '"')
	w.out = t.UTC().AppendFormat(w.out, time.RFC3339Nano)
	w.out = append(w.out, '"')
}

// number writes a member unless it is nil. The number has no exponent and the
// fewest digits that give the same float64 when read back.
func (w *writer) number(name string, n *float64) {
	if n == nil {
		return
	}
	w.name(name)
	w.out = strconv.AppendFloat(w.out, *n+0, 'f', -1, 64)
}

// integer writes a member unless it is nil.
func (w *writer) integer(name string, n *int) {
	if n == nil {
		return
	}
	w.name(name)
	w.out = strconv.AppendInt(w.out, int64(*n), 10)
}

// bool writes a member unless it is nil.
func (w *writer) bool(name string, b *bool) {
	if b == nil {
		return
	}
	w.name(name)
	w.out = strconv.AppendBool(w.out, *b)
}

// object writes an object byte for byte, unless it is the zero Object.
func (w *writer) object(name string, o Object) {
	if o.IsZero() {
		return
	}
	w.name(name)
	w.out = append(w.out, o.text...)
}
