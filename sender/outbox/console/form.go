package console

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// endpointForm is the form that creates or changes an endpoint, with what was
// entered.
type endpointForm struct {
	scope
	New     bool
	Key     string // of the creation, so that a repeated form makes one endpoint
	Version string
	Back    string

	URL, Description, Patterns, Scheme, SignatureHeader string
	BodyFormat, Schedule, Timeout, Rate, Concurrency    string
	Chosen                                              []string // event types
	Types                                               []api.EventType
	Schemes                                             []choice
	HeaderNames                                         []string
	// Wrong says what is wrong with a field. The empty field is the whole form.
	Wrong map[string]string
}

// WrongInside reports whether a field is wrong that is among the further
// settings, which are closed otherwise.
func (f endpointForm) WrongInside() bool {
	for field := range f.Wrong {
		switch field {
		case "", "URL", "Description", "Events", "Scheme":
		default:
			return true
		}
	}
	return false
}

type choice struct{ Value, Text string }

// Has reports whether a type is chosen.
func (f endpointForm) Has(name string) bool { return slices.Contains(f.Chosen, name) }

var schemes = []choice{
	{string(outbox.SchemeStandard), "Standard Webhooks, shared secret (recommended)"},
	{string(outbox.SchemeEd25519), "Standard Webhooks, public key (Ed25519)"},
	{string(outbox.SchemeHTTPSig), "HTTP message signatures (RFC 9421)"},
	{string(outbox.SchemeTimestamped), "Hex HMAC of timestamp and body"},
	{string(outbox.SchemeStripe), "Like Stripe's webhooks"},
	{string(outbox.SchemeBearer), "API key of yours in a header"},
	{string(outbox.InsecureUnsigned), "None, for chat services whose URL is the credential"},
}

func (v *view) newForm() endpointForm {
	return endpointForm{scope: v.scope(), New: true, Key: rand.Text(), Types: v.types, Schemes: schemes, Back: strings.TrimSuffix(v.base(), "/")}
}

func (v *view) renderForm(f endpointForm, e outbox.Endpoint, status int) error {
	p := page{template: "endpoint_form.html", title: "Add an endpoint", crumbs: v.crumbs("Endpoints", ""), status: status, data: f}
	if !f.New {
		p.title, p.crumbs = "Edit the endpoint", v.crumbs("Endpoints", "", titleOf(e), endpointPath(e.ID))
	}
	return v.render(p)
}

func newEndpoint(v *view) error {
	if !v.canWrite() {
		return webui.ErrReadOnly
	}
	return v.renderForm(v.newForm(), outbox.Endpoint{}, http.StatusOK)
}

// entered reads the form back, so that a mistake costs nothing that was typed.
func (v *view) entered() endpointForm {
	f := v.newForm()
	f.Key, f.Version = v.text("key"), v.text("version")
	f.URL, f.Description, f.Patterns = strings.TrimSpace(v.text("url")), v.text("description"), v.text("patterns")
	f.Scheme, f.SignatureHeader, f.BodyFormat = v.text("scheme"), strings.TrimSpace(v.text("signature_header")), strings.TrimSpace(v.text("format"))
	f.Schedule, f.Timeout, f.Rate = v.text("schedule"), strings.TrimSpace(v.text("timeout")), strings.TrimSpace(v.text("rate"))
	f.Concurrency, f.Chosen = strings.TrimSpace(v.text("concurrency")), v.r.PostForm["type"]
	return f
}

// settings converts what was entered. It notes numbers and headers that it
// can't read in Wrong.
func (f *endpointForm) settings(v *view) (u outbox.EndpointUpdate) {
	f.Wrong = map[string]string{}
	events := slices.Clone(f.Chosen)
	if events == nil {
		events = []string{}
	}
	events = append(events, strings.FieldsFunc(f.Patterns, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' })...)
	u = outbox.EndpointUpdate{
		URL: new(sender.NewURL(f.URL)), Description: &f.Description, Events: &events,
		Timeout: new(time.Duration(f.number("Timeout", f.Timeout) * float64(time.Second))), RateLimit: new(f.number("RateLimit", f.Rate)),
		MaxConcurrency: new(int(f.number("MaxConcurrency", f.Concurrency))),
	}
	if f.BodyFormat != "" {
		u.BodyFormat = &f.BodyFormat
	}
	if f.Schedule != "" {
		u.Schedule = &f.Schedule
	}
	header, ok := parseHeader(v.text("header"))
	switch {
	case !ok:
		f.Wrong["Header"] = "Write each header on a separate line, as in X-Team: payments."
	case len(header) > 0 || v.text("no_header") != "":
		u.Header = new(sender.NewHeader(header))
	}
	return u
}

func (f *endpointForm) number(field, text string) float64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n < 1e6) {
		f.Wrong[field] = "Enter a number, or leave it empty."
		return 0
	}
	return n
}

// parseHeader reads lines such as "X-Team: payments".
func parseHeader(text string) (h http.Header, ok bool) {
	h = http.Header{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, false
		}
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		h[name] = append(h[name], strings.TrimSpace(value))
	}
	return h, true
}

// refused notes what the outbox says about the fields. It reports false for an
// error that is not about what was entered.
func (f *endpointForm) refused(err error) bool {
	if !errors.Is(err, outbox.ErrInvalid) && !errors.Is(err, outbox.ErrDuplicateEndpoint) && !errors.Is(err, outbox.ErrTooManyEndpoints) {
		return false
	}
	known := []string{
		"URL", "Description", "Events", "Scheme", "Secret", "SignatureHeader", "BodyFormat", "Schedule", "Timeout", "RateLimit", "MaxConcurrency", "Header",
	}
	for _, p := range outbox.Problems(err) {
		field := p.Field
		if errors.Is(err, outbox.ErrDuplicateEndpoint) {
			field = "URL"
		}
		if !slices.Contains(known, field) {
			field = ""
		}
		f.Wrong[field] = p.Text
	}
	return true
}

func createEndpoint(v *view) error {
	f := v.entered()
	u := f.settings(v)
	if len(f.Wrong) > 0 {
		return v.renderForm(f, outbox.Endpoint{}, http.StatusUnprocessableEntity)
	}
	config := outbox.EndpointConfig{
		URL: *u.URL, Description: f.Description, BodyFormat: f.BodyFormat, Scheme: outbox.Scheme(f.Scheme), SignatureHeader: f.SignatureHeader,
		Secret: outbox.NewSecret(v.text("secret")), Events: *u.Events, Timeout: *u.Timeout, Schedule: f.Schedule,
		MaxConcurrency: *u.MaxConcurrency, RateLimit: *u.RateLimit, IdempotencyKey: f.Key,
	}
	if u.Header != nil {
		config.Header = *u.Header
	}
	e, secret, err := v.app.CreateEndpoint(v.ctx(), config)
	if err != nil && f.refused(err) {
		return v.renderForm(f, outbox.Endpoint{}, http.StatusUnprocessableEntity)
	}
	if err != nil {
		return err
	}
	return v.secretPage(http.StatusCreated, e, secret, 0, false)
}

func versionOf(e outbox.Endpoint) string { return strconv.FormatInt(e.Version, 10) }

func editEndpoint(v *view) error {
	if !v.canWrite() {
		return webui.ErrReadOnly
	}
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	f := v.newForm()
	f.New, f.Version, f.Back = false, versionOf(h.Endpoint), v.base()+endpointPath(h.ID)
	f.URL, f.Description, f.Scheme, f.BodyFormat, f.Schedule = h.URL, h.Description, string(h.Scheme), h.BodyFormat, h.Schedule
	f.HeaderNames = h.HeaderNames
	f.Timeout, f.Rate, f.Concurrency = decimal(h.Timeout.Seconds()), decimal(h.RateLimit), decimal(float64(h.MaxConcurrency))
	var patterns []string
	for _, name := range h.Events {
		if slices.ContainsFunc(v.types, func(t api.EventType) bool { return string(t.Type) == name }) {
			f.Chosen = append(f.Chosen, name)
		} else {
			patterns = append(patterns, name)
		}
	}
	f.Patterns = strings.Join(patterns, " ")
	return v.renderForm(f, h.Endpoint, http.StatusOK)
}

// decimal is empty for zero, which means the default.
func decimal(n float64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

func updateEndpoint(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	f := v.entered()
	f.New, f.Back, f.HeaderNames, f.Scheme = false, v.base()+endpointPath(h.ID), h.HeaderNames, string(h.Scheme)
	u := f.settings(v)
	if u.IfVersion, err = strconv.ParseInt(f.Version, 10, 64); err != nil || u.IfVersion < 1 {
		return errChanged
	}
	if len(f.Wrong) == 0 {
		_, err = v.app.UpdateEndpoint(v.ctx(), h.ID, u)
	}
	if len(f.Wrong) > 0 || err != nil && f.refused(err) {
		return v.renderForm(f, h.Endpoint, http.StatusUnprocessableEntity)
	}
	if err != nil {
		return err
	}
	return v.done(endpointPath(h.ID), "updated")
}
