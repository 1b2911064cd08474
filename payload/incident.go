package payload

import (
	"bytes"
	"time"
)

// An Incident is the record of one incident: JSON with camelCase names. Sending
// a record with the same IncidentID again updates it.
//
// IncidentID is required, and so is OpenedAt or ResolvedAt. An empty string and
// a zero time mean that the member is absent. Members without a field are kept
// in Extra and written back on encoding.
type Incident struct {
	// IncidentID is the incident system's own ID. It has 1 to 255 characters
	// and no control characters. JSON name "incidentId". Required.
	IncidentID string
	// OpenedAt is the start of the incident. A record of the end may lack it. JSON
	// name "openedAt".
	OpenedAt time.Time
	// ResolvedAt is the time at which service was restored. It is absent while
	// the incident is open. One before OpenedAt means that the incident was
	// opened again. JSON name "resolvedAt".
	ResolvedAt time.Time
	// UpdatedAt is the time of the incident system's last change to the
	// incident. The record with the later UpdatedAt is newer. If UpdatedAt is
	// absent, it is ResolvedAt, or else OpenedAt. JSON name "updatedAt".
	UpdatedAt time.Time
	// Service is the affected service. JSON name "service", up to 1024
	// characters.
	Service string
	// Environment is the affected environment. JSON name "environment", up to
	// 1024 characters.
	Environment string
	// DeploymentID is the deployment that caused the incident, if known. JSON
	// name "deploymentId".
	DeploymentID string
	// URL is the page of the incident. Encoding and decoding clean it with
	// [CleanURL]. JSON name "url".
	URL string
	// Title is a text for people. JSON name "title", up to 1024 characters.
	Title string
	// Extra holds the members that have no field above, exactly as they were
	// written.
	Extra Object
	// Dropped lists the members that decoding left out because their values
	// were unusable. Encoding ignores it.
	Dropped []Failure
}

// DecodeIncident reads an incident from JSON and validates it, by the rules of
// [DecodeDeployment]. The members url and title are informational.
func DecodeIncident(data []byte) (*Incident, error) {
	i := new(Incident)
	dropped, err := decode(data, i)
	if err != nil {
		return nil, err
	}
	i.Dropped = dropped
	return i, nil
}

// UnmarshalJSON implements json.Unmarshaler with [DecodeIncident]. It replaces
// the whole incident, and leaves it unchanged on error.
func (i *Incident) UnmarshalJSON(data []byte) error {
	decoded, err := DecodeIncident(data)
	if err == nil {
		*i = *decoded
	}
	return err
}

func (i *Incident) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "incidentId":
			i.IncidentID = r.string()
		case "openedAt":
			i.OpenedAt = r.time()
		case "resolvedAt":
			i.ResolvedAt = r.time()
		case "updatedAt":
			i.UpdatedAt = r.time()
		case "service":
			i.Service = r.string()
		case "environment":
			i.Environment = r.string()
		case "deploymentId":
			i.DeploymentID = r.string()
		case "url":
			i.URL = r.link()
		case "title":
			i.Title = r.informs()
		default:
			r.unknown(&extra)
		}
	}
	i.Extra = extra.object()
}

// Validate returns everything that is wrong with the incident as a
// [*ValidationError], or nil.
func (i *Incident) Validate() error {
	var f failures
	i.check(&f)
	return f.err()
}

func (i *Incident) check(f *failures) {
	f.id("incidentId", i.IncidentID)
	if i.OpenedAt.IsZero() && i.ResolvedAt.IsZero() {
		f.add("openedAt", isRequired)
	}
	f.date("openedAt", i.OpenedAt)
	f.date("resolvedAt", i.ResolvedAt)
	f.date("updatedAt", i.UpdatedAt)
	f.short("service", i.Service, maxName)
	f.short("environment", i.Environment, maxName)
	if i.DeploymentID != "" {
		f.id("deploymentId", i.DeploymentID)
	}
	f.url("url", i.URL)
	f.short("title", i.Title, maxName)
	f.extra("", i.Extra, isIncidentField)
}

func isIncidentField(name string) bool {
	switch name {
	case "incidentId", "openedAt", "resolvedAt", "updatedAt", "service", "environment", "deploymentId", "url", "title":
		return true
	default:
		return false
	}
}

// Encode validates the incident and returns it as JSON. Members come in the
// order of the fields, followed by those in Extra. Absent members are left out.
// The error for an invalid incident is a [*ValidationError].
func (i *Incident) Encode() ([]byte, error) {
	if err := i.Validate(); err != nil {
		return nil, err
	}
	w := writer{make([]byte, 0, 256)}
	i.write(&w)
	return w.out, nil
}

// Equal reports whether two incidents encode to the same bytes. It ignores
// Dropped.
func (i *Incident) Equal(other *Incident) bool {
	var a, b writer
	i.write(&a)
	other.write(&b)
	return bytes.Equal(a.out, b.out)
}

// MarshalJSON implements json.Marshaler with [Incident.Encode].
func (i Incident) MarshalJSON() ([]byte, error) { return i.Encode() }

func (i *Incident) write(w *writer) {
	w.begin()
	w.string("incidentId", i.IncidentID)
	w.time("openedAt", i.OpenedAt)
	w.time("resolvedAt", i.ResolvedAt)
	w.time("updatedAt", i.UpdatedAt)
	w.string("service", i.Service)
	w.string("environment", i.Environment)
	w.string("deploymentId", i.DeploymentID)
	w.link("url", i.URL)
	w.string("title", i.Title)
	w.end(i.Extra)
}
