package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// maxBody bounds a request's body in bytes. The largest one has a client
// certificate.
const maxBody = 256 << 10

// readBody reads the body, so that nothing waits for a slow client later.
// Operations that read take none, apart from countReplay.
func (c *call) readBody(w http.ResponseWriter) *problem {
	r := c.request
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" || len(r.Header.Values("Content-Encoding")) > 0 {
			return newProblem(http.StatusUnsupportedMediaType, "content_type")
		}
	}
	rc := http.NewResponseController(w)
	limited := rc.SetReadDeadline(time.Now().Add(c.read)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if limited && err == nil {
		_ = rc.SetReadDeadline(time.Time{}) // the server reads on to notice a disconnect
	}
	large, isLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case isLarge && large.Limit == maxBody:
		return newProblem(http.StatusRequestEntityTooLarge, "body_too_large")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, "body_timeout")
	case err != nil:
		return newProblem(http.StatusBadRequest, "body_unreadable")
	}
	c.body = body
	return nil
}

// decode reads the body into v, whose members are all optional as far as JSON
// goes. Unknown members are errors, so that a misspelt setting is not ignored.
func (c *call) decode(v any) error {
	if len(c.body) == 0 {
		return nil
	}
	err := json.Unmarshal(c.body, v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	fault, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return newProblem(http.StatusBadRequest, "json_invalid")
	}
	name := strings.ReplaceAll(strings.TrimPrefix(string(fault.JSONPointer), "/"), "/", ".")
	switch {
	case name == "":
		return newProblem(http.StatusBadRequest, "not_an_object")
	case errors.Is(err, json.ErrUnknownName):
		return wrongField(name, "unknown_member")
	}
	return wrongField(name, "kind_invalid")
}

// query is the parameters of a request. The first error stays.
type query struct {
	values url.Values
	err    error
}

// query returns the parameters. Unknown and repeated ones are errors, apart
// from the lists.
func (c *call) query(known ...string) *query {
	values, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil {
		return &query{err: newProblem(http.StatusBadRequest, "query_invalid")}
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			return &query{err: wrongField(name, "unknown_parameter")}
		}
		if len(all) > 1 && name != "state" && name != "type" {
			return &query{err: wrongField(name, "parameter_repeated")}
		}
	}
	return &query{values: values}
}

func (q *query) text(name string) string { return q.values.Get(name) }

// list splits repeated parameters, and those with commas.
func (q *query) list(name string) (all []string) {
	for _, value := range q.values[name] {
		all = append(all, strings.Split(value, ",")...)
	}
	return all
}

func (q *query) time(name string) time.Time {
	t, err := parseTime(name, q.values.Get(name))
	q.keep(err)
	return t
}

func (q *query) keep(err error) {
	if q.err == nil {
		q.err = err
	}
}

// page returns which part of a list is asked for.
func (q *query) page() outbox.Page {
	p := outbox.Page{Cursor: q.text("cursor"), Limit: outbox.DefaultPageLimit}
	if text := q.text("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > outbox.MaxPageLimit {
			q.keep(wrongField("limit", "number_invalid"))
		}
		p.Limit = n
	}
	return p
}

func parseTime(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := payload.ParseTime(text)
	if err != nil {
		return t, wrongField(field, "time_invalid")
	}
	return t, nil
}

// seconds is a duration in the API.
type seconds float64

func (s seconds) duration(field string) (time.Duration, error) {
	const most = 365 * 24 * 3600
	if !(s >= 0 && s <= most) {
		return 0, wrongField(field, "number_invalid")
	}
	return time.Duration(float64(s) * float64(time.Second)), nil
}
