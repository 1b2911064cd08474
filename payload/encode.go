package payload

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// writer puts a document together. It appends by hand, and not through a JSON encoder, because encoders are free to
// change white space, escapes and numbers, and what a document carries for others must come out to the byte. It relies
// on validation for valid UTF-8, and for numbers that are neither infinite nor NaN.
type writer struct{ out []byte }

// begin opens an object.
func (w *writer) begin() { w.out = append(w.out, '{') }

// end closes an object, after the members in extra.
func (w *writer) end(extra Object) {
	if members := extra.inner(); members != "" {
		w.comma()
		w.out = append(w.out, members...)
	}
	w.out = append(w.out, '}')
}

// comma goes before every member but the first.
func (w *writer) comma() {
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
}

// name writes the name of one of this package's own fields, none of which needs an escape.
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
	w.out, _ = jsontext.AppendQuote(w.out, value)
}

// link writes a link as [CleanURL] repairs it.
func (w *writer) link(name, url string) {
	url, _ = CleanURL(url) // validation refuses what can't be repaired
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

// number writes a member unless it is nil: without an exponent, in as few digits as give the same float64 again.
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

// object writes a member as it was written, unless there is none.
func (w *writer) object(name string, o Object) {
	if o.IsZero() {
		return
	}
	w.name(name)
	w.out = append(w.out, o.text...)
}
