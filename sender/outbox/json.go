package outbox

import (
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// The JSON form of what this package returns is that of the management API.
// Names are in snake case, absent times are left out, and empty lists are [].
// Texts for the operator are not part of it, such as Delivery.LastError and
// Attempt.Addr. What a customer may see of a failure is its Problem.

// array is never null in JSON.
func array[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

type endpointJSON struct {
	ID                string            `json:"id"`
	App               string            `json:"app"`
	Host              string            `json:"host"`
	Description       string            `json:"description"`
	BodyFormat        string            `json:"body_format"`
	Scheme            Scheme            `json:"scheme"`
	SignatureHeader   string            `json:"signature_header,omitempty"`
	Events            []string          `json:"events"`
	HeaderNames       []string          `json:"header_names"`
	ClientCertificate *certificateEnd   `json:"client_certificate,omitempty"`
	TimeoutSeconds    float64           `json:"timeout_seconds,omitempty"`
	Schedule          string            `json:"schedule"`
	MaxConcurrency    int               `json:"max_concurrency,omitempty"`
	RateLimit         float64           `json:"rate_limit,omitempty"`
	Metadata          map[string]string `json:"metadata"`
	Version           int64             `json:"version"`
	State             EndpointState     `json:"state"`
	Reason            string            `json:"reason,omitempty"`
	FailingSince      time.Time         `json:"failing_since,omitzero"`
	BreakerOpenUntil  time.Time         `json:"breaker_open_until,omitzero"`
	DisabledAt        time.Time         `json:"disabled_at,omitzero"`
	CreatedAt         time.Time         `json:"created_at"`
	UpdatedAt         time.Time         `json:"updated_at"`
}

type certificateEnd struct {
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"not_after"`
}

// MarshalJSON returns the form of the management API.
func (e Endpoint) MarshalJSON() ([]byte, error) {
	out := endpointJSON{
		ID: e.ID, App: e.App, Host: e.Host, Description: e.Description, BodyFormat: e.BodyFormat, Scheme: e.Scheme,
		SignatureHeader: e.SignatureHeader, Events: array(e.Events), HeaderNames: array(e.HeaderNames), TimeoutSeconds: e.Timeout.Seconds(),
		Schedule: e.Schedule, MaxConcurrency: e.MaxConcurrency, RateLimit: e.RateLimit, Metadata: e.Metadata, Version: e.Version,
		State: e.State, Reason: e.Reason, FailingSince: e.FailingSince, BreakerOpenUntil: e.BreakerOpenUntil, DisabledAt: e.DisabledAt,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	if !e.CertificateNotAfter.IsZero() {
		out.ClientCertificate = &certificateEnd{e.CertificateSubject, e.CertificateNotAfter}
	}
	return json.Marshal(out)
}

// problemJSON is nil if there is no problem.
func problemJSON(p sender.Problem) *problemText {
	if p.Code == "" {
		return nil
	}
	return &problemText{p.Code, p.Text}
}

type problemText struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

type deliveryJSON struct {
	ID           string       `json:"id"`
	EventID      string       `json:"event_id"`
	App          string       `json:"app"`
	Endpoint     string       `json:"endpoint"`
	Type         payload.Type `json:"type"`
	DeploymentID string       `json:"deployment_id"`
	State        State        `json:"state"`
	Attempts     int          `json:"attempts"`
	Replays      int          `json:"replays"`
	CreatedAt    time.Time    `json:"created_at"`
	NextAt       time.Time    `json:"next_at,omitzero"`
	DoneAt       time.Time    `json:"done_at,omitzero"`
	LastStatus   int          `json:"last_status,omitempty"`
	LastClass    sender.Class `json:"last_class,omitempty"`
	Problem      *problemText `json:"problem,omitempty"`
	ContentType  string       `json:"content_type"`
	bodyJSON
}

// bodyJSON is a body as text, or in base64 if it is no text.
type bodyJSON struct {
	Body       string `json:"body,omitempty"`
	BodyBase64 []byte `json:"body_base64,omitempty"`
}

func newBodyJSON(body []byte) (b bodyJSON) {
	if utf8.Valid(body) {
		b.Body = string(body)
	} else {
		b.BodyBase64 = body
	}
	return b
}

// MarshalJSON returns the form of the management API.
func (d Delivery) MarshalJSON() ([]byte, error) {
	return json.Marshal(deliveryJSON{
		ID: d.ID, EventID: d.EventID, App: d.App, Endpoint: d.Endpoint, Type: d.Type, DeploymentID: d.DeploymentID, State: d.State,
		Attempts: d.Attempts, Replays: d.Replays, CreatedAt: d.CreatedAt, NextAt: d.NextAt, DoneAt: d.DoneAt,
		LastStatus: d.LastStatus, LastClass: d.LastClass, Problem: problemJSON(d.Problem()), ContentType: d.ContentType,
		bodyJSON: newBodyJSON(d.Body),
	})
}

type attemptJSON struct {
	DeliveryID        string         `json:"delivery_id"`
	Number            int            `json:"number"`
	StartedAt         time.Time      `json:"started_at"`
	Outcome           sender.Outcome `json:"outcome"`
	Class             sender.Class   `json:"class,omitempty"`
	Status            int            `json:"status,omitempty"`
	Problem           *problemText   `json:"problem,omitempty"`
	Timings           timingsJSON    `json:"timings"`
	RetryAfterSeconds float64        `json:"retry_after_seconds,omitempty"`
	Reused            bool           `json:"reused_connection"`
	RequestHeader     http.Header    `json:"request_header"`
	ResponseHeader    http.Header    `json:"response_header"`
	Truncated         bool           `json:"truncated"`
	bodyJSON
}

type timingsJSON struct {
	DNS       float64 `json:"dns_ms"`
	Connect   float64 `json:"connect_ms"`
	TLS       float64 `json:"tls_ms"`
	FirstByte float64 `json:"first_byte_ms"`
	Total     float64 `json:"total_ms"`
}

// MarshalJSON returns the form of the management API.
func (a Attempt) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(attemptJSON{
		DeliveryID: a.DeliveryID, Number: a.Number, StartedAt: a.Start, Outcome: a.Outcome, Class: a.Class, Status: a.Status,
		Problem: problemJSON(a.Problem()),
		Timings: timingsJSON{
			ms(a.Timings.DNS), ms(a.Timings.Connect), ms(a.Timings.TLS), ms(a.Timings.FirstByte), ms(a.Timings.Total),
		},
		RetryAfterSeconds: a.RetryAfter.Seconds(), Reused: a.Reused, RequestHeader: headerJSON(a.RequestHeader),
		ResponseHeader: headerJSON(a.ResponseHeader), Truncated: a.Truncated, bodyJSON: newBodyJSON(a.Body),
	})
}

func headerJSON(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	return h
}

// MarshalJSON returns the form of the management API. The event itself is the
// member payload, which is missing if its body is.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID           string          `json:"id"`
		Type         payload.Type    `json:"type"`
		DeploymentID string          `json:"deployment_id"`
		CreatedAt    time.Time       `json:"created_at"`
		ErasedAt     time.Time       `json:"erased_at,omitzero"`
		Payload      json.RawMessage `json:"payload,omitempty"`
	}{e.ID, e.Type, e.DeploymentID, e.CreatedAt, e.ErasedAt, e.Body})
}

// MarshalJSON returns the form of the management API.
func (p Publication) MarshalJSON() ([]byte, error) {
	type plain Publication
	p.Deliveries = array(p.Deliveries)
	return json.Marshal(plain(p))
}

// MarshalJSON returns the form of the management API.
func (a Apps) MarshalJSON() ([]byte, error) {
	type plain Apps
	a.Items = array(a.Items)
	return json.Marshal(plain(a))
}

// MarshalJSON returns the form of the management API.
func (d Deliveries) MarshalJSON() ([]byte, error) {
	type plain Deliveries
	d.Items = array(d.Items)
	return json.Marshal(plain(d))
}

// MarshalJSON returns the form of the management API.
func (e Events) MarshalJSON() ([]byte, error) {
	type plain Events
	e.Items = array(e.Items)
	return json.Marshal(plain(e))
}

// MarshalJSON returns the form of the management API.
func (r Replays) MarshalJSON() ([]byte, error) {
	type plain Replays
	r.Items = array(r.Items)
	return json.Marshal(plain(r))
}

// MarshalJSON returns the form of the management API.
func (s Stats) MarshalJSON() ([]byte, error) {
	type plain Stats
	s.Endpoints, s.States = array(s.Endpoints), counts(s.States)
	return json.Marshal(plain(s))
}

// MarshalJSON returns the form of the management API.
func (s EndpointStats) MarshalJSON() ([]byte, error) {
	type plain EndpointStats
	s.States = counts(s.States)
	return json.Marshal(plain(s))
}

// counts is never null in JSON.
func counts(m map[State]Count) map[State]Count {
	if m == nil {
		return map[State]Count{}
	}
	return m
}
