package console

import (
	"cmp"
	"context"
	"html/template"
	"net/url"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// row is a delivery in a list.
type row struct {
	outbox.Delivery

	To string // names the endpoint
	Of string // leads to the deployment
	// AppList leads to the app's list, and ToPath to the endpoint.
	AppList, ToPath string
	Path            string // leads to the delivery
	Action          string // is Path without what leads to the first page
	Result          string // of the last attempt, in a few words
}

// Tag is the state in a word, and its color.
func (r row) Tag() webui.Tag {
	if r.State == outbox.Pending && r.LastClass != sender.ClassNone {
		return webui.Wait("Retrying")
	}
	return stateTag(r.State)
}

func stateTag(s outbox.State) webui.Tag {
	switch s {
	case outbox.Delivered:
		return webui.Good("Delivered")
	case outbox.Failed:
		return webui.Bad("Failed")
	case outbox.Pending:
		return webui.Wait("Waiting")
	case outbox.Delivering:
		return webui.Wait("Sending")
	case outbox.Superseded:
		return webui.Idle("Superseded")
	}
	return webui.Idle("Canceled")
}

func deliveryPath(app, id string) string { return appPath(app) + "deliveries/" + url.PathEscape(id) }

// rows are for the table of a list. names are the endpoints'.
func (v *view) rows(all []outbox.Delivery, names map[string]string) []row {
	out := make([]row, len(all))
	for i, d := range all {
		out[i] = row{
			Delivery: d, To: names[d.Endpoint], Path: v.root + deliveryPath(d.App, d.ID), Action: deliveryPath(d.App, d.ID),
			Result: shortResult(d.LastClass, d.LastStatus), Of: v.root + appPath(d.App) + "deployment?id=" + url.QueryEscape(d.DeploymentID),
			AppList: v.root + appPath(d.App) + "deliveries",
		}
		if out[i].To != "" || v.app == nil {
			out[i].ToPath = v.root + appPath(d.App) + endpointPath(d.Endpoint)
		}
		out[i].To = cmp.Or(out[i].To, d.Endpoint)
	}
	return out
}

// filterForm is the filter of a list, as it was entered.
type filterForm struct {
	State, Type, Endpoint, Class, Since, Until, Range, Deployment, Event, Replay string
}

// presets are lengths of time before now.
var presets = []struct {
	Value, Text string
	length      time.Duration
}{
	{"1h", "Last hour", time.Hour}, {"24h", "24 hours", 24 * time.Hour}, {"7d", "7 days", 7 * 24 * time.Hour}, {"30d", "30 days", 30 * 24 * time.Hour},
}

var classes = []choice{
	{string(outbox.Answer2xx), "2xx: accepted"},
	{string(outbox.Answer3xx), "3xx: redirect"},
	{string(outbox.Answer4xx), "4xx: refused"},
	{string(outbox.Answer5xx), "5xx: server error"},
	{string(outbox.AnswerNone), "No answer"},
}

var stateChoices = []choice{
	{string(outbox.Failed), "Failed"},
	{string(outbox.Pending), "Waiting or retrying"},
	{string(outbox.Delivered), "Delivered"},
	{string(outbox.Canceled), "Canceled"},
	{string(outbox.Superseded), "Superseded"},
}

func readFilter(q url.Values) filterForm {
	return filterForm{
		State: q.Get("state"), Type: q.Get("type"), Endpoint: q.Get("endpoint"), Class: q.Get("class"), Since: q.Get("since"), Until: q.Get("until"),
		Range: q.Get("range"), Deployment: q.Get("deployment"), Event: q.Get("event"), Replay: q.Get("replay"),
	}
}

// Any reports whether something is filtered.
func (f filterForm) Any() bool { return f != filterForm{} }

// Query is the filter in a URL, with more pairs.
func (f filterForm) Query(more ...string) template.URL {
	q := url.Values{}
	for name, value := range f.fields() {
		if value != "" {
			q.Set(name, value)
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return template.URL(q.Encode())
}

// InState is the filter with another state.
func (f filterForm) InState(state string) template.URL {
	f.State = state
	return f.Query()
}

func (f filterForm) fields() map[string]string {
	return map[string]string{
		"state": f.State, "type": f.Type, "endpoint": f.Endpoint, "class": f.Class, "since": f.Since, "until": f.Until, "range": f.Range,
		"deployment": f.Deployment, "event": f.Event, "replay": f.Replay,
	}
}

// With is the filter with another range.
func (f filterForm) With(length string) template.URL {
	f.Range, f.Since, f.Until = length, "", ""
	return f.Query()
}

// filter converts what was entered.
func (f filterForm) filter(now time.Time) (out outbox.DeliveryFilter, err error) {
	out = outbox.DeliveryFilter{
		Endpoint: f.Endpoint, Type: payload.Type(f.Type), DeploymentID: f.Deployment, EventID: f.Event, Replay: f.Replay,
		Answer: outbox.Answer(f.Class),
	}
	if f.State != "" {
		out.States = []outbox.State{outbox.State(f.State)}
	}
	for _, p := range presets {
		if p.Value == f.Range {
			out.Since = now.Add(-p.length)
		}
	}
	for text, to := range map[string]*time.Time{f.Since: &out.Since, f.Until: &out.Until} {
		if text == "" {
			continue
		}
		if *to, err = parseTime(text); err != nil {
			return out, err
		}
	}
	return out, nil
}

// parseTime reads what a datetime-local field sends, which is in UTC here.
func parseTime(text string) (t time.Time, err error) {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
		if t, err = time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return t, &webui.Problem{Status: 422, Title: "Not a time", Text: "The time of the filter can't be read.", Do: "Write it as in 2026-03-12T14:22, in UTC."}
}

// maxPageReads is how often the list reads, if a filter without an index finds
// less than half a page. Each read examines about 1,000 deliveries.
const maxPageReads = 2

// list reads a page of the log. It reports whether it has stopped early, with
// few deliveries on the page and more to examine.
func (f filterForm) list(ctx context.Context, read deliveryList, filter outbox.DeliveryFilter, cursor string) (all []outbox.Delivery, next string, early bool, err error) {
	const enough = outbox.DefaultPageLimit / 2
	next = cursor
	for range maxPageReads {
		page, err := read(ctx, filter, outbox.Page{Cursor: next})
		if err != nil {
			return nil, "", false, err
		}
		all = append(all, page.Items...)
		if next = page.Next; next == "" || len(all) >= enough {
			return all, next, false, nil
		}
	}
	return all, next, true, nil
}

// deliveryList is the log of one app or of all.
type deliveryList func(context.Context, outbox.DeliveryFilter, outbox.Page) (outbox.Deliveries, error)

// deliveryTable is what the list shows.
type deliveryTable struct {
	scope
	Filter          filterForm
	Rows            []row
	Next            template.URL // query of the next page
	First           bool
	States, Classes []choice
	Endpoints       []choice
	Types           []api.EventType
	Presets         any
	Early           bool // a part of the log was examined
	All             bool // of all apps
	One             bool // of one endpoint, which the page names
}

func listDeliveries(v *view) error {
	q := v.r.URL.Query()
	f := readFilter(q)
	filter, err := f.filter(v.now)
	if err != nil {
		return err
	}
	t := deliveryTable{
		scope: v.scope(), Filter: f, States: stateChoices, Classes: classes, Types: v.types, Presets: presets, First: q.Get("cursor") == "", All: v.app == nil,
	}
	read, names := deliveryList(v.outbox.Deliveries), map[string]string{}
	p := page{template: "deliveries.html", title: "All deliveries", current: "All deliveries", live: t.First}
	if v.app != nil {
		read, p.title, p.current, p.crumbs = v.app.Deliveries, "Deliveries", "Deliveries", v.crumbs()
		if t.Endpoints, names, err = v.endpointNames(); err != nil {
			return err
		}
	}
	all, next, early, err := f.list(v.ctx(), read, filter, q.Get("cursor"))
	if err != nil {
		return err
	}
	t.Rows, t.Early = v.rows(all, names), early
	if next != "" {
		t.Next = f.Query("cursor", next)
	}
	p.data = t
	return v.render(p)
}

// endpointNames names the app's endpoints to people.
func (v *view) endpointNames() (choices []choice, names map[string]string, err error) {
	all, err := v.app.Endpoints(v.ctx())
	if err != nil && !isUnknownApp(err) {
		return nil, nil, err
	}
	names = map[string]string{}
	for _, e := range all {
		names[e.ID] = titleOf(e)
		choices = append(choices, choice{e.ID, titleOf(e)})
	}
	return choices, names, nil
}

// showDeployment shows the events of one deployment in a row.
func showDeployment(v *view) error {
	id := v.r.URL.Query().Get("id")
	if id == "" {
		return webui.ErrUnknownPage
	}
	_, names, err := v.endpointNames()
	if err != nil {
		return err
	}
	log, err := v.app.Deliveries(v.ctx(), outbox.DeliveryFilter{DeploymentID: id}, outbox.Page{Limit: 100})
	if err != nil {
		return err
	}
	slices.Reverse(log.Items)
	return v.render(page{template: "deployment.html", title: "Deployment " + id, current: "Deliveries", crumbs: v.crumbs("Deliveries", "deliveries"), live: true, data: struct {
		scope
		ID     string
		Events []deploymentEvent
		More   bool
	}{v.scope(), id, byEvent(v.rows(log.Items, names)), log.Next != ""}})
}

// deploymentEvent is an event with its deliveries.
type deploymentEvent struct {
	ID   string
	Type payload.Type
	At   time.Time
	Rows []row
}

func byEvent(rows []row) (events []deploymentEvent) {
	for _, r := range rows {
		i := slices.IndexFunc(events, func(e deploymentEvent) bool { return e.ID == r.EventID })
		if i < 0 {
			i = len(events)
			events = append(events, deploymentEvent{ID: r.EventID, Type: r.Type, At: r.CreatedAt})
		}
		events[i].Rows = append(events[i].Rows, r)
	}
	return events
}
