package dora

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// csvHeader names the columns as the members of the JSON are named.
func csvHeader() []string {
	return []string{
		"organization", "service", "environment", "window.zone", "period", "from", "to",
		"changeLeadTime.n", "changeLeadTime.medianSeconds", "changeLeadTime.p90Seconds", "changeLeadTime.leftOut",
		"deploymentFrequency.n", "deploymentFrequency.perDay", "deploymentFrequency.daysPerWeek",
		"failedDeploymentRecoveryTime.n", "failedDeploymentRecoveryTime.medianSeconds", "failedDeploymentRecoveryTime.unresolved",
		"failedDeploymentRecoveryTime.leftOut",
		"changeFailRate.n", "changeFailRate.rate", "changeFailRate.deployments", "changeFailRate.leftOut",
		"deploymentReworkRate.n", "deploymentReworkRate.rate", "deploymentReworkRate.deployments",
	}
}

// WriteCSV writes reports as comma-separated values with a header. Each report
// has a row for the window and one for each week, which the column "period"
// tells apart. The other columns are named after the JSON's members. Lists of
// deployments are counts here. A figure that was not measured is an empty cell.
//
// A text that a spreadsheet could take for a formula gets an apostrophe in
// front.
func WriteCSV(w io.Writer, reports []*Report) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvHeader()); err != nil {
		return err
	}
	for _, r := range reports {
		if err := out.Write(r.row("window", dayText(r.Window.first), dayText(r.Window.end), r.Figures)); err != nil {
			return err
		}
		for _, week := range r.Weeks {
			if err := out.Write(r.row("week", week.From, week.To, week.Figures)); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func (r *Report) row(period, from, to string, f Figures) []string {
	lead, recovery := f.ChangeLeadTime, f.FailedDeploymentRecoveryTime
	return []string{
		cell(r.Organization), cell(r.Service), cell(r.Environment), r.Window.zone.String(), period, from, to,
		strconv.Itoa(lead.N), number(lead.MedianSeconds), number(lead.P90Seconds), reasons(lead.LeftOut),
		strconv.Itoa(f.DeploymentFrequency.N), number(f.DeploymentFrequency.PerDay), number(f.DeploymentFrequency.DaysPerWeek),
		strconv.Itoa(recovery.N), number(recovery.MedianSeconds), strconv.Itoa(len(recovery.Unresolved)), reasons(recovery.LeftOut),
		strconv.Itoa(f.ChangeFailRate.N), number(f.ChangeFailRate.Rate), strconv.Itoa(len(f.ChangeFailRate.Deployments)),
		reasons(f.ChangeFailRate.LeftOut),
		strconv.Itoa(f.DeploymentReworkRate.N), number(f.DeploymentReworkRate.Rate), strconv.Itoa(len(f.DeploymentReworkRate.Deployments)),
	}
}

func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

func reasons(counts map[Reason]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s=%d", reason, counts[reason]))
	}
	return strings.Join(parts, " ")
}

// cell keeps a sender's text from becoming a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
