package payload

import (
	"bytes"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An Envelope is an event in the body that the Standard Webhooks specification
// recommends under "Payload structure":
//
//	{
//		"type": "deploy.live",
//		"timestamp": "2026-03-12T14:22:01Z",
//		"data": {
//			"delivery_id": "whk_…",
//			"deployment_id": "dep_1",
//			"app": "shop",
//			"environment": "production"
//		}
//	}
//
// The members of the event's own form are in these places:
//
//	event's own form          envelope
//	event                     type
//	timestamp                 timestamp
//	every other member        a member of data, under the same name
//
// An event, its envelope and the event again have the same values in every
// member. The specification also allows the members of data at the top level,
// without data. Such a body is not an Envelope.
type Envelope struct {
	// Event is the event. Its Type and Timestamp are the members type and
	// timestamp, and its Extra holds members of data. Required.
	Event Event

	// Extra holds the top-level members other than type, timestamp and data,
	// exactly as they were written. The specification allows a sender to add
	// such members. None of them is a member of the event.
	Extra Object
}

// The messages for members that contradict each other.
const (
	sameAsType      = "must be the same as type, or left out"
	sameAsTimestamp = "must be the same time as timestamp, or left out"
	noFlatEvent     = "must not be next to type and data, because it makes the body an event without an envelope"
	eitherForm      = "must have the member event, or the members type, timestamp and data of an envelope"
)

// DecodeEnvelope reads an event in an [Envelope] and validates it, by the rules
// of [DecodeEvent]. It accepts no other form of an event:
//
//   - type, timestamp and data are required, and data is an object.
//   - The members event and timestamp of data are optional, for senders that
//     put a whole event into data. Each must have the same value as type and
//     timestamp. If it has another value, the body is invalid.
//   - A top-level member event is an error. No document is therefore both an
//     envelope and an event that [DecodeEvent] accepts.
//
// The paths in errors and in Event.Dropped are those of the envelope, such as
// data.commit.sha.
func DecodeEnvelope(data []byte) (*Envelope, error) {
	var doc envelopeDocument
	dropped, err := decode(data, &doc)
	if err != nil {
		return nil, err
	}
	doc.envelope.Event.Dropped = dropped
	return &doc.envelope, nil
}

// DecodeEventOrEnvelope reads an event in either of its forms, for receivers
// whose senders differ, or change from one form to the other. The names of the
// top-level members decide, and nothing else:
//
//	top-level members          form
//	event                      the event's own, see [DecodeEvent]
//	type and no event          an envelope, see [DecodeEnvelope]
//	neither event nor type     invalid
//
// So event wins over type. A body that DecodeEvent accepts gives the same event
// here. envelope is nil for an event in its own form, and otherwise the
// returned event is its field.
func DecodeEventOrEnvelope(data []byte) (event *Event, envelope *Envelope, err error) {
	switch formOf(data) {
	case inEnvelope:
		if envelope, err = DecodeEnvelope(data); err != nil {
			return nil, nil, err
		}
		return &envelope.Event, envelope, nil
	case inNeither:
		return nil, nil, whole(eitherForm)
	default:
		event, err = DecodeEvent(data)
		return event, nil, err
	}
}

// form says in which form an event seems to be.
type form int

const (
	inOwnForm  form = iota // or not an object, whose errors DecodeEvent reports
	inEnvelope             // has type, but not event
	inNeither              // an object without both
)

// formOf looks at the names of the top-level members. It does not check
// duplicates, which decoding does.
func formOf(data []byte) form {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
	if start, err := dec.ReadToken(); err != nil || start.Kind() != '{' {
		return inOwnForm
	}
	found := inNeither
	for dec.PeekKind() == '"' {
		name, err := dec.ReadValue()
		if err != nil {
			return inOwnForm
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			name = jsontext.Value(`"` + unquote(string(name)) + `"`)
		}
		switch string(name) { // without an allocation
		case `"event"`:
			return inOwnForm
		case `"type"`:
			found = inEnvelope
		}
		if dec.SkipValue() != nil {
			return inOwnForm
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return inOwnForm
	}
	return found
}

// Validate returns everything that is wrong with the envelope as a
// [*ValidationError], or nil.
func (v *Envelope) Validate() error {
	var f failures
	v.check(&f)
	return f.err()
}

func (v *Envelope) check(f *failures) {
	var inner failures
	v.Event.checkAs(&inner, "type")
	for _, failure := range inner.list {
		f.add(envelopePath(failure.Path), failure.Message)
	}
	f.omitted += inner.omitted
	for name := range v.Extra.All() {
		switch name {
		case "type", "timestamp", "data":
			f.add(name, hasField)
		case "event":
			f.add(name, noFlatEvent)
		}
	}
}

// envelopePath returns the place of an event's member in an envelope.
func envelopePath(path string) string {
	switch {
	case path == "event":
		return "type"
	case path == "timestamp":
		return path
	case strings.HasPrefix(path, "["):
		return "data" + path
	default:
		return "data." + path
	}
}

// Encode validates the envelope and returns the JSON bytes to sign and send:
// type, timestamp, data, and then the members in Extra. The members of data
// come in the order of [Event.Encode]. Decoding the result gives an equal
// envelope, and encoding that one gives the same bytes.
//
// The error for an invalid envelope is a [*ValidationError].
func (v *Envelope) Encode() ([]byte, error) {
	if err := v.Validate(); err != nil {
		return nil, err
	}
	w := writer{make([]byte, 0, v.Event.sizeHint()+len(v.Extra.text))}
	w.begin()
	w.string("type", string(v.Event.Type))
	w.time("timestamp", v.Event.Timestamp)
	w.name("data")
	w.begin()
	v.Event.writeData(&w)
	w.end(v.Extra)
	return w.out, nil
}

// MarshalJSON implements json.Marshaler with [Envelope.Encode], as
// [Event.MarshalJSON] does.
func (v Envelope) MarshalJSON() ([]byte, error) { return v.Encode() }

// UnmarshalJSON implements json.Unmarshaler with [DecodeEnvelope]. It replaces
// the whole envelope, and leaves it unchanged on error.
func (v *Envelope) UnmarshalJSON(data []byte) error {
	decoded, err := DecodeEnvelope(data)
	if err == nil {
		*v = *decoded
	}
	return err
}

// envelopeDocument is an envelope that is being decoded. The Type and Timestamp
// of its event are those in data until check replaces them.
type envelopeDocument struct {
	envelope Envelope
	typ      Type
	at       time.Time
	hasData  bool
	flat     bool // it has a top-level member event
}

func (d *envelopeDocument) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "type":
			d.typ = Type(r.string())
		case "timestamp":
			d.at = r.time()
		case "data":
			d.hasData = r.enterBase()
			if d.hasData {
				d.envelope.Event.read(r)
				r.leaveBase()
			}
		case "event":
			d.flat = true
			r.value()
		default:
			r.unknown(&extra)
		}
	}
	d.envelope.Extra = extra.object()
}

func (d *envelopeDocument) check(f *failures) {
	e := &d.envelope.Event
	if d.flat {
		f.add("event", noFlatEvent)
	}
	if e.Type != "" && e.Type != d.typ {
		f.add("data.event", sameAsType)
	}
	if !e.Timestamp.IsZero() && !e.Timestamp.Equal(d.at) {
		f.add("data.timestamp", sameAsTimestamp)
	}
	e.Type, e.Timestamp = d.typ, d.at
	if d.hasData {
		d.envelope.check(f)
		return
	}
	f.require("type", string(d.typ))
	if d.at.IsZero() {
		f.add("timestamp", isRequired)
	}
	f.add("data", isRequired)
}
