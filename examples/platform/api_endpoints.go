package main

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// endpoint is an endpoint in an answer. It has no URL, because the URL may be a
// credential. Its owner can ask for it with getURL.
type endpoint struct {
	ID             string            `json:"id"`
	App            string            `json:"app"`
	Host           string            `json:"host"`
	Description    string            `json:"description,omitempty"`
	Format         string            `json:"format"`
	Scheme         string            `json:"scheme"`
	Events         []string          `json:"events,omitempty"`
	Headers        []string          `json:"headers,omitempty"` // only the names
	TimeoutSeconds float64           `json:"timeout_seconds,omitzero"`
	Schedule       string            `json:"schedule,omitempty"`
	MaxConcurrency int               `json:"max_concurrency,omitzero"`
	RateLimit      float64           `json:"rate_limit,omitzero"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	State          string            `json:"state"`
	Reason         string            `json:"reason,omitempty"`
	FailingSince   *time.Time        `json:"failing_since,omitempty"`
	DisabledAt     *time.Time        `json:"disabled_at,omitempty"`
	CreatedAt      time.Time         `json:"created_at"`
}

func shown(e outbox.Endpoint) endpoint {
	return endpoint{
		ID: e.ID, App: e.App, Host: e.Host, Description: e.Description, Format: e.BodyFormat, Scheme: string(e.Scheme), Events: e.Events,
		Headers: e.HeaderNames, TimeoutSeconds: e.Timeout.Seconds(), Schedule: e.Schedule, MaxConcurrency: e.MaxConcurrency, RateLimit: e.RateLimit,
		Metadata: e.Metadata,
		State:    string(e.State), Reason: e.Reason, FailingSince: optional(e.FailingSince), DisabledAt: optional(e.DisabledAt), CreatedAt: e.CreatedAt,
	}
}

// settings are the settings of an endpoint that customers can change.
type settings struct {
	URL            *string            `json:"url"`
	Description    *string            `json:"description"`
	Format         *string            `json:"format"`
	Events         *[]string          `json:"events"`
	Headers        *map[string]string `json:"headers"`
	TimeoutSeconds *float64           `json:"timeout_seconds"`
	Schedule       *string            `json:"schedule"`
	MaxConcurrency *int               `json:"max_concurrency"`
	RateLimit      *float64           `json:"rate_limit"`
	Metadata       *map[string]string `json:"metadata"`
}

// check finds mistakes that the outbox cannot see after conversion, or would
// report in terms that customers do not know.
func (s settings) check() error {
	seen := map[string]bool{}
	for name := range or(s.Headers) {
		name = http.CanonicalHeaderKey(name)
		if seen[name] {
			return badField(http.StatusUnprocessableEntity, "headers", name+" is given twice; header names ignore upper and lower case")
		}
		seen[name] = true
	}
	if t := or(s.TimeoutSeconds); !(t >= 0 && t <= outbox.DefaultMaxTimeout.Seconds()) {
		return badField(http.StatusUnprocessableEntity, "timeout_seconds", fmt.Sprintf("want 0 for the default, or up to %v", outbox.DefaultMaxTimeout.Seconds()))
	}
	return nil
}

func (s settings) url() *sender.URL {
	if s.URL == nil {
		return nil
	}
	return new(sender.NewURL(*s.URL))
}

func (s settings) header() *sender.Header {
	if s.Headers == nil {
		return nil
	}
	h := http.Header{}
	for name, value := range *s.Headers {
		h.Set(name, value)
	}
	return new(sender.NewHeader(h))
}

func (s settings) timeout() *time.Duration {
	if s.TimeoutSeconds == nil {
		return nil
	}
	return new(seconds(*s.TimeoutSeconds))
}

// seconds converts a number to a duration. Numbers out of range become the
// longest or shortest duration, which every limit refuses.
func seconds(f float64) time.Duration {
	switch d := f * float64(time.Second); {
	case d >= math.MaxInt64:
		return math.MaxInt64
	case d <= math.MinInt64:
		return math.MinInt64
	default:
		return time.Duration(d)
	}
}

// or returns the value that p points to, or the zero value.
func or[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (p *platform) createEndpoint(r *http.Request) (int, any, error) {
	in, err := read[struct {
		settings        `json:",inline"`
		Scheme          string `json:"scheme"`
		SignatureHeader string `json:"signature_header"`
		Secret          string `json:"secret"`
		Disabled        bool   `json:"disabled"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	if err := in.check(); err != nil {
		return 0, nil, err
	}
	// Apps are registered by their name, not by their first endpoint.
	if _, err := p.app(r); err != nil {
		return 0, nil, err
	}
	e, secret, err := p.customer(r).CreateEndpoint(r.Context(), outbox.EndpointConfig{
		URL: or(in.url()), Description: or(in.Description), BodyFormat: or(in.Format), Scheme: outbox.Scheme(in.Scheme),
		SignatureHeader: in.SignatureHeader, Secret: outbox.NewSecret(in.Secret), Events: or(in.Events), Header: or(in.header()), Timeout: or(in.timeout()),
		Schedule: or(in.Schedule), MaxConcurrency: or(in.MaxConcurrency), RateLimit: or(in.RateLimit),
		Metadata: or(in.Metadata), Disabled: in.Disabled,
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, struct {
		Endpoint endpoint `json:"endpoint"`
		Secret   string   `json:"secret,omitempty"` // only in this answer
	}{shown(e), secret.Reveal()}, nil
}

func (p *platform) listEndpoints(r *http.Request) (int, any, error) {
	found, err := p.customer(r).Endpoints(r.Context())
	if err != nil {
		return 0, nil, err
	}
	out := []endpoint{}
	for _, e := range found {
		out = append(out, shown(e))
	}
	return http.StatusOK, map[string]any{"endpoints": out}, nil
}

func (p *platform) getEndpoint(r *http.Request) (int, any, error) {
	e, err := p.customer(r).Endpoint(r.Context(), r.PathValue("id"))
	return http.StatusOK, shown(e), err
}

func (p *platform) getURL(r *http.Request) (int, any, error) {
	url, err := p.customer(r).EndpointURL(r.Context(), r.PathValue("id"))
	return http.StatusOK, map[string]string{"url": url.Reveal()}, err
}

func (p *platform) updateEndpoint(r *http.Request) (int, any, error) {
	in, err := read[settings](r)
	if err == nil {
		err = in.check()
	}
	if err != nil {
		return 0, nil, err
	}
	e, err := p.customer(r).UpdateEndpoint(r.Context(), r.PathValue("id"), outbox.EndpointUpdate{
		URL: in.url(), Description: in.Description, BodyFormat: in.Format, Events: in.Events, Header: in.header(), Timeout: in.timeout(),
		Schedule: in.Schedule, MaxConcurrency: in.MaxConcurrency, RateLimit: in.RateLimit,
		Metadata: in.Metadata,
	})
	return http.StatusOK, shown(e), err
}

func (p *platform) deleteEndpoint(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, p.customer(r).DeleteEndpoint(r.Context(), r.PathValue("id"))
}

func (p *platform) rotateSecret(r *http.Request) (int, any, error) {
	in, err := read[struct {
		GraceSeconds *float64 `json:"grace_seconds"`
		Secret       string   `json:"secret"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	grace := 24 * time.Hour
	if in.GraceSeconds != nil {
		if !(*in.GraceSeconds >= 0 && *in.GraceSeconds <= 30*24*3600) {
			return 0, nil, badField(http.StatusUnprocessableEntity, "grace_seconds", "want 0 to 2592000, which is 30 days")
		}
		grace = seconds(*in.GraceSeconds)
	}
	secret, err := p.customer(r).RotateSecret(r.Context(), r.PathValue("id"), in.Secret, grace)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, struct {
		Secret       string    `json:"secret,omitempty"`
		OldSecretEnd time.Time `json:"old_secret_end"`
	}{secret.Reveal(), time.Now().UTC().Add(grace)}, nil
}

func (p *platform) testEndpoint(r *http.Request) (int, any, error) {
	d, a, err := p.customer(r).TestEndpoint(r.Context(), r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"delivery": deliveryOf(d), "attempt": attemptOf(a)}, nil
}

func (p *platform) disableEndpoint(r *http.Request) (int, any, error) {
	in, err := read[struct {
		Reason string `json:"reason"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	if in.Reason == "" {
		in.Reason = "disabled by its owner"
	}
	if err := p.customer(r).Disable(r.Context(), r.PathValue("id"), in.Reason); err != nil {
		return 0, nil, err
	}
	return p.getEndpoint(r)
}

func (p *platform) enableEndpoint(r *http.Request) (int, any, error) {
	if err := p.customer(r).Enable(r.Context(), r.PathValue("id")); err != nil {
		return 0, nil, err
	}
	return p.getEndpoint(r)
}
