package console

import (
	"slices"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender/outbox"
)

// endpointViews are the parts of the operator's list of endpoints.
var endpointViews = []choice{
	{"failing", "Failing"}, {"held", "Held by the breaker"}, {"disabled", "Disabled"}, {"active", "Active"}, {"all", "All"},
}

// ownedRow is an endpoint in the operator's list.
type ownedRow struct {
	outbox.OwnedEndpoint

	Path, AppPath string
	Tag           webui.Tag
	Backlog       outbox.EndpointBacklog
}

// Name names the endpoint to people.
func (r ownedRow) Name() string { return titleOf(r.Endpoint) }

func (v *view) ownedRows(all []outbox.OwnedEndpoint, backlogs []outbox.EndpointBacklog) []ownedRow {
	rows := make([]ownedRow, len(all))
	for i, e := range all {
		rows[i] = ownedRow{OwnedEndpoint: e, AppPath: v.root + appHome(e.App), Path: v.root + appPath(e.App) + endpointPath(e.ID), Tag: endpointTag(e.Endpoint, v.now)}
		if at := slices.IndexFunc(backlogs, func(b outbox.EndpointBacklog) bool { return b.Endpoint == e.ID }); at >= 0 {
			rows[i].Backlog = backlogs[at]
		}
	}
	return rows
}

// listAllEndpoints shows the endpoints of all apps, the failing ones first.
func listAllEndpoints(v *view) error {
	q := v.r.URL.Query()
	show := q.Get("show")
	if !slices.ContainsFunc(endpointViews, func(c choice) bool { return c.Value == show }) {
		show = endpointViews[0].Value
	}
	f := outbox.EndpointFilter{}
	switch show {
	case "all":
	case "held":
		f.Held = true
	default:
		f.State = outbox.EndpointState(show)
	}
	page50 := outbox.Page{Limit: 50}
	if !f.Held {
		page50.Cursor = q.Get("cursor")
	}
	all, err := v.outbox.Endpoints(v.ctx(), f, page50)
	if err != nil {
		return err
	}
	stats, err := v.outbox.Stats(v.ctx())
	if err != nil {
		return err
	}
	return v.render(page{template: "all_endpoints.html", title: "All endpoints", current: "All endpoints", live: true, data: struct {
		scope
		Show  string
		Views []choice
		Rows  []ownedRow
		Next  string
	}{v.scope(), show, endpointViews, v.ownedRows(all.Items, stats.Endpoints), all.Next}})
}

// troubled returns endpoints that fail or that a circuit breaker holds back,
// and whether there are others.
func (v *view) troubled() (all []outbox.OwnedEndpoint, more bool, err error) {
	const most = 20
	for _, f := range []outbox.EndpointFilter{{Held: true}, {State: outbox.EndpointFailing}} {
		part, err := v.outbox.Endpoints(v.ctx(), f, outbox.Page{Limit: most})
		if err != nil {
			return nil, false, err
		}
		more = more || part.Next != "" || len(part.Items) == most
		for _, e := range part.Items {
			if !slices.ContainsFunc(all, func(other outbox.OwnedEndpoint) bool { return other.ID == e.ID }) {
				all = append(all, e)
			}
		}
	}
	return all, more, nil
}
