package payload

import (
	"bytes"
	"time"
)

// An Incident is the record of one incident: JSON with names in camelCase.
// Sending a record with the same IncidentID again updates it.
//
// IncidentID and OpenedAt are required. For strings, empty means absent.
// Members that have no field here are kept in Extra and come out again on
// encoding.
type Incident struct {
	// IncidentID is the incident system's own ID: 1 to 255 characters, none of them
	// a control character. JSON name "incidentId". Required.
	IncidentID string
	// OpenedAt is when the incident began. JSON name "openedAt". Required.
	OpenedAt time.Time
	// ResolvedAt is when service was restored. Absent while the incident is open.
	// It is not before OpenedAt. JSON name "resolvedAt".
	ResolvedAt time.Time
	// UpdatedAt is when the incident system last changed the incident. It decides
	// which of two records is the newer one. Absent, it is ResolvedAt, or else
	// OpenedAt. JSON name "updatedAt".
	UpdatedAt time.Time
	// Service is what the incident affects. JSON name "service", up to 1024
	// characters.
	Service string
	// Environment is where. JSON name "environment", up to 1024 characters.
	Environment string
	// DeploymentID is the deployment that caused the incident, if that is known.
	// JSON name "deploymentId".
	DeploymentID string
	// URL is where the incident is described. Encoding and decoding clean it as
	// CleanURL does. JSON name "url".
	URL string
	// Title is for people. JSON name "title", up to 1024 characters.
	Title string
	// Extra are the members that have no field above, as they were written.
	Extra Object
	// Dropped lists the members that decoding left out because it could not keep
	// them. Encoding ignores it.
	Dropped []Failure
}

// DecodeIncident reads an incident from JSON and validates it, by the rules of
// [DecodeDeployment]. The members url and title only inform.
func DecodeIncident(data []byte) (*Incident, error) {
	i := new(Incident)
	dropped, err := decode(data, i)
	if err != nil {
		return nil, err
	}
	i.Dropped = dropped
	return i, nil
}

// UnmarshalJSON is [DecodeIncident] for json.Unmarshal. It replaces the whole
// incident, and leaves it alone on error.
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

// Validate reports everything that is wrong with the incident, as a
// [*ValidationError], or nil.
func (i *Incident) Validate() error {
	var f failures
	i.check(&f)
	return f.err()
}

func (i *Incident) check(f *failures) {
	f.id("incidentId", i.IncidentID)
	if i.OpenedAt.IsZero() {
		f.add("openedAt", isRequired)
	}
	f.date("openedAt", i.OpenedAt)
	f.date("resolvedAt", i.ResolvedAt)
	if !i.ResolvedAt.IsZero() && i.ResolvedAt.Before(i.OpenedAt) {
		f.add("resolvedAt", "must not be before openedAt")
	}
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
// order of the fields, absent ones are left out, those in Extra follow. An
// invalid incident is a [*ValidationError].
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

// MarshalJSON is [Incident.Encode] for json.Marshal.
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
