package dora

import "slices"

// figures computes the metrics of some deployments, in order, over the days
// from first to end.
func (h *history) figures(items []*item, first, end int) Figures {
	f := Figures{
		DeploymentFrequency: h.frequency(items, first, end), ChangeLeadTime: leadTime(items),
		FailedDeploymentRecoveryTime: recovery(items),
		DeploymentReworkRate:         rate(items, func(d *item) bool { return d.Remediation != "" }),
	}
	var counted []*item
	for _, d := range items {
		if !h.withoutRollbacks || d.Remediation != RollBack {
			counted = append(counted, d)
		}
	}
	f.ChangeFailRate = rate(counted, func(d *item) bool { return len(d.Failed) > 0 })
	if n := len(items) - len(counted); n > 0 {
		f.ChangeFailRate.LeftOut[ReasonRollback] = n
	}
	return f
}

func leadTime(items []*item) LeadTime {
	f := LeadTime{LeftOut: map[Reason]int{}, Deployments: make([]string, 0, len(items))}
	changes := 0
	for _, d := range items {
		changes += len(d.Changes)
	}
	all := make([]float64, 0, changes)
	for _, d := range items {
		before := len(all)
		for _, c := range d.Changes {
			if c.Seconds < 0 {
				f.LeftOut[ReasonClock]++
				continue
			}
			all = append(all, c.Seconds)
		}
		if len(all) > before {
			f.Deployments = append(f.Deployments, d.DeploymentID)
		}
		for _, l := range d.LeftOut {
			f.LeftOut[l.Reason]++
		}
	}
	if f.N = len(all); f.N > 0 {
		slices.Sort(all)
		f.MedianSeconds, f.P90Seconds = new(percentile(all, 0.5)), new(percentile(all, 0.9))
	}
	return f
}

// percentile interpolates between the two nearest of sorted values. For p = 0.5
// it is the median, which is the mean of the two middle values of an even
// number.
func percentile[T int | float64](sorted []T, p float64) float64 {
	place := float64(len(sorted)-1) * p
	low := int(place)
	high := min(low+1, len(sorted)-1)
	return float64(sorted[low]) + float64(sorted[high]-sorted[low])*(place-float64(low))
}

func (h *history) frequency(items []*item, first, end int) Frequency {
	f := Frequency{N: len(items), Deployments: make([]string, 0, len(items))}
	busy := make(map[int]bool)
	for _, d := range items {
		f.Deployments = append(f.Deployments, d.DeploymentID)
		busy[h.window.dayOf(d.LiveAt)] = true
	}
	if !h.began {
		return f
	}
	f.PerDay = new(float64(f.N) / float64(end-first))
	var weeks []int
	for _, monday := range h.window.mondays() {
		if monday < first || monday+7 > end {
			continue
		}
		days := 0
		for day := monday; day < monday+7; day++ {
			if busy[day] {
				days++
			}
		}
		weeks = append(weeks, days)
	}
	if len(weeks) > 0 {
		slices.Sort(weeks)
		f.DaysPerWeek = new(percentile(weeks, 0.5))
	}
	return f
}

func recovery(items []*item) Recovery {
	f := Recovery{Deployments: []string{}, Unresolved: []string{}, LeftOut: map[Reason]int{}}
	var all []float64
	for _, d := range items {
		switch {
		case len(d.Failed) == 0:
		case d.RecoveredAt.IsZero():
			f.Unresolved = append(f.Unresolved, d.DeploymentID)
		case d.RecoveredAt.Before(d.LiveAt):
			f.LeftOut[ReasonClock]++
		default:
			all = append(all, float64(d.RecoveredAt.UnixMicro()-d.LiveAt.UnixMicro())/1e6)
			f.Deployments = append(f.Deployments, d.DeploymentID)
		}
	}
	if f.N = len(all); f.N > 0 {
		slices.Sort(all)
		f.MedianSeconds = new(percentile(all, 0.5))
	}
	return f
}

func rate(items []*item, counts func(*item) bool) Rate {
	f := Rate{N: len(items), Deployments: []string{}, LeftOut: map[Reason]int{}}
	for _, d := range items {
		if counts(d) {
			f.Deployments = append(f.Deployments, d.DeploymentID)
		}
	}
	if f.N > 0 {
		f.Rate = new(float64(len(f.Deployments)) / float64(f.N))
	}
	return f
}

// report puts everything together.
func (h *history) report() *Report {
	from, to := h.window.From(), h.window.To()
	items := h.inWindow(from, to)
	r := &Report{
		Organization: h.organization, Scope: h.scope, Window: h.window,
		Figures: h.figures(items, h.window.first, h.window.end),
		NotLive: h.notLive, LeftOutIncidents: h.leftOut, Weeks: []Week{}, Deployments: make([]Deployment, 0, len(items)),
	}
	for _, d := range items {
		r.Deployments = append(r.Deployments, d.Deployment)
	}
	for _, monday := range h.window.mondays() {
		first, end := max(monday, h.window.first), min(monday+7, h.window.end)
		week := h.inWindow(startOfDay(first, h.window.zone), startOfDay(end, h.window.zone))
		r.Weeks = append(r.Weeks, Week{From: dayText(first), To: dayText(end), Figures: h.figures(week, first, end)})
	}
	return r
}
