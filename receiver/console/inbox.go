package console

import (
	"html/template"
	"net/url"
	"strconv"
	"strings"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// deliveryRow is a delivery in a list.
type deliveryRow struct {
	inbox.Delivery

	Path string // leads to the delivery
}

// Tag is the state in a word, and its color.
func (r deliveryRow) Tag() webui.Tag {
	switch r.State {
	case inbox.Handled:
		return webui.Good("Handled")
	case inbox.Dead:
		return webui.Bad("Dead")
	case inbox.Superseded:
		return webui.Idle("Superseded")
	}
	if r.Attempts > 0 {
		return webui.Wait("Failed, will be retried")
	}
	return webui.Wait("Pending")
}

// ErrorLine is the first line of the error.
func (r deliveryRow) ErrorLine() string {
	line, _, _ := strings.Cut(strings.TrimSpace(r.LastError), "\n")
	return line
}

func deliveryPath(id int64) string { return "inbox/deliveries/" + strconv.FormatInt(id, 10) }

func (v *view) deliveryRows(all []inbox.Delivery) []deliveryRow {
	rows := make([]deliveryRow, len(all))
	for i, d := range all {
		rows[i] = deliveryRow{d, v.root + deliveryPath(d.ID)}
	}
	return rows
}

// deadRow is a group of dead letters.
type deadRow struct {
	inbox.DeadError

	Latest string // leads to the latest one
	List   string // leads to all of them
	Replay string // leads to the question whether to replay them
}

// shownOfInbox is how many deliveries the first page of the inbox lists.
const shownOfInbox = 10

func showInbox(v *view) error {
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	backlog, err := v.inbox.Backlog(ctx)
	if err != nil {
		return err
	}
	dead, err := v.inbox.DeadErrors(ctx)
	if err != nil {
		return err
	}
	latest, err := v.inbox.List(ctx, inbox.Filter{}, inbox.Page{Limit: shownOfInbox})
	if err != nil {
		return err
	}
	return v.render(page{template: "inbox.html", title: "Inbox", current: partInbox, live: true, data: struct {
		scope
		Backlog inbox.Backlog
		DeadAll inbox.Count
		Full    bool
		Dead    []deadRow
		Latest  []deliveryRow
	}{
		v.scope(), backlog,
		inbox.Count{N: backlog.Dead, More: backlog.Dead == inbox.MaxDead},
		backlog.Pending >= backlog.Limit,
		v.deadRows(dead), v.deliveryRows(latest.Items),
	}})
}

func (v *view) deadRows(all []inbox.DeadError) []deadRow {
	rows := make([]deadRow, len(all))
	for i, e := range all {
		q := url.Values{"error": {e.Error}}.Encode()
		rows[i] = deadRow{e, v.root + deliveryPath(e.LatestID), v.root + "inbox/deliveries?" + q, v.root + "inbox/replay?" + q}
	}
	return rows
}

// choice is an option of a list to choose from.
type choice struct{ Value, Text string }

var stateChoices = []choice{
	{string(inbox.Pending), "Pending"},
	{string(inbox.Dead), "Dead"},
	{string(inbox.Handled), "Handled"},
	{string(inbox.Superseded), "Superseded"},
}

// inboxFilter is the filter of the list, as it was entered.
type inboxFilter struct{ State, Deployment, Error string }

func readInboxFilter(q url.Values) inboxFilter {
	return inboxFilter{q.Get("state"), q.Get("deployment"), q.Get("error")}
}

// Any reports whether something is filtered.
func (f inboxFilter) Any() bool { return f != inboxFilter{} }

// Query is the filter in a URL, with the cursor of a page.
func (f inboxFilter) Query(cursor string) template.URL {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "deployment": f.Deployment, "error": f.Error, "cursor": cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return template.URL(q.Encode())
}

func (f inboxFilter) filter() (inbox.Filter, error) {
	for _, c := range stateChoices {
		if f.State == "" || f.State == c.Value {
			return inbox.Filter{State: inbox.State(f.State), DeploymentID: f.Deployment, Error: f.Error}, nil
		}
	}
	return inbox.Filter{}, &webui.Problem{Status: 422, Title: "No such state", Text: "There is no such state of a delivery.", Do: "Choose one from the list."}
}

func listDeliveries(v *view) error {
	q := v.r.URL.Query()
	f := readInboxFilter(q)
	filter, err := f.filter()
	if err != nil {
		return err
	}
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	cursor := q.Get("cursor")
	list, err := v.inbox.List(ctx, filter, inbox.Page{Cursor: cursor})
	if err != nil {
		return err
	}
	return v.render(page{
		template: "deliveries.html", title: "Deliveries", current: partInbox, crumbs: v.crumbs("Inbox", "inbox"), live: cursor == "",
		data: struct {
			scope
			Filter inboxFilter
			States []choice
			Rows   []deliveryRow
			First  bool
			Next   string
			Replay string
		}{v.scope(), f, stateChoices, v.deliveryRows(list.Items), cursor == "", list.Next, v.replayLink(f, len(list.Items))},
	})
}

// replayLink leads to the question whether to replay what the list shows. It is
// empty if the list has more than dead letters.
func (v *view) replayLink(f inboxFilter, listed int) string {
	if !v.canAct() || listed == 0 || f.Error == "" && f.State != string(inbox.Dead) || f.State != "" && f.State != string(inbox.Dead) {
		return ""
	}
	f.State = ""
	return v.root + "inbox/replay?" + string(f.Query(""))
}
