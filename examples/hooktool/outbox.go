package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxDeliveries bounds what one replay reads into memory.
	maxDeliveries = 100_000
	// maxAPIAnswer bounds an answer of the management API.
	maxAPIAnswer = 32 << 20
	// pollEvery is the time between two looks at a replay of the outbox.
	pollEvery = 500 * time.Millisecond
)

// outboxFlags choose deliveries of an outbox.
type outboxFlags struct {
	api, app, endpoint, kind, deployment, state, since, until, resume string

	from, to time.Time
}

func (o *outboxFlags) register(f *flag.FlagSet) {
	f.StringVar(&o.api, "api", "", "`URL` of a management API of package sender/outbox/api")
	f.StringVar(&o.app, "app", "", "`name` of the app, with -api")
	f.StringVar(&o.endpoint, "endpoint", "", "only deliveries to the endpoint with this `ID`")
	f.StringVar(&o.kind, "type", "", "only deliveries of events of this `type`")
	f.StringVar(&o.deployment, "deployment", "", "only deliveries of the deployment with this `ID`")
	f.StringVar(&o.state, "state", "", "only deliveries in this `state`: delivered, failed, canceled or superseded; "+
		"default: all with -url, failed and canceled without")
	f.StringVar(&o.since, "since", "", "only events from this `time` on, RFC 3339 or an age such as 2h")
	f.StringVar(&o.until, "until", "", "only events before this `time`, RFC 3339 or an age; default: now")
	f.StringVar(&o.resume, "resume", "", "follow the replay with this `ID`, which the outbox already makes")
}

// given returns the name of a flag that was set, or "".
func (o *outboxFlags) given(c *call) string {
	for _, name := range []string{"app", "endpoint", "type", "deployment", "state", "since", "until", "resume"} {
		if c.given[name] {
			return name
		}
	}
	return ""
}

// client checks the flags and returns the client of the API.
func (o *outboxFlags) client(c *call) (*outboxAPI, error) {
	if err := checkTarget("api", o.api); err != nil {
		return nil, err
	}
	if o.app == "" {
		return nil, usagef("-api needs the name of the app; give -app")
	}
	if o.state != "" && !slices.Contains([]string{"delivered", "failed", "canceled", "superseded"}, o.state) {
		return nil, usagef("-state %q: want delivered, failed, canceled or superseded", cut(o.state, 40))
	}
	var err error
	if o.from, err = parseAge("since", o.since, c.now()); err != nil {
		return nil, err
	}
	if o.to, err = parseAge("until", o.until, c.now()); err != nil {
		return nil, err
	}
	token, err := c.credential(tokenVariable)
	if err != nil {
		return nil, err
	}
	return &outboxAPI{base: strings.TrimRight(o.api, "/") + "/apps/" + url.PathEscape(o.app), token: token, poster: newPoster()}, nil
}

// parseAge reads a time, or how long ago it was.
func parseAge(flagName, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return time.Time{}, usagef("-%s %s: want an age without a sign", flagName, cut(text, 40))
		}
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("-%s %q: want a time such as 2026-11-28T12:00:00Z, or an age such as 2h", flagName, cut(text, 40))
	}
	return t, nil
}

// query returns the filter of a list.
func (o *outboxFlags) query() url.Values {
	q := url.Values{}
	for name, value := range o.filter() {
		switch v := value.(type) {
		case string:
			q.Set(name, v)
		case []string:
			q.Set("state", v[0])
		}
	}
	return q
}

// filter returns the filter of a replay.
func (o *outboxFlags) filter() map[string]any {
	filter := map[string]any{}
	for name, value := range map[string]string{"endpoint": o.endpoint, "type": o.kind, "deployment_id": o.deployment} {
		if value != "" {
			filter[name] = value
		}
	}
	if o.state != "" {
		filter["states"] = []string{o.state}
	}
	if !o.from.IsZero() {
		filter["since"] = o.from.UTC().Format(time.RFC3339Nano)
	}
	if !o.to.IsZero() {
		filter["until"] = o.to.UTC().Format(time.RFC3339Nano)
	}
	return filter
}

// outboxAPI calls the management API for one app.
type outboxAPI struct {
	base   string
	token  credential
	poster *poster
}

func (a *outboxAPI) close() { a.poster.close() }

// call sends a request and decodes the answer.
func (a *outboxAPI) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	target := a.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(text))
	if err != nil {
		return usagef("-api: %v", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.token.given() {
		r.Header.Set("Authorization", "Bearer "+a.token.reveal())
	}
	res, err := a.poster.client.Do(r)
	if err != nil {
		return plainNetError(r, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAPIAnswer))
	if err != nil {
		return plainNetError(r, err)
	}
	if res.StatusCode > 299 {
		return apiProblem(res.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return errors.New("-api: the answer is not that of a management API; is the path right?")
	}
	return nil
}

// apiProblem explains an answer that is a problem detail.
func apiProblem(status int, body []byte) error {
	var p struct {
		Code, Detail string
		Errors       []struct{ Field, Detail string }
	}
	_ = json.Unmarshal(body, &p) // another server may answer something else
	text := fmt.Sprintf("the management API answered %d", status)
	if p.Code != "" {
		text += " " + printable(p.Code, 60) + ": " + printable(p.Detail, 300)
	}
	for _, e := range p.Errors {
		text += "; " + printable(e.Field+" "+e.Detail, 200)
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		text += "; check " + tokenVariable + " and -app"
	case p.Code == "" && status == http.StatusNotFound:
		text += "; is -api the address at which the platform mounts it?"
	}
	return errors.New(text)
}

// deliveries returns the IDs of the chosen deliveries, oldest first.
func (a *outboxAPI) deliveries(ctx context.Context, filter url.Values) ([]string, error) {
	filter.Set("limit", "500")
	var ids []string
	for {
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := a.call(ctx, http.MethodGet, "/deliveries", filter, nil, &page); err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			ids = append(ids, item.ID)
		}
		if len(ids) > maxDeliveries {
			return nil, usagef("more than %d deliveries; choose fewer with -since and -until", maxDeliveries)
		}
		if page.Next == "" {
			slices.Reverse(ids) // the API lists the newest first
			return ids, nil
		}
		filter.Set("cursor", page.Next)
	}
}

// delivery returns a delivery with its exact body.
func (a *outboxAPI) delivery(ctx context.Context, id string) (message, error) {
	var d struct {
		ID          string
		Type        string
		Deployment  string `json:"deployment_id"`
		ContentType string `json:"content_type"`
		Body        string
		BodyBase64  []byte `json:"body_base64"`
	}
	if err := a.call(ctx, http.MethodGet, "/deliveries/"+url.PathEscape(id), nil, nil, &d); err != nil {
		return message{}, err
	}
	m := message{event: d.Type, deployment: d.Deployment, id: d.ID, body: d.BodyBase64, header: http.Header{"Content-Type": {cmp.Or(d.ContentType, "application/json")}}}
	if d.Body != "" {
		m.body = []byte(d.Body)
	}
	return m, nil
}

// outboxReplay is a replay that the outbox makes.
type outboxReplay struct {
	ID         string    `json:"id"`
	Scheduled  int       `json:"scheduled"`
	Skipped    int       `json:"skipped"`
	Complete   bool      `json:"complete"`
	CanceledAt time.Time `json:"canceled_at,omitzero"`
	Pending    int       `json:"pending"`
	Delivered  int       `json:"delivered"`
	Failed     int       `json:"failed"`
	Canceled   int       `json:"canceled"`
	Superseded int       `json:"superseded"`
}

func (r outboxReplay) done() bool {
	return (r.Complete || !r.CanceledAt.IsZero()) && r.Pending == 0
}

// byOutbox lets the outbox send, and follows its progress.
func (o *outboxFlags) byOutbox(ctx context.Context, c *call, api *outboxAPI, rate float64) error {
	r := outboxReplay{ID: o.resume}
	if o.resume == "" {
		body := map[string]any{"filter": o.filter(), "rate_per_second": rate}
		if err := api.call(ctx, http.MethodPost, "/replays", nil, body, &r); err != nil {
			return err
		}
	}
	columns := []column{{"TIME", 8}, {"REPLAY", 36}, {"SCHEDULED", 9}, {"PENDING", 7}, {"DELIVERED", 9}, {"FAILED", 6}, {"SKIPPED", 7}}
	if !c.json {
		fmt.Fprintln(c.stdout, alignRow(columns, titles(columns)...))
	}
	printed := outboxReplay{}
	for first := true; ; first = false {
		if !first && !wait(ctx, pollEvery) || ctx.Err() != nil {
			return fmt.Errorf("%w: the outbox goes on; follow it with -resume %s", errInterrupted, printable(r.ID, 60))
		}
		if err := api.call(ctx, http.MethodGet, "/replays/"+url.PathEscape(r.ID), nil, nil, &r); err != nil {
			if ctx.Err() != nil {
				continue
			}
			return err
		}
		if r != printed {
			printed = r
			r.print(c, columns)
		}
		if r.done() {
			break
		}
	}
	if r.Failed+r.Skipped+r.Canceled > 0 {
		return errFault
	}
	return nil
}

func (r outboxReplay) print(c *call, columns []column) {
	if c.json {
		c.printJSON(struct {
			Kind string `json:"kind"`
			outboxReplay
		}{"replay", r})
		return
	}
	fmt.Fprintln(c.stdout, alignRow(columns, c.now().Format("15:04:05"), printable(r.ID, 60), strconv.Itoa(r.Scheduled), strconv.Itoa(r.Pending),
		strconv.Itoa(r.Delivered), strconv.Itoa(r.Failed), strconv.Itoa(r.Skipped)))
}
