package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

const (
	// reportTimeout bounds how long a report may take, with its wait for others.
	reportTimeout = 30 * time.Second
	// shownIDs bounds the deployments that are listed behind one figure.
	shownIDs = 30
	// evidenceOnPage bounds the deployments of one page.
	evidenceOnPage = 40
)

// metricSpan is a length of time before today.
type metricSpan struct {
	Value, Text string
	days        int
}

var metricSpans = []metricSpan{
	{"4w", "4 weeks", 28}, {"13w", "13 weeks", 91}, {"26w", "26 weeks", 182}, {"52w", "52 weeks", 364},
}

// listMetrics shows of what there are reports.
func listMetrics(v *view) error {
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	org := v.params["org"]
	scopes, err := v.metrics.Scopes(ctx, org)
	if err != nil {
		return err
	}
	list := v.scopeList(scopes)
	rows := make([]scopeRow, len(list.Scopes))
	for i, s := range list.Scopes {
		rows[i] = scopeRow{Scope: s, History: v.root + orgPath(org) + "metrics/report?" + scopeQuery(s).Encode()}
	}
	return v.render(page{
		template: "metrics.html", title: "Metrics of " + org, current: partMetrics, crumbs: v.orgCrumbs(partMetrics, "metrics"),
		data: struct {
			scope
			Rows []scopeRow
			List scopeList
			Here string
			Any  bool
		}{v.scope(), rows, list, v.root + orgPath(org) + "metrics", len(scopes) > 0},
	})
}

// reportForm is what a report was asked for.
type reportForm struct {
	deployments.Scope

	Range, Zone string
	from        int // of the deployments below
}

func readReportForm(q url.Values) reportForm {
	f := reportForm{Scope: scopeOf(q), Range: q.Get("range"), Zone: q.Get("zone")}
	if f.Zone == "" {
		f.Zone = "UTC"
	}
	if !slices.ContainsFunc(metricSpans, func(s metricSpan) bool { return s.Value == f.Range }) {
		f.Range = "13w"
	}
	f.from, _ = strconv.Atoi(q.Get("from"))
	return f
}

// window ends with today.
func (f reportForm) window(now time.Time) (dora.Window, error) {
	wrong := &webui.Problem{Status: 422, Title: "No such time zone", Text: "There is no such time zone.", Do: "Write it as in Europe/Berlin."}
	zone, err := time.LoadLocation(f.Zone)
	if err != nil {
		return dora.Window{}, wrong
	}
	end := now.In(zone).AddDate(0, 0, 1)
	for _, s := range metricSpans {
		if s.Value != f.Range {
			continue
		}
		w, err := dora.NewWindow(f.Zone, end.AddDate(0, 0, -s.days).Format(time.DateOnly), end.Format(time.DateOnly))
		if err != nil {
			return w, wrong
		}
		return w, nil
	}
	return dora.Window{}, wrong
}

// query is the report in a URL, with a range and the first deployment below.
func (f reportForm) query(span string, from int) string {
	q := scopeQuery(f.Scope)
	q.Set("range", span)
	if f.Zone != "UTC" {
		q.Set("zone", f.Zone)
	}
	if from > 0 {
		q.Set("from", strconv.Itoa(from))
	}
	return "report?" + q.Encode()
}

var errReportSlow = &webui.Problem{Status: 503, Title: "Not available", Text: "The report took too long.", Do: "Choose a shorter time, or try again in a minute."}

// report computes one report. Others wait for their turn.
func (v *view) report(f reportForm, w dora.Window) (*dora.Report, error) {
	ctx, cancel := v.bounded(reportTimeout)
	defer cancel()
	select {
	case v.reports <- struct{}{}:
		defer func() { <-v.reports }()
	case <-ctx.Done():
		return nil, errReportSlow
	}
	r, err := v.metrics.Report(ctx, v.params["org"], f.Scope, w)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, errReportSlow
	}
	return r, err
}

// metricCard is one of the five figures.
type metricCard struct {
	Name, Value, More, Count string
	Bars                     webui.Bars
	Highest                  string
	Evidence                 []evidenceList
	LeftOut                  []leftOut
}

// evidenceList are deployments behind a figure.
type evidenceList struct {
	Name string
	All  int
	IDs  []idLink
}

type idLink struct{ ID, Path string }

// leftOut is what a figure does not count, and why.
type leftOut struct {
	N    int
	Text string
}

func showReport(v *view) error {
	f := readReportForm(v.r.URL.Query())
	w, err := f.window(v.now)
	if err != nil {
		return err
	}
	r, err := v.report(f, w)
	if err != nil {
		return err
	}
	return v.renderReport(f, w, r)
}

func (v *view) renderReport(f reportForm, w dora.Window, r *dora.Report) error {
	type spanLink struct {
		Text, Href string
		Current    bool
	}
	var spans []spanLink
	for _, s := range metricSpans {
		spans = append(spans, spanLink{s.Text, f.query(s.Value, 0), s.Value == f.Range})
	}
	cards := v.metricCards(r)
	rows, older, newer := v.evidence(f, r)
	org := v.params["org"]
	history := ""
	if v.ledger != nil {
		history = v.root + orgPath(org) + "history?" + scopeQuery(f.Scope).Encode()
	}
	return v.render(page{
		template: "report.html", title: "Metrics of " + scopeTitle(f.Scope), current: partMetrics,
		crumbs: v.orgCrumbs(partMetrics, "metrics", "Metrics of "+org, "metrics"),
		data: struct {
			scope
			Form         reportForm
			Window       string
			Spans        []spanLink
			Cards        []metricCard
			Weeks        []weekRow
			Rows         []evidenceRow
			Older, Newer string
			NotLive      evidenceList
			Incidents    []string
			History      string
		}{
			v.scope(), f, w.String(), spans, cards, weekRows(r), rows, older, newer,
			v.evidenceList("Ended without having been live", notLive(r)), incidents(r), history,
		},
	})
}

func notLive(r *dora.Report) (ids []string) {
	for _, run := range r.NotLive {
		ids = append(ids, run.DeploymentID)
	}
	return ids
}

// incidents are those that tell of no deployment.
func incidents(r *dora.Report) (texts []string) {
	for _, i := range r.LeftOutIncidents {
		if len(texts) == shownIDs {
			return append(texts, fmt.Sprintf("and %d more", len(r.LeftOutIncidents)-shownIDs))
		}
		texts = append(texts, webui.Clip(i.IncidentID, 200)+": "+reasonTexts[i.Reason])
	}
	return texts
}

// evidenceList links the latest of some deployments.
func (v *view) evidenceList(name string, ids []string) evidenceList {
	l := evidenceList{Name: name, All: len(ids)}
	for _, id := range slices.Backward(ids) {
		if len(l.IDs) == shownIDs {
			break
		}
		link := idLink{ID: webui.Clip(id, 60)}
		if v.ledger != nil {
			link.Path = v.deploymentPath(id)
		}
		l.IDs = append(l.IDs, link)
	}
	return l
}

// reasonTexts say why something has no number.
var reasonTexts = map[dora.Reason]string{
	dora.ReasonFirst:        "the first deployment of a repository, so that no commit before it is known",
	dora.ReasonRedeployment: "deployed the commit that was running",
	dora.ReasonGoingBack:    "deployed a commit that an earlier deployment contained",
	dora.ReasonGap:          "the history has no path from the commit before",
	dora.ReasonMerges:       "brought merge commits alone",
	dora.ReasonClock:        "times that contradict each other",
	dora.ReasonNoHistory:    "the repository can't be read",
	dora.ReasonRollback:     "rollbacks, which this service leaves out",
	dora.ReasonNoDeployment: "no deployment had gone live before",
	dora.ReasonNotLive:      "the deployment that it names never was live",
}

func leftOuts(all map[dora.Reason]int) (out []leftOut) {
	for _, reason := range slices.Sorted(maps.Keys(all)) {
		out = append(out, leftOut{all[reason], reasonTexts[reason]})
	}
	return out
}

const notMeasured = "Not measured"

func seconds(v *float64) string {
	if v == nil {
		return notMeasured
	}
	return webui.Duration(time.Duration(*v * float64(time.Second)))
}

func percent(v *float64) string {
	if v == nil {
		return notMeasured
	}
	return trimmed(*v*100, 1) + " %"
}

func amount(v *float64) string {
	if v == nil {
		return notMeasured
	}
	return trimmed(*v, 2)
}

func trimmed(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
