package payload

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// tooDeep is the message for a value that is nested beyond maxDepth.
const tooDeep = "must not be nested more than 128 levels deep"

// sharedBytes is the size up to which the strings of a decoded document are parts of one copy of it: one allocation
// instead of twenty. In larger documents every string is copied for itself, so that a handler which keeps the
// deployment ID does not keep a megabyte of rawPayload with it.
const sharedBytes = 4 << 10

// document is what a reader fills.
type document interface {
	read(r *reader)
}

// reader walks once through the tokens of one document and hands its members to the document's read method. jsontext
// checks syntax, UTF-8 and duplicate names on the way. Members of the wrong kind are noted and passed over, so that one
// pass finds all of them; a syntax error ends it.
type reader struct {
	doc  document
	text string // a copy of the document that strings can be cut from, or "" if it is larger than sharedBytes

	dec    *jsontext.Decoder
	inside bool   // reading has gone past the brace that opens the document
	parent string // the name of the member whose object is being read, "" at the top
	quoted string // the name of the member being read, as it was written

	failures failures
	dropped  failures // members that only inform and could not be kept
	err      error    // the syntax error that ended reading
}

// decode reads data into doc and returns an error only if data is not JSON in the strict sense. What else is wrong is
// in failures.
func (r *reader) decode(data []byte, doc document) error {
	r.doc = doc
	if len(data) <= sharedBytes {
		r.text = string(data)
	}
	err := json.Unmarshal(data, r)
	if r.err != nil {
		err = r.err
	}
	if err != nil {
		return syntaxFailure(data, err)
	}
	return nil
}

// UnmarshalJSONFrom is called by json.Unmarshal, which lends its decoder and checks that nothing follows the document.
func (r *reader) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	r.dec = dec
	if r.enter() {
		r.doc.read(r)
	}
	r.dec = nil
	return r.err
}

// enter begins to read an object: the member read last, or the document. If it
// returns true, next must be called until it returns false. It returns false for
// null, and for any other value after noting that it is not an object.
func (r *reader) enter() bool {
	if r.dec.PeekKind() != '{' {
		if value := r.value(); r.err == nil && !(r.inside && value == null) {
			r.wrongKind("an object", value)
		}
		return false
	}
	if _, err := r.dec.ReadToken(); err != nil {
		r.err = err
		return false
	}
	if r.inside {
		r.parent = r.name()
	}
	r.inside = true
	return true
}

// next reads the name of the next member of the object. It returns false at the object's end and after a syntax error.
func (r *reader) next() bool {
	if r.err != nil {
		return false
	}
	if r.dec.PeekKind() == '}' {
		_, r.err = r.dec.ReadToken()
		r.parent = ""
		return false
	}
	r.quoted = r.value()
	return r.err == nil
}

// name is the name of the member being read, without quotes and escapes.
func (r *reader) name() string { return unquote(r.quoted) }

// value reads a whole value, or a name, as it was written. It returns "" after a syntax error.
func (r *reader) value() string {
	raw, err := r.dec.ReadValue()
	if err != nil {
		r.err = err
		return ""
	}
	if r.text == "" {
		return string(raw)
	}
	end := int(r.dec.InputOffset())
	return r.text[end-len(raw) : end]
}

// path names the member being read.
func (r *reader) path() string {
	if !r.inside {
		return ""
	}
	return join(r.parent, r.name())
}

// null in a member means that the member is absent: that is how serializers of
// most languages write a field without a value. Validation then decides whether
// the member was required.
const null = "null"

// wrongKind notes that the member being read is not of the kind it must be.
func (r *reader) wrongKind(want, value string) {
	message := "must be " + want
	if value == null {
		message += ", not null"
	}
	r.failures.add(r.path(), message)
}

// string reads a string.
func (r *reader) string() string {
	value := r.value()
	switch {
	case r.err != nil || value == null:
		return ""
	case value[0] != '"':
		r.wrongKind("a string", value)
		return ""
	default:
		return unquote(value)
	}
}

// informs reads a string that only informs people, such as a branch. One that
// can't be kept is dropped, because the record is worth more than the member.
func (r *reader) informs() string {
	value := r.value()
	switch {
	case r.err != nil || value == null:
		return ""
	case value[0] != '"':
		r.dropped.add(r.path(), "must be a string")
		return ""
	}
	text := unquote(value)
	if tooLong(text, maxName) {
		r.dropped.add(r.path(), atMost(maxName))
		return ""
	}
	return text
}

// link reads a URL for people by the rules of [CleanURL]. One that can't be kept
// is dropped, as in informs.
func (r *reader) link() string {
	value := r.value()
	if r.err != nil || value == null || value == `""` {
		return ""
	}
	if value[0] == '"' {
		if url, ok := CleanURL(unquote(value)); ok {
			return url
		}
	}
	r.dropped.add(r.path(), validURL)
	return ""
}

// time reads a date.
func (r *reader) time() time.Time {
	text := r.string()
	if text == "" { // missing, of the wrong kind, or empty: the same as missing
		return time.Time{}
	}
	t, ok := parseTime(text)
	if !ok {
		r.failures.add(r.path(), validDate)
	}
	return t
}

// number reads a number.
func (r *reader) number() *float64 {
	f, ok := r.float()
	if !ok {
		return nil
	}
	return &f
}

// integer reads a number without a fraction. As in JSON Schema, 1e2 and 1.0 are integers.
// rule is the failure of one that is not, or does not fit an int on every platform.
func (r *reader) integer(rule string) *int {
	f, ok := r.float()
	if !ok {
		return nil
	}
	if f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		r.failures.add(r.path(), rule)
		return nil
	}
	n := int(f)
	return &n
}

func (r *reader) float() (f float64, ok bool) {
	value := r.value()
	if r.err != nil || value == null {
		return 0, false
	}
	if (Value{value}).Kind() != KindNumber {
		r.wrongKind("a number", value)
		return 0, false
	}
	// Out of range gives an infinity, which Validate refuses; the grammar has been checked already.
	f, _ = strconv.ParseFloat(value, 64)
	return f + 0, true // turns -0, which has no meaning of its own here, into 0
}

// bool reads a boolean.
func (r *reader) bool() *bool {
	value := r.value()
	if r.err != nil || value == null {
		return nil
	}
	if (Value{value}).Kind() != KindBool {
		r.wrongKind("a boolean", value)
		return nil
	}
	b := value == "true"
	return &b
}

// object reads an object and keeps it as it was written.
func (r *reader) object() Object {
	object := r.rawObject()
	if deeperThan(object.text, maxDepth) {
		r.failures.add(r.path(), tooDeep)
		return Object{}
	}
	return object
}

func (r *reader) rawObject() Object {
	value := r.value()
	if r.err != nil || value == null {
		return Object{}
	}
	if value[0] != '{' {
		r.wrongKind("an object", value)
		return Object{}
	}
	return Object{value}
}

// metadata reads an object of strings, numbers and booleans.
func (r *reader) metadata() Metadata {
	object := r.rawObject()
	checkScalars(object, r.path(), &r.failures)
	return Metadata{object}
}

// unknown keeps a member that has no field.
func (r *reader) unknown(extra *objectBuilder) {
	value := r.value()
	if r.err != nil {
		return
	}
	if deeperThan(value, maxMemberDepth) {
		r.failures.add(r.path(), tooDeep)
		return
	}
	extra.add(r.quoted, value)
}

// checkSyntax reports whether data is one JSON value in the strict sense.
func checkSyntax(data []byte) error {
	if err := json.Unmarshal(data, new(skipper)); err != nil {
		return syntaxFailure(data, err)
	}
	return nil
}

// skipper is the target of an Unmarshal that only checks.
type skipper struct{}

func (*skipper) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	_, err := dec.ReadValue()
	return err
}

// syntaxFailure words an error of jsontext. Its own text may repeat the input, so only position and kind are used.
func syntaxFailure(data []byte, err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case len(data) == 0:
		return whole("must be a JSON object, but is empty")
	case !utf8.Valid(data):
		return whole("must be valid UTF-8")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return duplicate(syntax.JSONPointer)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return whole("must be valid JSON, but ends too early")
	case errors.As(err, &syntax) && levels(syntax.JSONPointer) > maxDepth:
		return whole(tooDeep) // jsontext gives up at 10,000 levels and calls that a syntax error
	case errors.As(err, &syntax):
		return whole(fmt.Sprintf("must be one valid JSON object and nothing else (error at byte %d)", syntax.ByteOffset))
	default:
		return whole("must be valid JSON")
	}
}

// levels is how deeply a place is nested.
func levels(where jsontext.Pointer) (n int) {
	for range where.Tokens() {
		n++
	}
	return n
}

// duplicate words a name that occurs twice in one object.
func duplicate(where jsontext.Pointer) error {
	path, levels := "", 0
	for token := range where.Tokens() {
		if levels++; levels > 3 { // deep inside, the outer names say enough
			break
		}
		path = join(path, token)
	}
	return &ValidationError{Failures: []Failure{{Path: path, Message: "must not appear more than once"}}}
}
