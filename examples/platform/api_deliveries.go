package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// delivery is an entry of the delivery log.
type delivery struct {
	ID           string     `json:"id"`
	EventID      string     `json:"event_id"`
	App          string     `json:"app"`
	Endpoint     string     `json:"endpoint"`
	Type         string     `json:"type"`
	DeploymentID string     `json:"deployment_id,omitempty"`
	State        string     `json:"state"`
	Attempts     int        `json:"attempts"`
	Replays      int        `json:"replays,omitzero"`
	CreatedAt    time.Time  `json:"created_at"`
	NextAt       *time.Time `json:"next_at,omitempty"`
	DoneAt       *time.Time `json:"done_at,omitempty"`
	LastStatus   int        `json:"last_status,omitzero"`
	LastClass    string     `json:"last_class,omitempty"`
	ContentType  string     `json:"content_type,omitempty"`
	Body         string     `json:"body,omitempty"` // the exact bytes that are sent
}

func deliveryOf(d outbox.Delivery) delivery {
	return delivery{
		ID: d.ID, EventID: d.EventID, App: d.App, Endpoint: d.Endpoint, Type: string(d.Type), DeploymentID: d.DeploymentID, State: string(d.State),
		Attempts: d.Attempts, Replays: d.Replays, CreatedAt: d.CreatedAt, NextAt: optional(d.NextAt), DoneAt: optional(d.DoneAt),
		LastStatus: d.LastStatus, LastClass: string(d.LastClass), ContentType: d.ContentType, Body: string(d.Body),
	}
}

// attempt is an attempt with the information that explains a failure to
// customers. It omits the error's text and the dialled address, because they
// may name internal hosts.
type attempt struct {
	Number          int                 `json:"number"`
	Start           time.Time           `json:"start"`
	Outcome         string              `json:"outcome"`
	Class           string              `json:"class,omitempty"`
	Status          int                 `json:"status,omitzero"`
	LatencyMS       float64             `json:"latency_ms"`
	TimingsMS       map[string]float64  `json:"timings_ms"`
	RetryAfterMS    float64             `json:"retry_after_ms,omitzero"`
	RequestHeaders  map[string][]string `json:"request_headers"`
	ResponseHeaders map[string][]string `json:"response_headers,omitempty"`
	ResponseBody    string              `json:"response_body,omitempty"`
	Truncated       bool                `json:"response_truncated,omitzero"`
}

func attemptOf(a outbox.Attempt) attempt {
	timings := map[string]float64{}
	for name, d := range map[string]time.Duration{"dns": a.Timings.DNS, "connect": a.Timings.Connect, "tls": a.Timings.TLS, "first_byte": a.Timings.FirstByte} {
		if d > 0 {
			timings[name] = ms(d)
		}
	}
	return attempt{
		Number: a.Number, Start: a.Start, Outcome: string(a.Outcome), Class: string(a.Class), Status: a.Status, LatencyMS: ms(a.Timings.Total),
		TimingsMS: timings, RetryAfterMS: ms(a.RetryAfter), RequestHeaders: a.RequestHeader, ResponseHeaders: a.ResponseHeader,
		ResponseBody: strings.ToValidUTF8(string(a.Body), "\uFFFD"), Truncated: a.Truncated,
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (p *platform) listDeliveries(r *http.Request) (int, any, error) {
	n, err := limit(r)
	if err != nil {
		return 0, nil, err
	}
	if _, err := p.app(r); err != nil {
		return 0, nil, err
	}
	q := r.URL.Query()
	filter, err := filterOf(selection{
		Endpoint: q.Get("endpoint"), Type: q.Get("type"), State: q.Get("state"), DeploymentID: q.Get("deployment_id"),
		Since: q.Get("since"), Until: q.Get("until"),
	})
	if err != nil {
		return 0, nil, err
	}
	page, err := p.customer(r).Deliveries(r.Context(), filter, outbox.Page{Limit: n, Cursor: q.Get("cursor")})
	if err != nil {
		return 0, nil, err
	}
	out := struct {
		Deliveries []delivery `json:"deliveries"`
		Cursor     string     `json:"cursor,omitempty"`
	}{[]delivery{}, page.Next}
	for _, d := range page.Items {
		out.Deliveries = append(out.Deliveries, deliveryOf(d))
	}
	return http.StatusOK, out, nil
}

// selection selects deliveries for the log and for a replay.
type selection struct {
	Endpoint     string `json:"endpoint"`
	Type         string `json:"type"`
	State        string `json:"state"` // comma-separated
	DeploymentID string `json:"deployment_id"`
	Since        string `json:"since"`
	Until        string `json:"until"`
}

func filterOf(s selection) (f outbox.DeliveryFilter, err error) {
	f = outbox.DeliveryFilter{Endpoint: s.Endpoint, Type: payload.Type(s.Type), DeploymentID: s.DeploymentID}
	if s.State != "" {
		for _, state := range strings.Split(s.State, ",") {
			f.States = append(f.States, outbox.State(strings.TrimSpace(state)))
		}
	}
	if f.Since, err = moment("since", s.Since); err != nil {
		return f, err
	}
	f.Until, err = moment("until", s.Until)
	return f, err
}

func (p *platform) getDelivery(r *http.Request) (int, any, error) {
	d, err := p.customer(r).Delivery(r.Context(), r.PathValue("id"))
	return http.StatusOK, deliveryOf(d), err
}

func (p *platform) listAttempts(r *http.Request) (int, any, error) {
	found, err := p.customer(r).Attempts(r.Context(), r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	out := []attempt{}
	for _, a := range found {
		out = append(out, attemptOf(a))
	}
	return http.StatusOK, map[string]any{"attempts": out}, nil
}

func (p *platform) replayDelivery(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if err := p.customer(r).Replay(r.Context(), id); err != nil {
		return 0, nil, err
	}
	d, err := p.customer(r).Delivery(r.Context(), id)
	return http.StatusAccepted, deliveryOf(d), err
}
