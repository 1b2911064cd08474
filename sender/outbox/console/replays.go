package console

import (
	"cmp"
	"net/url"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender/outbox"
)

// askMissed counts before anything is sent.
func askMissed(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	length := v.r.URL.Query().Get("range")
	since, known := time.Time{}, ""
	switch {
	case h.State == outbox.EndpointDisabled:
		if since, err = v.app.MissedSince(v.ctx(), h.ID); err != nil {
			return err
		}
		if known = "when it was disabled"; since.Before(h.DisabledAt) {
			known = "when the oldest delivery was published that waited when it was disabled"
		}
	case !h.FailingSince.IsZero(): // what failed first was published earlier
		since, known = h.FailingSince.Add(-time.Hour), "an hour before it began to fail"
	}
	for _, p := range presets {
		if p.Value == cmp.Or(length, "24h") && (length != "" || since.IsZero()) {
			since, known = v.now.Add(-p.length), ""
			length = p.Value
		}
	}
	count, err := v.app.Missed(v.ctx(), h.ID, since)
	if err != nil {
		return err
	}
	failed, err := v.app.CountReplay(v.ctx(), outbox.DeliveryFilter{Endpoint: h.ID, States: []outbox.State{outbox.Failed}, Since: since, Until: v.now})
	if err != nil {
		return err
	}
	return v.render(page{
		template: "missed.html", title: "Send what was missed", crumbs: v.crumbs("Endpoints", "", titleOf(h.Endpoint), endpointPath(h.ID)),
		data: struct {
			scope
			E        health
			Since    time.Time
			SinceRaw string
			Known    string
			Range    string
			Presets  any
			Count    outbox.Count
			Failed   outbox.Count
			Until    string
		}{v.scope(), h, since, since.UTC().Format(time.RFC3339Nano), known, length, presets, count, failed, v.now.UTC().Format(time.RFC3339Nano)},
	})
}

func sendMissed(v *view) error {
	since, err := time.Parse(time.RFC3339Nano, v.text("since"))
	if err != nil {
		return webui.ErrForm
	}
	s, err := v.app.SendMissed(v.ctx(), v.params["endpoint"], since, outbox.WithBackground())
	if err != nil {
		return err
	}
	return v.done("replays/"+url.PathEscape(s.ID), "replay")
}

// resendable is the part of a filter that a replay takes. A replay sends what
// has ended.
func resendable(f outbox.DeliveryFilter) outbox.DeliveryFilter {
	if len(f.States) == 0 {
		f.States = []outbox.State{outbox.Failed, outbox.Canceled}
	}
	return f
}

// askResend counts what a filter of the list selects.
func askResend(v *view) error {
	f := readFilter(v.r.URL.Query())
	filter, err := f.filter(v.now)
	if err != nil {
		return err
	}
	filter = resendable(filter)
	if filter.Until.IsZero() {
		filter.Until = v.now
	}
	count, err := v.app.CountReplay(v.ctx(), filter)
	if err != nil {
		return err
	}
	hidden := map[string]string{
		"endpoint": filter.Endpoint, "type": string(filter.Type), "deployment": filter.DeploymentID, "event": filter.EventID, "replay": filter.Replay,
		"state": f.State, "class": f.Class, "until": filter.Until.UTC().Format(time.RFC3339Nano),
	}
	if !filter.Since.IsZero() {
		hidden["since"] = filter.Since.UTC().Format(time.RFC3339Nano)
	}
	return v.render(page{template: "resend.html", title: "Send again", current: "Deliveries", crumbs: v.crumbs("Deliveries", "deliveries"), data: struct {
		scope
		Filter filterForm
		F      outbox.DeliveryFilter
		Count  outbox.Count
		Hidden map[string]string
	}{v.scope(), f, filter, count, hidden}})
}

func startReplay(v *view) error {
	f := readFilter(v.r.PostForm)
	f.Range = ""
	filter, err := f.filter(v.now)
	if err != nil {
		return err
	}
	s, err := v.app.ReplayRange(v.ctx(), resendable(filter), outbox.WithBackground())
	if err != nil {
		return err
	}
	return v.done("replays/"+url.PathEscape(s.ID), "replay")
}

// replayRow is a replay in a list.
type replayRow struct {
	outbox.ReplayStatus

	To, Path, AppPath string
}

// Tag is the state in a word, and its color.
func (r replayRow) Tag() webui.Tag {
	switch {
	case !r.CanceledAt.IsZero():
		return webui.Idle("Canceled")
	case !r.Complete:
		return webui.Wait("Scheduling")
	case r.Pending > 0:
		return webui.Wait("Sending")
	case r.ReplayStatus.Failed > 0:
		return webui.Bad("Ended, some failed")
	}
	return webui.Good("Ended")
}

// Name names the endpoint to people, in a few words.
func (r replayRow) Name() string {
	if r.To == r.Filter.Endpoint {
		return short(r.To)
	}
	return webui.Clip(r.To, 60)
}

// Done is the share that has ended, in percent.
func (r replayRow) Done() int {
	switch {
	case r.Scheduled == 0 && r.Complete:
		return 100 // there was nothing to send
	case r.Scheduled == 0:
		return 0
	}
	return max(0, 100*(r.Scheduled-r.Pending)/r.Scheduled)
}

// Running reports whether it can be canceled.
func (r replayRow) Running() bool { return r.CanceledAt.IsZero() && (!r.Complete || r.Pending > 0) }

func (v *view) replayRow(s outbox.ReplayStatus, names map[string]string) replayRow {
	r := replayRow{
		ReplayStatus: s, To: names[s.Filter.Endpoint], AppPath: v.root + appHome(s.App), Path: v.root + appPath(s.App) + "replays/" + url.PathEscape(s.ID),
	}
	if r.To == "" {
		r.To = s.Filter.Endpoint
	}
	return r
}

// listReplays lists the replays of an app, or of all.
func listReplays(v *view) (err error) {
	read, names := v.outbox.Replays, map[string]string{}
	p := page{template: "replays.html", title: "All replays", current: "All replays", live: true}
	if v.app != nil {
		read, p.title, p.current, p.crumbs = v.app.Replays, "Replays", "Replays", v.crumbs()
		if _, names, err = v.endpointNames(); err != nil {
			return err
		}
	}
	all, err := read(v.ctx(), outbox.Page{Limit: 25, Cursor: v.r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	rows := make([]replayRow, len(all.Items))
	for i, s := range all.Items {
		rows[i] = v.replayRow(s, names)
	}
	p.data = struct {
		scope
		Rows []replayRow
		Next string
		All  bool
	}{v.scope(), rows, all.Next, v.app == nil}
	return v.render(p)
}

func showReplay(v *view) error {
	_, names, err := v.endpointNames()
	if err != nil {
		return err
	}
	s, err := v.app.ReplayStatus(v.ctx(), v.params["replay"])
	if err != nil {
		return err
	}
	var all outbox.Deliveries
	if !s.Missed || s.Scheduled > 0 {
		if all, err = v.app.Deliveries(v.ctx(), outbox.DeliveryFilter{Replay: s.ID}, outbox.Page{Limit: 20}); err != nil {
			return err
		}
	}
	r := v.replayRow(s, names)
	return v.render(page{template: "replay.html", title: "Replay", current: "Replays", crumbs: v.crumbs("Replays", "replays"), live: r.Running(), data: struct {
		scope
		R    replayRow
		Rows []row
	}{v.scope(), r, v.rows(all.Items, names)}})
}

func cancelReplay(v *view) error {
	id := v.params["replay"]
	if err := v.app.CancelReplay(v.ctx(), id); err != nil {
		return err
	}
	return v.done("replays/"+url.PathEscape(id), "canceled")
}

func askErase(v *view) error {
	if !v.canWrite() {
		return webui.ErrReadOnly
	}
	return v.confirm("Erase the event?", "deliveries?event="+url.QueryEscape(v.params["event"]), webui.Confirmation{
		Text: []string{
			"Its body is deleted everywhere, and so are the headers, errors and answers of its attempts. This can't be undone.",
			"What is left says that the event existed, and when, where and how it was delivered. Deliveries that wait are canceled.",
		},
		Button: "Erase", Danger: true,
	})
}

func eraseEvent(v *view) error {
	if err := v.app.EraseEvent(v.ctx(), v.params["event"]); err != nil {
		return err
	}
	return v.redirect(appPath(v.app.Name()) + "deliveries?event=" + url.QueryEscape(v.params["event"]) + "&done=erased")
}
