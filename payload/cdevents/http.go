package cdevents

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

const (
	jsonType       = "application/json"
	structuredType = "application/cloudevents+json"
	batchPrefix    = "application/cloudevents-batch"

	// cloudVersion is the version of the CloudEvents specification. It does not
	// include the patch version (1.0.2, section 3.1.1).
	cloudVersion = "1.0"
)

// attribute is a CloudEvents attribute that a CDEvent sets.
type attribute struct {
	name, value string
	member      string // the path of the value in the CDEvent
}

// attributes follows the CloudEvents binding of CDEvents v0.5.1. It has no
// datacontenttype, which is the Content-Type in binary mode.
func (e *Event) attributes() [6]attribute {
	return [...]attribute{
		{"specversion", cloudVersion, ""},
		{"id", e.ID(), "context.id"},
		{"source", e.Source(), "context.source"},
		{"type", e.Type(), "context.type"},
		{"subject", e.Subject(), "subject.id"},
		{"time", e.occurred.Format(time.RFC3339Nano), "context.timestamp"},
	}
}

// Binary returns the event as a CloudEvent in binary mode (HTTP protocol
// binding 1.0.2, section 3.1). The body is the CDEvent, with Content-Type
// application/json. The ce- headers hold the CloudEvents attributes,
// percent-encoded where necessary. Use this mode for receivers that accept only
// application/json, and for signatures, because the signed body is the whole
// CDEvent. Sign these bytes.
//
// The caller owns header and body.
func (e *Event) Binary() (http.Header, []byte) {
	h := make(http.Header, 7)
	h.Set("Content-Type", jsonType)
	for _, a := range e.attributes() {
		h.Set("ce-"+a.name, encodeHeader(a.value))
	}
	return h, e.JSON()
}

// Structured returns the event as a CloudEvent in structured mode (HTTP
// protocol binding 1.0.2, section 3.2, and JSON event format 1.0.2). The body
// is one JSON document with the attributes and, as data, the exact bytes of the
// CDEvent. Its Content-Type is application/cloudevents+json, which the Records
// and Wrap handlers of package receiver accept.
//
// The caller owns header and body.
func (e *Event) Structured() (http.Header, []byte) {
	out := make([]byte, 0, len(e.body)+512)
	out = append(out, '{')
	for _, a := range e.attributes() { // Parse has checked that they are valid UTF-8, so quoting them can't fail.
		out, _ = jsontext.AppendQuote(out, a.name)
		out = append(out, ':')
		out, _ = jsontext.AppendQuote(out, a.value)
		out = append(out, ',')
	}
	out = append(out, `"datacontenttype":"`+jsonType+`","data":`...)
	out = append(out, e.body...)
	return http.Header{"Content-Type": {structuredType}}, append(out, '}')
}

// Decode reads a CDEvent from an HTTP message. The Content-Type selects the
// mode. Decode is strict:
//
//   - The attributes that CloudEvents require must be present.
//   - Each header must occur once.
//   - specversion must be 1.0.
//   - All attributes that the CDEvent also has must equal its own. Otherwise
//     the error is [ErrMismatch].
//
// In binary mode no signature of the body covers the ce- headers, so nothing in
// the result comes from them.
//
// A batch gives [ErrBatch], and another Content-Type [ErrContentType]. All
// other errors wrap [payload.ErrInvalid]. Decode does not limit the length of
// body, so limit it before the call. It keeps no reference to its arguments.
func Decode(h http.Header, body []byte) (*Event, error) {
	structured, err := mode(h)
	if err != nil {
		return nil, err
	}
	headers, err := readHeaders(h)
	if err != nil {
		return nil, err
	}
	if structured {
		return decodeStructured(headers, body)
	}
	if err := requireAttributes("ce-", headers); err != nil {
		return nil, err
	}
	e, err := Parse(body)
	if err != nil {
		return nil, err
	}
	if err := e.agree("ce-", headers); err != nil {
		return nil, err
	}
	return e, nil
}

// mode tells structured from binary mode by the Content-Type prefixes that the
// binding defines.
func mode(h http.Header) (structured bool, err error) {
	var values []string
	for name, list := range h {
		if strings.EqualFold(name, "Content-Type") {
			values = append(values, list...)
		}
	}
	if len(values) != 1 {
		return false, ErrContentType
	}
	kind := essence(values[0])
	switch {
	case strings.HasPrefix(kind, batchPrefix):
		return false, ErrBatch
	case kind == structuredType:
		return true, nil
	case kind != jsonType: // CloudEvents in other formats, and everything else
		return false, ErrContentType
	default:
		return false, nil
	}
}

// essence returns a media type without its parameters. They do not matter,
// because JSON is always UTF-8 (RFC 8259, sections 8.1 and 11).
func essence(mediaType string) string {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	return strings.ToLower(strings.Trim(mediaType, " \t"))
}

// readHeaders decodes the ce- headers of the attributes that a CDEvent has. It
// ignores extensions. It compares names without regard to case, because a map
// that did not come from a server may use any case.
func readHeaders(h http.Header) (map[string]string, error) {
	var f failures
	attributes := make(map[string]string, 6)
	for name, values := range h {
		name = strings.ToLower(name)
		short, ok := strings.CutPrefix(name, "ce-")
		if short == "datacontenttype" && ok {
			f.add(name, "must not be sent; set Content-Type instead")
		}
		if !ok || !slices.Contains(names[:], short) {
			continue
		}
		if _, seen := attributes[short]; seen || len(values) != 1 {
			f.add(name, onceOnly)
			continue
		}
		value, ok := decodeHeader(values[0])
		if !ok {
			f.add(name, percentEncode)
		}
		attributes[short] = value
	}
	slices.SortFunc(f, func(a, b payload.Failure) int { return strings.Compare(a.Path, b.Path) })
	return attributes, f.err()
}

var names = [...]string{"specversion", "id", "source", "type", "subject", "time"}

// requireAttributes checks for the attributes that CloudEvents 1.0.2, section
// 3.1.1, requires.
func requireAttributes(prefix string, attributes map[string]string) error {
	var f failures
	for _, name := range names[:4] {
		f.require(prefix+name, attributes[name])
	}
	return f.err()
}

// agree compares the attributes that are present with the CDEvent.
func (e *Event) agree(prefix string, attributes map[string]string) error {
	var f failures
	for _, own := range e.attributes() {
		value, ok := attributes[own.name]
		switch {
		case !ok || value == own.value:
		case own.name == "specversion":
			return invalid(prefix+own.name, "must be 1.0")
		case own.name == "time":
			t, valid := parseTimestamp(value)
			if !valid {
				return invalid(prefix+own.name, rfc3339)
			}
			if !t.Equal(e.occurred) {
				f.add(prefix+own.name, differsFrom+own.member)
			}
		default:
			f.add(prefix+own.name, differsFrom+own.member)
		}
	}
	return mismatch(f)
}

// envelope is a CloudEvent in JSON. The fields are pointers because a null
// attribute counts as absent (JSON event format 1.0.2, section 2.2). Extensions
// are skipped.
type envelope struct {
	SpecVersion     *text          `json:"specversion"`
	ID              *text          `json:"id"`
	Source          *text          `json:"source"`
	Type            *text          `json:"type"`
	Subject         *text          `json:"subject"`
	Time            *text          `json:"time"`
	DataContentType *text          `json:"datacontenttype"`
	DataSchema      *text          `json:"dataschema"`
	Data            jsontext.Value `json:"data"`
	DataBase64      *text          `json:"data_base64"`
}

func (v *envelope) attributes() map[string]string {
	attributes := make(map[string]string, 6)
	for i, value := range []*text{v.SpecVersion, v.ID, v.Source, v.Type, v.Subject, v.Time} {
		if value != nil {
			attributes[names[i]] = string(*value)
		}
	}
	return attributes
}

func decodeStructured(headers map[string]string, body []byte) (*Event, error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, invalid("", "must be a JSON object")
	}
	var v envelope
	if err := read(body, &v); err != nil {
		return nil, err
	}
	attributes := v.attributes()
	if err := requireAttributes("", attributes); err != nil {
		return nil, err
	}
	data, err := v.data()
	if err != nil {
		return nil, err
	}
	e, err := Parse(data)
	if err != nil {
		return nil, at("data", err)
	}
	// Headers may repeat the attributes, and proxies route by them.
	if err := errors.Join(e.agree("", attributes), e.agree("ce-", headers)); err != nil {
		return nil, err
	}
	return e, nil
}

// data returns the CDEvent.
func (v *envelope) data() ([]byte, error) {
	switch {
	case v.DataContentType != nil && !isJSON(string(*v.DataContentType)):
		return nil, invalid("datacontenttype", "must be application/json")
	case v.Data != nil && v.DataBase64 != nil:
		return nil, invalid("data", "must not come together with data_base64")
	case v.DataBase64 != nil:
		data, err := base64.StdEncoding.Strict().DecodeString(string(*v.DataBase64))
		if err != nil {
			return nil, invalid("data_base64", "must be base64")
		}
		return data, nil
	case v.Data == nil:
		return nil, invalid("data", isRequired)
	default:
		return v.Data, nil
	}
}
