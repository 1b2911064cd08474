package cdevents

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// SpecVersion is the version of the CDEvents specification in which this
// package writes events. It reads 0.3, 0.4, 0.5 and the draft of 0.6.
const SpecVersion = "0.5.1"

// An Event is one CDEvent: the JSON document, kept byte for byte, and the
// values read from it. It is immutable and safe for concurrent use. Create one
// with [FromDeployment], [FromEvent], [Decode] or [Parse]. The zero Event is
// empty and cannot be sent.
type Event struct {
	body []byte
	doc  document
	// kind is subject and predicate, such as "service.deployed". It is "" for a
	// custom event.
	kind     string
	spec     spec
	occurred time.Time
}

// document is a CDEvent as the JSON Schemas of all versions describe it. They
// allow no other members. spec handles the members that only some versions
// have.
type document struct {
	Context struct {
		SpecVersion text           `json:"specversion"`
		Version     text           `json:"version,omitzero"`
		ID          text           `json:"id"`
		Source      text           `json:"source"`
		Type        text           `json:"type"`
		Timestamp   text           `json:"timestamp"`
		SchemaURI   text           `json:"schemaUri,omitzero"`
		ChainID     text           `json:"chainId,omitzero"`
		Links       jsontext.Value `json:"links,omitzero"`
	} `json:"context"`
	Subject struct {
		ID      text           `json:"id"`
		Source  text           `json:"source,omitzero"`
		Type    text           `json:"type,omitzero"`
		Content jsontext.Value `json:"content"`
	} `json:"subject"`
	CustomData            jsontext.Value `json:"customData,omitzero"`
	CustomDataContentType text           `json:"customDataContentType,omitzero"`
}

// Parse reads a CDEvent without a CloudEvents envelope, or whose envelope was
// already processed. It checks what the schemas of the event's version require
// of every event:
//
//   - the members of context and subject and their types
//   - no other members and no duplicate names
//   - valid UTF-8
//
// [Event.Deployment] and [Event.Event] check the parts of the subject's content
// that they need. Parse does not limit the length of data, so limit it before
// the call.
//
// Errors wrap [payload.ErrInvalid]. Parse keeps no reference to data.
func Parse(data []byte) (*Event, error) {
	e := &Event{body: bytes.Clone(bytes.Trim(data, " \t\r\n"))}
	if len(e.body) == 0 || e.body[0] != '{' {
		return nil, invalid("", "must be a JSON object")
	}
	if err := read(e.body, &e.doc, json.RejectUnknownMembers(true)); err != nil {
		return nil, unknownVersion(e.body, err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e, nil
}

// check applies the rules for all events and sets the fields that depend on
// them.
func (e *Event) check() error {
	var f failures
	c, s := &e.doc.Context, &e.doc.Subject
	var known bool
	if e.spec, known = specOf(c.SpecVersion, c.Version, &f); !known {
		return f.err()
	}
	f.attribute("context.id", c.ID)
	f.attribute("context.source", c.Source)
	f.reference("context.source", c.Source)
	f.attribute("context.type", c.Type)
	kind, ok := parseType(string(c.Type))
	if !ok {
		f.add("context.type", "must be dev.cdevents.<subject>.<predicate>.<version> or a dev.cdeventsx one")
	}
	e.kind = kind
	e.spec.check(e, &f)
	f.require("context.timestamp", string(c.Timestamp))
	if e.occurred, ok = parseTimestamp(string(c.Timestamp)); !ok {
		f.add("context.timestamp", rfc3339)
	}
	if c.Links != nil && c.Links.Kind() != '[' {
		f.add("context.links", "must be an array")
	}
	f.attribute("subject.id", s.ID)
	f.reference("subject.source", s.Source)
	if s.Content.Kind() != '{' {
		f.add("subject.content", mustBeObject)
	}
	if kind := e.doc.CustomData.Kind(); e.doc.CustomData != nil && kind != '{' && kind != '"' {
		f.add("customData", "must be an object or a string in base64")
	}
	return f.err()
}

// attribute checks a required member that becomes a CloudEvents attribute.
func (f *failures) attribute(path string, value text) {
	f.require(path, string(value))
	if !isClean(string(value)) {
		f.add(path, cleanText)
	}
}

func (f *failures) reference(path string, value text) {
	if value != "" && !isURIReference(string(value)) {
		f.add(path, uriReference)
	}
}

// parseTimestamp reads only RFC 3339, which the schemas and CloudEvents call
// "date-time".
func parseTimestamp(s string) (time.Time, bool) {
	var strict time.Time
	if err := strict.UnmarshalText([]byte(s)); err != nil {
		return time.Time{}, false
	}
	// ParseTime limits the year, so that the time can be written again.
	t, err := payload.ParseTime(s)
	return t, err == nil
}

// ID returns the event's ID, which is unique together with Source. Two events
// with the same ID and Source are the same event (CloudEvents 1.0.2, section
// 3.1.1).
func (e *Event) ID() string { return string(e.doc.Context.ID) }

// Source returns the URI-reference of the event's producer.
func (e *Event) Source() string { return string(e.doc.Context.Source) }

// Type returns the full type, such as "dev.cdevents.service.deployed.0.3.0".
func (e *Event) Type() string { return string(e.doc.Context.Type) }

// Time returns the time of the event in UTC.
func (e *Event) Time() time.Time { return e.occurred }

// ChainID returns the ID that the events of one chain share. It may be empty.
// In the events of this package it is the deployment's ID.
func (e *Event) ChainID() string { return string(e.doc.Context.ChainID) }

// Subject returns the ID of the event's subject. It is the service in a service
// event, and the run in a pipelinerun event.
func (e *Event) Subject() string { return string(e.doc.Subject.ID) }

// JSON returns a copy of the CDEvent, without a CloudEvents envelope.
func (e *Event) JSON() []byte { return bytes.Clone(e.body) }

// String returns type, source and ID.
func (e *Event) String() string { return e.Type() + " " + e.Source() + " " + e.ID() }
