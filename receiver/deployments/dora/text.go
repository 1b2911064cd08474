package dora

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// WriteText prints the report for people, one metric a line. The bars are the
// weeks of the window. A week in which nothing could be measured is a dot.
func (r *Report) WriteText(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s in %s (%s)\n%s\n\n", printable(cmp.Or(r.Service, "no service")), printable(r.Environment), printable(r.Organization), r.Window)
	for _, line := range r.lines() {
		fmt.Fprintf(&out, "  %-32s  %-24s  %s  %s\n", line.name, line.value, sparkline(r.Weeks, line.week), line.count)
	}
	if n := len(r.NotLive); n > 0 {
		fmt.Fprintf(&out, "  %s without having been live, which does not count\n", plural(n, "run ended", "runs ended"))
	}
	if n := len(r.LeftOutIncidents); n > 0 {
		fmt.Fprintf(&out, "  %s of no deployment\n", plural(n, "incident tells", "incidents tell"))
	}
	out.WriteString("\n")
	_, err := io.WriteString(w, out.String())
	return err
}

// line is a line of the text report.
type line struct {
	name, value, count string
	week               func(Figures) *float64
}

func (r *Report) lines() []line {
	lead, frequency, recovery := r.ChangeLeadTime, r.DeploymentFrequency, r.FailedDeploymentRecoveryTime
	pace := amount(frequency.PerDay, " a day")
	if frequency.DaysPerWeek != nil {
		pace += ", " + amount(frequency.DaysPerWeek, " days a week")
	}
	leadValue := duration(lead.MedianSeconds)
	if lead.P90Seconds != nil {
		leadValue += ", p90 " + duration(lead.P90Seconds)
	}
	unresolved := ""
	if n := len(recovery.Unresolved); n > 0 {
		unresolved = fmt.Sprintf(", %d unresolved", n)
	}
	return []line{
		{"change lead time", leadValue, fmt.Sprintf("%s%s", plural(lead.N, "commit", "commits"), leftOut(lead.LeftOut)), func(f Figures) *float64 { return f.ChangeLeadTime.MedianSeconds }},
		{"deployment frequency", pace, plural(frequency.N, "deployment", "deployments"), func(f Figures) *float64 { return f.DeploymentFrequency.PerDay }},
		{"failed deployment recovery time", duration(recovery.MedianSeconds), fmt.Sprintf("%d recovered%s%s", recovery.N, unresolved, leftOut(recovery.LeftOut)), func(f Figures) *float64 { return f.FailedDeploymentRecoveryTime.MedianSeconds }},
		{"change fail rate", percent(r.ChangeFailRate), share(r.ChangeFailRate), func(f Figures) *float64 { return f.ChangeFailRate.Rate }},
		{"deployment rework rate", percent(r.DeploymentReworkRate), share(r.DeploymentReworkRate), func(f Figures) *float64 { return f.DeploymentReworkRate.Rate }},
	}
}

func plural(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

const notMeasured = "not measured"

func amount(v *float64, unit string) string {
	if v == nil {
		return notMeasured
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", *v), "0"), ".") + unit
}

func percent(r Rate) string {
	if r.Rate == nil {
		return notMeasured
	}
	return fmt.Sprintf("%.1f %%", *r.Rate*100)
}

func share(r Rate) string {
	return fmt.Sprintf("%d of %d%s", len(r.Deployments), r.N, leftOut(r.LeftOut))
}

// duration is in the two largest units.
func duration(seconds *float64) string {
	if seconds == nil {
		return notMeasured
	}
	d := time.Duration(*seconds * float64(time.Second)).Round(time.Second)
	if days := d / (24 * time.Hour); days > 0 {
		return fmt.Sprintf("%dd%dh", days, (d%(24*time.Hour)).Round(time.Hour)/time.Hour)
	}
	if d >= time.Hour {
		return fmt.Sprintf("%dh%dm", d/time.Hour, (d%time.Hour)/time.Minute)
	}
	return d.String()
}

// leftOut is a list of reasons in the order of their names.
func leftOut(reasons map[Reason]int) string {
	if len(reasons) == 0 {
		return ""
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%d %s", reasons[reason], strings.ReplaceAll(string(reason), "_", " ")))
	}
	return " (left out: " + strings.Join(parts, ", ") + ")"
}

// printable leaves out what could move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

// maxBars bounds a sparkline. Of more weeks it shows the last ones.
const maxBars = 53

// sparkline draws a figure of each week, from zero to the largest.
func sparkline(weeks []Week, figure func(Figures) *float64) string {
	weeks = weeks[max(0, len(weeks)-maxBars):]
	largest := 0.0
	for _, w := range weeks {
		if v := figure(w.Figures); v != nil {
			largest = max(largest, *v)
		}
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, 0, len(weeks))
	for _, w := range weeks {
		v := figure(w.Figures)
		switch {
		case v == nil:
			line = append(line, '·')
		case largest == 0:
			line = append(line, bars[0])
		default:
			line = append(line, bars[int(*v/largest*float64(len(bars)-1)+0.5)])
		}
	}
	return string(line)
}
