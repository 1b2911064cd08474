package dora

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// defaultEnvironment is where an incident is that names no environment.
const defaultEnvironment = "production"

// readIncidents keeps those that are about the scope or link to one of its
// deployments.
func (h *history) readIncidents(ctx context.Context, incidents iter.Seq2[payload.Incident, error]) error {
	if incidents == nil {
		return nil
	}
	seen := make(map[string]int)
	for i, err := range incidents {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		_, linked := h.find(i.DeploymentID)
		if !linked && (i.Service != h.scope.Service || cmp.Or(i.Environment, defaultEnvironment) != h.scope.Environment) {
			continue
		}
		if at, again := seen[i.IncidentID]; again {
			h.incidents[at] = i
			continue
		}
		seen[i.IncidentID] = len(h.incidents)
		h.incidents = append(h.incidents, i)
	}
	slices.SortFunc(h.incidents, func(a, b payload.Incident) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.IncidentID, b.IncidentID))
	})
	return nil
}

// fail notes that a deployment failed.
func (d *item) fail(by Evidence, at time.Time) {
	d.Failed = append(d.Failed, by)
	if !at.IsZero() {
		d.ends = append(d.ends, end{at, by})
	}
}

// blame finds the failed deployments, and those that put right another one.
func (h *history) blame() {
	ofIncident := h.blameByIncidents()
	last := make(map[string]int, len(h.live)) // the last deployment of each identity
	s := stack{items: h.live}
	for i, d := range h.live {
		if !d.RolledBackAt.IsZero() {
			d.fail(Evidence{Kind: ByRollBack, DeploymentID: d.DeploymentID}, d.RolledBackAt)
		}
		h.remediate(i, s.running(d.LiveAt), last, ofIncident)
		last[d.identity] = i
		s.push(i)
	}
	for _, d := range h.live {
		slices.SortStableFunc(d.Failed, func(a, b Evidence) int { return cmp.Compare(strength(a.Kind), strength(b.Kind)) })
		d.recover()
	}
}

func strength(k EvidenceKind) int {
	return slices.Index([]EvidenceKind{ByLink, ByRollBack, ByRedeployment, ByMarker, ByIncident}, k)
}

// blameByIncidents returns the failed deployment of each incident's URL.
func (h *history) blameByIncidents() map[string]int {
	ofIncident := make(map[string]int)
	for k := range h.incidents {
		n := &h.incidents[k]
		by := Evidence{Kind: ByIncident, IncidentID: n.IncidentID}
		at, found := h.find(n.DeploymentID)
		reason := ReasonNotLive
		if n.DeploymentID != "" {
			by.Kind = ByLink
		} else {
			at = h.lastBefore(n.OpenedAt)
			found, reason = at >= 0, ReasonNoDeployment
		}
		if !found {
			h.leftOut = append(h.leftOut, LeftOutIncident{IncidentID: n.IncidentID, OpenedAt: n.OpenedAt, Reason: reason})
			continue
		}
		d := h.live[at]
		d.fail(by, time.Time{})
		d.tickets = append(d.tickets, n)
		if n.URL != "" {
			ofIncident[n.URL] = at
		}
	}
	return ofIncident
}

// lastBefore is the last deployment that went live at a time or before it, or
// -1.
func (h *history) lastBefore(at time.Time) int {
	i, _ := slices.BinarySearchFunc(h.live, at, func(d *item, at time.Time) int {
		if d.LiveAt.After(at) {
			return 1
		}
		return -1
	})
	return i - 1
}

// remediate finds out whether deployment i puts right another one. The
// strongest evidence decides which one.
func (h *history) remediate(i, running int, last map[string]int, ofIncident map[string]int) {
	d := h.live[i]
	blame := func(target int, kind EvidenceKind, as Remediation) {
		d.Remediation, d.Remediates = as, h.live[target].DeploymentID
		h.live[target].fail(Evidence{Kind: kind, DeploymentID: d.DeploymentID}, d.LiveAt)
	}
	if target, ok := h.find(d.RollbackOf); ok && target < i {
		blame(target, ByLink, RollBack)
		return
	}
	if d.IncidentURL != "" {
		d.Remediation = ForIncident
		if target, ok := ofIncident[d.IncidentURL]; ok && target < i {
			blame(target, ByLink, ForIncident)
			return
		}
	}
	if earlier, ok := last[d.identity]; ok && earlier+1 < i && (running < 0 || h.live[running].identity != d.identity) {
		blame(earlier+1, ByRedeployment, RollBack)
		return
	}
	if !d.marked {
		return
	}
	d.Remediation = cmp.Or(d.Remediation, RollForward)
	if i > 0 {
		blame(i-1, ByMarker, d.Remediation)
	}
}

// recover finds when a failed deployment was put right: by the first
// remediation, or else by the end of the last of its incidents.
func (d *item) recover() {
	if len(d.Failed) == 0 {
		return
	}
	var recovered *end
	for i := range d.ends {
		if recovered == nil || d.ends[i].at.Before(recovered.at) {
			recovered = &d.ends[i]
		}
	}
	if recovered == nil {
		for _, n := range d.tickets {
			if n.ResolvedAt.IsZero() {
				return
			}
			if recovered == nil || n.ResolvedAt.After(recovered.at) {
				recovered = &end{n.ResolvedAt, Evidence{Kind: ByIncident, IncidentID: n.IncidentID}}
			}
		}
	}
	if recovered != nil {
		d.RecoveredAt, d.RecoveredBy = recovered.at, &recovered.by
	}
}
