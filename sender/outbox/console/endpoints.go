package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

const (
	// maxStrips bounds the endpoints of a list that have a strip.
	maxStrips = 20
	// An hour counts up to so many deliveries of each state: in the list, and on an
	// endpoint's own page.
	stripOfList = 100
	stripOfPage = 1000
)

// home sends the viewer to the first page that is for them.
func home(v *view) error {
	if v.access.Operator {
		return v.redirect("overview")
	}
	return v.redirect(appHome(v.access.App))
}

// health is an endpoint with what is known of how it does.
type health struct {
	outbox.Endpoint

	Backlog outbox.EndpointBacklog
	URL     string // for those who may change it
	Strip   webui.Strip
	Partial bool // an hour has more deliveries than were counted
	HasLog  bool
}

// Tag is the state in a word, and its color.
func (h health) Tag() webui.Tag { return endpointTag(h.Endpoint, time.Now()) }

func endpointTag(e outbox.Endpoint, now time.Time) webui.Tag {
	switch {
	case e.State == outbox.EndpointDisabled:
		return webui.Idle("Disabled")
	case e.State == outbox.EndpointFailing:
		return webui.Bad("Failing")
	case e.BreakerOpenUntil.After(now):
		return webui.Bad("Held back")
	case !e.FailingSince.IsZero():
		return webui.Wait("Last attempt failed")
	}
	return webui.Good("Active")
}

func listEndpoints(v *view) error {
	all, err := v.app.Endpoints(v.ctx())
	if errors.Is(err, outbox.ErrUnknownApp) && !v.access.Operator {
		all, err = nil, nil // a customer who has not begun yet
	}
	if err != nil {
		return err
	}
	backlogs := map[string]outbox.EndpointBacklog{}
	if len(all) > 0 {
		stats, err := v.app.Stats(v.ctx())
		if err != nil {
			return err
		}
		for _, b := range stats.Endpoints {
			backlogs[b.Endpoint] = b
		}
	}
	items := make([]health, len(all))
	for i, e := range all {
		items[i] = health{Endpoint: e, Backlog: backlogs[e.ID]}
	}
	if err := v.fillStrips(items[:min(len(items), maxStrips)], stripOfList); err != nil {
		return err
	}
	return v.render(page{template: "endpoints.html", title: "Endpoints", current: "Endpoints", crumbs: v.crumbs(), live: true, data: struct {
		scope
		Items []health
	}{v.scope(), items}})
}

// fillStrips shows the endpoints' deliveries of the last day by the hour.
func (v *view) fillStrips(items []health, most int) error {
	if len(items) == 0 {
		return nil
	}
	ids := make([]string, len(items))
	for i := range items {
		ids[i] = items[i].ID
	}
	all, err := v.app.History(v.ctx(), ids, lastDay(v.now, most))
	if err != nil {
		return err
	}
	for i := range items {
		h := &items[i]
		h.Strip, h.Partial = strip("Deliveries of the last 24 hours, by the hour", all[h.ID])
		h.HasLog = h.Strip.Sum() > 0
	}
	return nil
}

// strip shows deliveries by the time of their publication. It reports whether
// some were not counted.
func strip(name string, slots []outbox.Slot) (s webui.Strip, partial bool) {
	s = webui.Strip{Name: name, Slots: make([]webui.Slot, len(slots))}
	for i, slot := range slots {
		s.Slots[i] = webui.Slot{From: slot.From, Parts: []webui.Part{
			{Class: "good", Name: "Delivered"}, {Class: "wait", Name: "Waiting"}, {Class: "bad", Name: "Failed"}, {Class: "idle", Name: "Canceled"},
		}}
		for state, n := range slot.States {
			for j := range s.Slots[i].Parts {
				if p := &s.Slots[i].Parts[j]; p.Class == stateTag(state).Class {
					p.N, p.More = p.N+n.N, p.More || n.More
				}
			}
			partial = partial || n.More
		}
	}
	return s, partial
}

// endpoint returns the endpoint of the path.
func (v *view) endpoint() (h health, err error) {
	if h.Endpoint, err = v.app.Endpoint(v.ctx(), v.params["endpoint"]); err != nil {
		return h, err
	}
	if v.canWrite() {
		u, err := v.app.EndpointURL(v.ctx(), h.ID)
		if err != nil {
			return h, err
		}
		h.URL = u.Reveal()
	}
	return h, nil
}

func endpointPath(id string) string { return "endpoints/" + url.PathEscape(id) }

func showEndpoint(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	stats, err := v.app.EndpointStats(v.ctx(), h.ID)
	if err != nil {
		return err
	}
	h.Backlog = stats.EndpointBacklog
	one := []health{h}
	if err := v.fillStrips(one, stripOfPage); err != nil {
		return err
	}
	h = one[0]
	h.Strip.Tall, h.Strip.Table = true, true
	log, err := v.app.Deliveries(v.ctx(), outbox.DeliveryFilter{Endpoint: h.ID}, outbox.Page{Limit: 10})
	if err != nil {
		return err
	}
	var missed outbox.Count
	if h.State == outbox.EndpointDisabled {
		since, err := v.app.MissedSince(v.ctx(), h.ID)
		if err != nil {
			return err
		}
		if missed, err = v.app.Missed(v.ctx(), h.ID, since); err != nil {
			return err
		}
	}
	why, err := v.latestFailure(h, log.Items)
	if err != nil {
		return err
	}
	return v.render(page{
		template: "endpoint.html", title: titleOf(h.Endpoint), crumbs: v.crumbs("Endpoints", ""), current: "Endpoints", live: true,
		data: struct {
			scope
			E      health
			States map[outbox.State]outbox.Count
			Recent []row
			Missed outbox.Count
			Why    *endpointFailure
			AsOf   time.Time
		}{v.scope(), h, stats.States, v.rows(log.Items, nil), missed, why, stats.AsOf},
	})
}

// endpointFailure says why the latest failed attempt has failed.
type endpointFailure struct {
	reason

	Path string // of its delivery
}

// latestFailure explains why an endpoint fails, or returns nil. It looks at the
// deliveries that the page shows, and then at one that has failed.
func (v *view) latestFailure(h health, recent []outbox.Delivery) (*endpointFailure, error) {
	if h.FailingSince.IsZero() || h.State == outbox.EndpointDisabled {
		return nil, nil
	}
	failed := func(d outbox.Delivery) bool {
		return d.LastClass != sender.ClassNone && (d.State == outbox.Failed || d.State == outbox.Pending)
	}
	at := slices.IndexFunc(recent, failed)
	if at < 0 {
		more, err := v.app.Deliveries(v.ctx(), outbox.DeliveryFilter{Endpoint: h.ID, States: []outbox.State{outbox.Failed}}, outbox.Page{Limit: 1})
		if err != nil || len(more.Items) == 0 {
			return nil, err
		}
		recent, at = more.Items, 0
	}
	d := recent[at]
	return &endpointFailure{reasonOf(d, &h.Endpoint, nil, v.now), v.root + deliveryPath(d.App, d.ID)}, nil
}

// titleOf names an endpoint to people.
func titleOf(e outbox.Endpoint) string {
	if e.Description != "" {
		return e.Description
	}
	return e.Host
}

func enableEndpoint(v *view) error {
	var opts []outbox.EnableOption
	if v.text("missed") != "" {
		opts = append(opts, outbox.WithMissed(outbox.WithBackground()))
	}
	id := v.params["endpoint"]
	if err := v.app.Enable(v.ctx(), id, opts...); err != nil {
		return err
	}
	return v.done(endpointPath(id), "enabled")
}

func (v *view) confirm(title, back string, c webui.Confirmation) error {
	c.CanWrite, c.Back = v.canWrite(), v.base()+back
	return v.render(page{template: "confirm.html", title: title, crumbs: v.crumbs("Endpoints", ""), data: c})
}

func askDisable(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	return v.confirm("Disable "+titleOf(h.Endpoint)+"?", endpointPath(h.ID), webui.Confirmation{
		Text: []string{
			"It gets nothing until it is enabled again. Deliveries that wait are canceled.",
			"Events are kept meanwhile. When you enable it, you can send what it missed.",
		},
		Field: "reason", Label: "Reason, which others see", Button: "Disable", Danger: true,
	})
}

func disableEndpoint(v *view) error {
	id := v.params["endpoint"]
	if err := v.app.Disable(v.ctx(), id, v.text("reason")); err != nil {
		return err
	}
	return v.done(endpointPath(id), "disabled")
}

func askDelete(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	return v.confirm("Delete "+titleOf(h.Endpoint)+"?", endpointPath(h.ID), webui.Confirmation{
		Text: []string{
			"Its URL and secrets are deleted, and deliveries that wait are canceled. This can't be undone.",
			"The log of its deliveries stays for some time. To stop deliveries for a while, disable the endpoint instead.",
		},
		Button: "Delete", Danger: true,
	})
}

func deleteEndpoint(v *view) error {
	if err := v.app.DeleteEndpoint(v.ctx(), v.params["endpoint"]); err != nil {
		return err
	}
	return v.redirect(appHome(v.app.Name()) + "?done=deleted")
}

// graces are the times for which an old secret stays in use.
var graces = []struct {
	Seconds string
	Text    string
	length  time.Duration
}{
	{"86400", "1 day", 24 * time.Hour},
	{"3600", "1 hour", time.Hour},
	{"604800", "7 days", 7 * 24 * time.Hour},
	{"2592000", "30 days", 30 * 24 * time.Hour},
	{"0", "No time: the old secret ends now", 0},
}

func askRotate(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	return v.rotateForm(h, "", http.StatusOK)
}

func (v *view) rotateForm(h health, wrong string, status int) error {
	return v.render(page{
		template: "rotate.html", title: "Rotate the secret", crumbs: v.crumbs("Endpoints", "", titleOf(h.Endpoint), endpointPath(h.ID)), status: status,
		data: struct {
			scope
			E      health
			Graces any
			Wrong  string
		}{v.scope(), h, graces, wrong},
	})
}

func rotateSecret(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	if v.text("version") != versionOf(h.Endpoint) { // also if the browser repeats the form
		return errChanged
	}
	grace := time.Duration(-1)
	for _, g := range graces {
		if g.Seconds == v.text("grace") {
			grace = g.length
		}
	}
	secret, err := v.app.RotateSecret(v.ctx(), h.ID, v.text("secret"), grace)
	if errors.Is(err, outbox.ErrInvalid) {
		return v.rotateForm(h, outbox.Problems(err)[0].Text, http.StatusUnprocessableEntity)
	}
	if err != nil {
		return err
	}
	return v.secretPage(http.StatusOK, h.Endpoint, secret, grace, true)
}

// secretPage shows a secret, once.
func (v *view) secretPage(status int, e outbox.Endpoint, secret outbox.Secret, grace time.Duration, rotated bool) error {
	title := "The endpoint was added"
	if rotated {
		title = "The secret was rotated"
	}
	return v.render(page{template: "secret.html", title: title, status: status, crumbs: v.crumbs("Endpoints", ""), data: struct {
		scope
		E       outbox.Endpoint
		Secret  string
		Rotated bool
		Grace   time.Duration
	}{v.scope(), e, shownSecret(e, secret), rotated, grace}})
}

// shownSecret leaves out what the viewer has entered.
func shownSecret(e outbox.Endpoint, secret outbox.Secret) string {
	if e.Scheme == outbox.SchemeBearer {
		return ""
	}
	return secret.Reveal()
}
