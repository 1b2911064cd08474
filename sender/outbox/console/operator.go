package console

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// appRow is an app in a list.
type appRow struct{ Name, Path string }

func listApps(v *view) error {
	all, err := v.outbox.Apps(v.ctx(), outbox.Page{Limit: 100, Cursor: v.r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	rows := make([]appRow, len(all.Items))
	for i, name := range all.Items {
		rows[i] = appRow{name, v.root + appHome(name)}
	}
	return v.render(page{template: "apps.html", title: "Apps", current: "Apps", data: struct {
		scope
		Rows []appRow
		Next string
	}{v.scope(), rows, all.Next}})
}

// backlogRow is an endpoint that has something to do, or dead letters.
type backlogRow struct {
	outbox.EndpointBacklog

	Path, AppPath string
	Tag           webui.Tag
}

// deadReason is a group of dead letters.
type deadReason struct {
	Text   string
	N      int
	Sample string // path of one of them
	Class  string // of the answer, for the list of deliveries; empty for none
}

// overviewData is what the operator sees first.
type overviewData struct {
	scope
	S       outbox.Stats
	Trouble ownedList
	More    bool // there are more endpoints in trouble
	Rows    []backlogRow
	Strip   webui.Strip
	Partial bool // an hour has more deliveries than were counted
	Rates   webui.Line
	Highest string // of Rates
	Dead    []deadReason
	DeadAll int
}

// ownedList is a table of endpoints of all apps.
type ownedList struct {
	Rows []ownedRow
	Now  time.Time
}

func overview(v *view) error {
	stats, err := v.outbox.Stats(v.ctx())
	if err != nil {
		return err
	}
	slots, err := v.dayOfAll(v.ctx(), v.now)
	if err != nil {
		return err
	}
	dead, err := v.outbox.Deliveries(v.ctx(), outbox.DeliveryFilter{States: []outbox.State{outbox.Failed}}, outbox.Page{Limit: 200})
	if err != nil {
		return err
	}
	troubled, more, err := v.troubled()
	if err != nil {
		return err
	}
	d := overviewData{
		scope: v.scope(), S: stats, Trouble: ownedList{v.ownedRows(troubled, stats.Endpoints), v.now}, More: more, Rows: v.backlogs(stats.Endpoints),
		Dead: v.deadReasons(dead.Items), DeadAll: len(dead.Items),
	}
	d.Strip, d.Partial = strip("Deliveries of all apps by the hour", slots)
	d.Strip.Tall, d.Strip.Table = true, true
	d.Rates = webui.Line{Name: "Share of deliveries that failed, by the hour", Points: failures(d.Strip)}
	d.Highest = strconv.FormatFloat(slices.Max(d.Rates.Points), 'f', 1, 64)
	return v.render(page{template: "overview.html", title: "Overview", current: "Overview", live: true, data: d})
}

// failures is the share of each slot that failed, in percent.
func failures(s webui.Strip) []float64 {
	out := make([]float64, len(s.Slots))
	for i, slot := range s.Slots {
		sum, bad := 0, 0
		for _, p := range slot.Parts {
			sum += p.N
			if p.Class == "bad" {
				bad += p.N
			}
		}
		if sum > 0 {
			out[i] = 100 * float64(bad) / float64(sum)
		}
	}
	return out
}

func (v *view) backlogs(all []outbox.EndpointBacklog) []backlogRow {
	rows := make([]backlogRow, 0, len(all))
	for _, b := range all[:min(len(all), 50)] {
		app := v.root + appPath(b.App)
		r := backlogRow{EndpointBacklog: b, AppPath: v.root + appHome(b.App), Path: app + endpointPath(b.Endpoint), Tag: webui.Idle("Deleted")}
		if b.State != "" {
			r.Tag = endpointTag(outbox.Endpoint{State: b.State, BreakerOpenUntil: b.BreakerOpenUntil}, v.now)
		}
		rows = append(rows, r)
	}
	return rows
}

// deadReasons groups dead letters by why they failed, the most frequent first.
func (v *view) deadReasons(all []outbox.Delivery) (out []deadReason) {
	for _, d := range all {
		text := cmp.Or(shortResult(d.LastClass, d.LastStatus), "Body format")
		i := slices.IndexFunc(out, func(r deadReason) bool { return r.Text == text })
		if i < 0 {
			i = len(out)
			out = append(out, deadReason{Text: text, Sample: v.root + deliveryPath(d.App, d.ID), Class: classOf(d)})
		}
		out[i].N++
	}
	slices.SortStableFunc(out, func(a, b deadReason) int { return b.N - a.N })
	return out
}

// classOf is the class of the last answer in the filter of the list.
func classOf(d outbox.Delivery) string {
	switch {
	case d.LastStatus >= 100:
		return strconv.Itoa(d.LastStatus/100) + "xx"
	case d.LastClass != sender.ClassNone:
		return string(outbox.AnswerNone)
	}
	return ""
}
