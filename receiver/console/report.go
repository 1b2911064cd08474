package console

import (
	"fmt"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

// metricCards are the five figures in the order of the reports.
func (v *view) metricCards(r *dora.Report) []metricCard {
	lead, frequency, recovery := r.ChangeLeadTime, r.DeploymentFrequency, r.FailedDeploymentRecoveryTime
	fails, rework := r.ChangeFailRate, r.DeploymentReworkRate
	cards := []metricCard{
		{
			Name: "Change lead time", Value: seconds(lead.MedianSeconds), Count: webui.Plural(lead.N, "commit") + " measured", LeftOut: leftOuts(lead.LeftOut),
			Evidence: []evidenceList{v.evidenceList("Deployments that brought them", lead.Deployments)},
		},
		{
			Name: "Deployment frequency", Value: perDay(frequency.PerDay), Count: webui.Plural(frequency.N, "deployment"),
			Evidence: []evidenceList{v.evidenceList("Went live", frequency.Deployments)},
		},
		{
			Name: "Failed deployment recovery time", Value: seconds(recovery.MedianSeconds), Count: webui.Plural(recovery.N, "failed deployment") + " recovered", LeftOut: leftOuts(recovery.LeftOut),
			Evidence: []evidenceList{v.evidenceList("Recovered", recovery.Deployments), v.evidenceList("Not recovered", recovery.Unresolved)},
		},
		{
			Name: "Change fail rate", Value: percent(fails.Rate), Count: fmt.Sprintf("%d of %s", len(fails.Deployments), webui.Plural(fails.N, "deployment")), LeftOut: leftOuts(fails.LeftOut),
			Evidence: []evidenceList{v.evidenceList("Failed", fails.Deployments)},
		},
		{
			Name: "Deployment rework rate", Value: percent(rework.Rate), Count: fmt.Sprintf("%d of %s", len(rework.Deployments), webui.Plural(rework.N, "deployment")), LeftOut: leftOuts(rework.LeftOut),
			Evidence: []evidenceList{v.evidenceList("Put right another one", rework.Deployments)},
		},
	}
	if lead.P90Seconds != nil {
		cards[0].More = "90 % of them within " + seconds(lead.P90Seconds)
	}
	if frequency.DaysPerWeek != nil {
		cards[1].More = "Days with deployments in the median week: " + amount(frequency.DaysPerWeek)
	}
	for i, p := range plots {
		cards[i].Bars = webui.Bars{Name: cards[i].Name + " by the week"}
		var most *float64
		for _, w := range r.Weeks {
			value := p.of(w.Figures)
			cards[i].Bars.Values = append(cards[i].Bars.Values, value)
			if value != nil && (most == nil || *value > *most) {
				most = value
			}
		}
		if most != nil {
			cards[i].Highest = p.text(most)
		}
	}
	return cards
}

func perDay(v *float64) string {
	if v == nil {
		return notMeasured
	}
	return amount(v) + " a day"
}

// plots are the values of a week, and their texts.
var plots = []struct {
	of   func(dora.Figures) *float64
	text func(*float64) string
}{
	{func(f dora.Figures) *float64 { return f.ChangeLeadTime.MedianSeconds }, seconds},
	{func(f dora.Figures) *float64 { return f.DeploymentFrequency.PerDay }, perDay},
	{func(f dora.Figures) *float64 { return f.FailedDeploymentRecoveryTime.MedianSeconds }, seconds},
	{func(f dora.Figures) *float64 { return f.ChangeFailRate.Rate }, percent},
	{func(f dora.Figures) *float64 { return f.DeploymentReworkRate.Rate }, percent},
}

// weekRow has the figures of a week as text. An absent one is empty.
type weekRow struct {
	From    string
	Figures []string
}

func weekRows(r *dora.Report) []weekRow {
	rows := make([]weekRow, len(r.Weeks))
	for i, w := range r.Weeks {
		rows[i].From = w.From
		for _, p := range plots {
			text := ""
			if value := p.of(w.Figures); value != nil {
				text = p.text(value)
			}
			rows[i].Figures = append(rows[i].Figures, text)
		}
	}
	return rows
}

// evidenceRow is a deployment that went live, with what is known about it.
type evidenceRow struct {
	idLink

	LiveAt    time.Time
	Changes   string // how many commits, or why none are measured
	Failed    []string
	Recovered string
	Remedy    string
}

// evidence are the deployments of one page, the latest first.
func (v *view) evidence(f reportForm, r *dora.Report) (rows []evidenceRow, older, newer string) {
	all := slices.Clone(r.Deployments)
	slices.Reverse(all)
	from := min(max(f.from, 0), len(all))
	if from > 0 {
		newer = f.query(f.Range, max(from-evidenceOnPage, 0))
	}
	if len(all) > from+evidenceOnPage {
		older = f.query(f.Range, from+evidenceOnPage)
	}
	for _, d := range all[from:min(from+evidenceOnPage, len(all))] {
		row := evidenceRow{idLink: v.evidenceList("", []string{d.DeploymentID}).IDs[0], LiveAt: d.LiveAt, Changes: changesText(&d)}
		for _, e := range d.Failed {
			row.Failed = append(row.Failed, evidenceText(e))
		}
		if !d.RecoveredAt.IsZero() {
			row.Recovered = "after " + webui.Duration(d.RecoveredAt.Sub(d.LiveAt))
			if d.RecoveredBy != nil {
				row.Recovered += ", by " + sourceOf(*d.RecoveredBy)
			}
		} else if len(d.Failed) > 0 {
			row.Recovered = "not yet"
		}
		if d.Remediation != "" {
			row.Remedy = remedyTexts[d.Remediation]
			if d.Remediates != "" {
				row.Remedy += " of " + webui.Clip(d.Remediates, 60)
			}
		}
		rows = append(rows, row)
	}
	return rows, older, newer
}

var remedyTexts = map[dora.Remediation]string{
	dora.RollBack: "rollback", dora.RollForward: "hotfix or revert", dora.ForIncident: "for an incident",
}

func changesText(d *dora.Deployment) string {
	if len(d.Changes) > 0 {
		return webui.Plural(len(d.Changes), "commit")
	}
	for _, l := range d.LeftOut {
		return "none measured: " + reasonTexts[l.Reason]
	}
	return ""
}

// sourceOf names what a fact comes from.
func sourceOf(e dora.Evidence) string {
	switch {
	case e.IncidentID != "":
		return "incident " + webui.Clip(e.IncidentID, 60)
	case e.DeploymentID != "":
		return "deployment " + webui.Clip(e.DeploymentID, 60)
	}
	return "its own report"
}

var evidenceTexts = map[dora.EvidenceKind]string{
	dora.ByLink: "named by", dora.ByRollBack: "rolled back, by", dora.ByRedeployment: "what was live before was deployed again, by",
	dora.ByMarker: "followed by a hotfix or revert,", dora.ByIncident: "the last one before",
}

func evidenceText(e dora.Evidence) string { return evidenceTexts[e.Kind] + " " + sourceOf(e) }
