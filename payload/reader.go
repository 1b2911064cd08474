package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// tooDeep is the message for a value that is nested deeper than maxDepth.
const tooDeep = "must not be nested more than 128 levels deep"

// sharedBytes is the maximum size of a document whose decoded strings share one
// copy of it. That is one allocation instead of twenty. In larger documents
// each string is copied separately. Otherwise a handler that keeps the
// deployment ID would also keep a megabyte of rawPayload in memory.
const sharedBytes = 4 << 10

// document is a type that a reader can fill.
type document interface {
	read(r *reader)
}

// reader walks once through the tokens of one document and passes its members
// to the document's read method. jsontext checks syntax, UTF-8 and duplicate
// names on the way. The reader records members of the wrong type and skips
// them, so that one pass finds all of them. A syntax error ends the pass.
type reader struct {
	// text is a copy of the document that strings are cut from. It is "" if the
	// document is larger than sharedBytes.
	text string

	home   *pooledReader // holds this reader in the pool
	dec    *jsontext.Decoder
	inside bool   // whether the opening brace of the document has been read
	base   string // the member that holds the event of an envelope, or ""
	parent string // the path of the object that is being read, "" at the top
	quoted string // the name of the current member, as it was written

	failures failures
	dropped  failures // informational members with unusable values
	err      error    // the syntax error that ended reading
}

// newReader returns a reader of data. Call its method free after the last use.
// Readers are reused, because the first use of a decoder allocates.
func newReader(data []byte) *reader {
	p := readers.Get().(*pooledReader)
	p.reader = reader{dec: &p.decoder, home: p}
	p.source = *bytes.NewBuffer(data)
	p.decoder.Reset(&p.source)
	if len(data) <= sharedBytes {
		p.text = string(data)
	}
	return &p.reader
}

// free makes the reader available for other data.
func (r *reader) free() {
	p := r.home
	p.reader, p.source = reader{}, bytes.Buffer{}
	p.decoder.Reset(&p.source) // so that nothing refers to the data
	readers.Put(p)
}

var readers = sync.Pool{New: func() any { return new(pooledReader) }}

// pooledReader is a reader with its decoder, and with the buffer that the
// decoder reads from.
type pooledReader struct {
	reader
	decoder jsontext.Decoder
	source  bytes.Buffer
}

// decode reads data into doc. It returns an error only for invalid JSON. All
// other problems are in failures.
func (r *reader) decode(data []byte, doc document) error {
	if r.enter() {
		doc.read(r)
	}
	if r.err == nil {
		r.err = r.end(data)
	}
	if r.err != nil {
		return syntaxFailure(data, r.err)
	}
	return nil
}

// end returns an error if anything but white space follows the document.
func (r *reader) end(data []byte) error {
	rest := bytes.TrimLeft(data[r.dec.InputOffset():], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	return &jsontext.SyntacticError{ByteOffset: int64(len(data) - len(rest))}
}

// enter begins to read an object, which is the current member or the document
// itself. If it returns true, call next until that returns false. It returns
// false for null. It also returns false for any other value, after recording
// that it is not an object.
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
	switch {
	case r.base != "":
		r.parent = join(r.base, r.name())
	case r.inside:
		r.parent = r.name()
	}
	r.inside = true
	return true
}

// enterBase is enter for the member that holds the event of an envelope. If it
// returns true, call leaveBase at the end of the object.
func (r *reader) enterBase() bool {
	if !r.enter() {
		return false
	}
	r.base = r.parent
	return true
}

func (r *reader) leaveBase() { r.base, r.parent = "", "" }

// next reads the name of the next member of the object. It returns false at the
// end of the object and after a syntax error.
func (r *reader) next() bool {
	if r.err != nil {
		return false
	}
	if r.dec.PeekKind() == '}' {
		_, r.err = r.dec.ReadToken()
		r.parent = r.base
		return false
	}
	r.quoted = r.value()
	return r.err == nil
}

// name returns the name of the current member, without quotes and escapes.
func (r *reader) name() string { return unquote(r.quoted) }

// value reads a whole value or a name, exactly as it was written. It returns ""
// after a syntax error.
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

// path returns the path of the current member.
func (r *reader) path() string {
	if !r.inside {
		return ""
	}
	return join(r.parent, r.name())
}

// null counts as absent, because serializers in most languages write it for a
// field without a value. Validation then decides whether the member was
// required.
const null = "null"

// wrongKind records that the current member has the wrong type.
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

// informs reads a string that only informs people, such as a branch. It drops
// an invalid one, because the record is worth more than the member.
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

// link reads a URL for people with [CleanURL]. Like informs, it drops an
// invalid one.
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
	if text == "" { // missing, empty, or of the wrong type
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

// integer reads a number without a fraction. As in JSON Schema, 1e2 and 1.0 are
// integers. rule is the failure for a number with a fraction, or for one that
// does not fit an int on every platform.
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
	// A number out of range gives an infinity, which Validate refuses. The
	// syntax has been checked already.
	f, _ = strconv.ParseFloat(value, 64)
	return f + 0, true // turns -0 into 0
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

// object reads an object and keeps it exactly as it was written.
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

// checkSyntax returns an error unless data is one valid JSON value by the
// strict rules of this package.
func checkSyntax(data []byte) error {
	if err := json.Unmarshal(data, new(skipper)); err != nil {
		return syntaxFailure(data, err)
	}
	return nil
}

// skipper is an Unmarshal target that checks the syntax and keeps nothing.
type skipper struct{}

func (*skipper) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	_, err := dec.ReadValue()
	return err
}

// syntaxFailure converts an error of jsontext. It uses only position and kind,
// because the original text may repeat the input.
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
		// jsontext stops at 10,000 levels and reports a syntax error.
		return whole(tooDeep)
	case errors.As(err, &syntax):
		return whole(fmt.Sprintf("must be one valid JSON object and nothing else (error at byte %d)", syntax.ByteOffset))
	default:
		return whole("must be valid JSON")
	}
}

// levels returns the nesting depth of a place.
func levels(where jsontext.Pointer) (n int) {
	for range where.Tokens() {
		n++
	}
	return n
}

// duplicate returns the error for a name that occurs twice in one object.
func duplicate(where jsontext.Pointer) error {
	path, levels := "", 0
	for token := range where.Tokens() {
		if levels++; levels > 3 { // For deeply nested names, the outer names suffice.
			break
		}
		path = join(path, token)
	}
	return &ValidationError{Failures: []Failure{{Path: path, Message: "must not appear more than once"}}}
}
