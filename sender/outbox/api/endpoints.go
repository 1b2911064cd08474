package api

import (
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// settings are the members of an endpoint that a client can set. Nil ones stay
// as they are, or have their default.
type settings struct {
	URL               *string            `json:"url"`
	Description       *string            `json:"description"`
	BodyFormat        *string            `json:"body_format"`
	Events            *[]string          `json:"events"`
	Header            *map[string]string `json:"header"`
	ClientCertificate *certificate       `json:"client_certificate"`
	TimeoutSeconds    *seconds           `json:"timeout_seconds"`
	Schedule          *string            `json:"schedule"`
	MaxConcurrency    *int               `json:"max_concurrency"`
	RateLimit         *float64           `json:"rate_limit"`
	Metadata          *map[string]string `json:"metadata"`
}

// certificate is a client certificate. Two empty texts mean no certificate.
type certificate struct {
	Chain string `json:"chain"`
	Key   string `json:"key"`
}

// newEndpoint is the body of createEndpoint.
type newEndpoint struct {
	settings

	Scheme          string `json:"scheme"`
	SignatureHeader string `json:"signature_header"`
	Secret          string `json:"secret"`
	Disabled        bool   `json:"disabled"`
}

// created is the answer of createEndpoint and rotateSecret.
type created struct {
	Endpoint outbox.Endpoint `json:"endpoint"`
	// Secret is missing if the scheme has none, and if an earlier request under
	// the same key has shown it.
	Secret string `json:"secret,omitempty"`
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// update converts the settings.
func (s *settings) update() (u outbox.EndpointUpdate, err error) {
	u = outbox.EndpointUpdate{
		Description: s.Description, BodyFormat: s.BodyFormat, Events: s.Events, Schedule: s.Schedule, MaxConcurrency: s.MaxConcurrency,
		RateLimit: s.RateLimit, Metadata: s.Metadata,
	}
	if s.URL != nil {
		u.URL = new(sender.NewURL(*s.URL))
	}
	if s.Header != nil {
		h := http.Header{}
		for name, text := range *s.Header {
			h[textproto.CanonicalMIMEHeaderKey(name)] = append(h[textproto.CanonicalMIMEHeaderKey(name)], text)
		}
		u.Header = new(sender.NewHeader(h))
	}
	if s.ClientCertificate != nil {
		u.ClientCertificate = new(outbox.NewClientCertificate(s.ClientCertificate.Chain, s.ClientCertificate.Key))
	}
	if s.TimeoutSeconds != nil {
		d, err := s.TimeoutSeconds.duration("timeout_seconds")
		if err != nil {
			return u, err
		}
		u.Timeout = &d
	}
	return u, nil
}

// endpointID matches the cursors of the list. The endpoint may be deleted by
// now.
var endpointID = regexp.MustCompile(`^ep_[0-9a-f]{32}$`)

func listEndpoints(c *call) (*answer, error) {
	q := c.query("cursor", "limit")
	p := q.page()
	if p.Cursor != "" && !endpointID.MatchString(p.Cursor) {
		q.keep(wrongField("cursor", "cursor_invalid"))
	}
	if q.err != nil {
		return nil, q.err
	}
	all, err := c.app.Endpoints(c.ctx())
	if err != nil {
		return nil, err
	}
	page := struct {
		Items []outbox.Endpoint `json:"items"`
		Next  string            `json:"next,omitempty"`
	}{Items: []outbox.Endpoint{}}
	for _, e := range all { // an app has few, and IDs are in the order of creation
		switch {
		case e.ID <= p.Cursor:
		case len(page.Items) == p.Limit:
			page.Next = page.Items[p.Limit-1].ID
			return ok(page), nil
		default:
			page.Items = append(page.Items, e)
		}
	}
	return ok(page), nil
}

func createEndpoint(c *call) (*answer, error) {
	var in newEndpoint
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	keys := c.request.Header.Values("Idempotency-Key")
	if len(keys) > 1 {
		return nil, wrongField("Idempotency-Key", "parameter_repeated")
	}
	u, err := in.update()
	if err != nil {
		return nil, err
	}
	config := outbox.EndpointConfig{
		URL: value(u.URL), Description: value(u.Description), BodyFormat: value(u.BodyFormat), Scheme: outbox.Scheme(in.Scheme),
		SignatureHeader: in.SignatureHeader, Secret: outbox.NewSecret(in.Secret), Events: value(u.Events), Header: value(u.Header),
		ClientCertificate: value(u.ClientCertificate), Timeout: value(u.Timeout), Schedule: value(u.Schedule),
		MaxConcurrency: value(u.MaxConcurrency), RateLimit: value(u.RateLimit), Metadata: value(u.Metadata), Disabled: in.Disabled,
	}
	if len(keys) == 1 {
		config.IdempotencyKey = keys[0]
		if keys[0] == "" {
			return nil, wrongField("Idempotency-Key", "required")
		}
	}
	e, secret, err := c.app.CreateEndpoint(c.ctx(), config)
	if err != nil {
		return nil, err
	}
	return &answer{
		status: http.StatusCreated, body: created{e, secret.Reveal()}, etag: etag(&e), location: "endpoints/" + e.ID,
	}, nil
}

// etag names the version of an endpoint's settings.
func etag(e *outbox.Endpoint) string { return `"` + strconv.FormatInt(e.Version, 10) + `"` }

// endpointAnswer is an endpoint as it is now.
func (c *call) endpointAnswer() (*answer, error) {
	e, err := c.app.Endpoint(c.ctx(), c.params["endpoint"])
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, body: e, etag: etag(&e)}, nil
}

func getEndpoint(c *call) (*answer, error) { return c.endpointAnswer() }

func updateEndpoint(c *call) (*answer, error) {
	var in settings
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	u, err := in.update()
	if err != nil {
		return nil, err
	}
	if u.IfVersion, err = c.ifMatch(); err != nil {
		return nil, err
	}
	e, err := c.app.UpdateEndpoint(c.ctx(), c.params["endpoint"], u)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, body: e, etag: etag(&e)}, nil
}

// ifMatch returns the version of If-Match, or zero for any.
func (c *call) ifMatch() (int64, error) {
	values := c.request.Header.Values("If-Match")
	switch {
	case len(values) == 0:
		return 0, nil
	case len(values) == 1 && values[0] == "*":
		return 0, nil
	}
	text, isTag := strings.CutPrefix(strings.Join(values, ","), `"`)
	text, ends := strings.CutSuffix(text, `"`)
	version, err := strconv.ParseInt(text, 10, 64)
	if !isTag || !ends || err != nil || version < 1 {
		return 0, newProblem(http.StatusBadRequest, "if_match_invalid")
	}
	return version, nil
}

func deleteEndpoint(c *call) (*answer, error) {
	return &answer{status: http.StatusNoContent}, c.app.DeleteEndpoint(c.ctx(), c.params["endpoint"])
}

func getEndpointURL(c *call) (*answer, error) {
	u, err := c.app.EndpointURL(c.ctx(), c.params["endpoint"])
	if err != nil {
		return nil, err
	}
	return ok(map[string]string{"url": u.Reveal()}), nil
}

// pace is how fast a replay is.
type pace struct {
	RatePerSecond *float64 `json:"rate_per_second"`
}

func (p pace) options() []outbox.ReplayOption {
	opts := []outbox.ReplayOption{outbox.WithBackground()}
	if p.RatePerSecond != nil {
		opts = append(opts, outbox.WithReplayRate(*p.RatePerSecond))
	}
	return opts
}

func enableEndpoint(c *call) (*answer, error) {
	var in struct {
		pace

		SendMissed bool `json:"send_missed"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var opts []outbox.EnableOption
	if in.SendMissed {
		opts = append(opts, outbox.WithMissed(in.options()...))
	}
	if err := c.app.Enable(c.ctx(), c.params["endpoint"], opts...); err != nil {
		return nil, err
	}
	return c.endpointAnswer()
}

func disableEndpoint(c *call) (*answer, error) {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.app.Disable(c.ctx(), c.params["endpoint"], in.Reason); err != nil {
		return nil, err
	}
	return c.endpointAnswer()
}

func rotateSecret(c *call) (*answer, error) {
	var in struct {
		Secret       string  `json:"secret"`
		GraceSeconds seconds `json:"grace_seconds"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	grace, err := in.GraceSeconds.duration("grace_seconds")
	if err != nil {
		return nil, err
	}
	secret, err := c.app.RotateSecret(c.ctx(), c.params["endpoint"], in.Secret, grace)
	if err != nil {
		return nil, err
	}
	a, err := c.endpointAnswer()
	if err != nil {
		return nil, err
	}
	a.body = created{a.body.(outbox.Endpoint), secret.Reveal()}
	return a, nil
}

func testEndpoint(c *call) (*answer, error) {
	d, attempt, err := c.app.TestEndpoint(c.ctx(), c.params["endpoint"])
	if err != nil {
		return nil, err
	}
	return ok(c.delivery(&d, []outbox.Attempt{attempt})), nil
}

func countMissed(c *call) (*answer, error) {
	q := c.query("since")
	since := q.time("since")
	if q.err != nil {
		return nil, q.err
	}
	n, err := c.app.Missed(c.ctx(), c.params["endpoint"], since)
	if err != nil {
		return nil, err
	}
	return ok(map[string]outbox.Count{"missed": n}), nil
}

func sendMissed(c *call) (*answer, error) {
	var in struct {
		pace

		Since time.Time `json:"since"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	s, err := c.app.SendMissed(c.ctx(), c.params["endpoint"], in.Since, in.options()...)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusAccepted, body: s, location: "../../replays/" + s.ID}, nil
}

func getEndpointStats(c *call) (*answer, error) {
	s, err := c.app.EndpointStats(c.ctx(), c.params["endpoint"])
	if err != nil {
		return nil, err
	}
	return ok(s), nil
}
