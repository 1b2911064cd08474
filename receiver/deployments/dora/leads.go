package dora

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// lineage is what one scope has of one repository.
type lineage struct {
	Repository
	items    []*item
	names    []string   // the commit of each item
	commits  []Resolved // likewise
	earliest int        // the first item whose commit is known, or len(items)
}

// measure finds the commits that each deployment of the window was the first to
// bring.
func (h *history) measure(ctx context.Context) error {
	lineages := make(map[string]*lineage)
	for _, d := range h.live {
		for _, p := range d.repos {
			l := lineages[p.url]
			if l == nil {
				l = &lineage{Repository: Repository{Organization: h.organization, Service: h.scope.Service, URL: p.url, Further: true}}
				lineages[p.url] = l
			}
			l.Further = l.Further && p.url != d.own
			l.items = append(l.items, d)
			l.names = append(l.names, p.commit)
		}
	}
	for _, url := range slices.Sorted(maps.Keys(lineages)) {
		l := lineages[url]
		err := h.resolve(ctx, l)
		if err == nil {
			err = h.attribute(ctx, l)
		}
		switch {
		case errors.Is(err, ErrNoHistory):
			h.leaveOut(l, err)
		case err != nil:
			return err
		}
	}
	for _, d := range h.live {
		d.marked = h.marker(d.Run, d.subject)
	}
	return nil
}

// leaveOut notes that a repository's history can't be read.
func (h *history) leaveOut(l *lineage, err error) {
	l.commits = make([]Resolved, len(l.items))
	l.each(func(i, previous int) {
		reason := LeftOut{RepositoryURL: l.URL, Reason: ReasonNoHistory, Detail: err.Error()}
		switch {
		case i == 0:
			reason = LeftOut{RepositoryURL: l.URL, Reason: ReasonFirst}
		case l.same(i, previous):
			reason = LeftOut{RepositoryURL: l.URL, Reason: ReasonRedeployment}
		}
		if d := l.items[i]; h.counts(d) {
			d.LeftOut = append(d.LeftOut, reason)
		}
	})
}

// each calls f for each item with the place of the one that was running before. If
// all had been rolled back, that is the last one.
func (l *lineage) each(f func(i, previous int)) {
	var s stack
	places := make(map[*item]int, len(l.items))
	for i, d := range l.items {
		previous := i - 1
		if running := s.running(d.LiveAt); running != nil {
			previous = places[running]
		}
		f(i, previous)
		places[d] = i
		s.push(d)
	}
}

// counts reports whether a deployment went live in the window.
func (h *history) counts(d *item) bool {
	return !d.LiveAt.Before(h.window.From()) && d.LiveAt.Before(h.window.To())
}

// resolve looks up the commits of a lineage, each once.
func (h *history) resolve(ctx context.Context, l *lineage) error {
	if h.commits == nil {
		return ErrNoHistory
	}
	names := slices.Compact(slices.Sorted(slices.Values(l.names)))
	found, err := h.commits.Resolve(ctx, l.Repository, names)
	if err != nil {
		return err
	}
	if len(found) != len(names) {
		return configError("WithCommits: Resolve returned %d results for %d commits", len(found), len(names))
	}
	l.earliest = len(l.items)
	for i, name := range l.names {
		at, _ := slices.BinarySearch(names, name)
		l.commits = append(l.commits, found[at])
		d := l.items[i]
		if l.URL == d.own {
			d.subject = found[at].Subject
		}
		if found[at].Known {
			l.earliest = min(l.earliest, i)
		}
	}
	return nil
}

// attribute walks the history once. Each commit belongs to the first deployment
// that contains it.
func (h *history) attribute(ctx context.Context, l *lineage) error {
	from, to := h.window.From(), h.window.To()
	var heads, bases []CommitID
	for i, d := range l.items {
		switch {
		case !l.commits[i].Known || !d.LiveAt.Before(to):
		case i == l.earliest || d.LiveAt.Before(from):
			bases = append(bases, l.commits[i].ID)
		default:
			heads = append(heads, l.commits[i].ID)
		}
	}
	g := newGraph(h.committerTime)
	if len(heads) > 0 {
		for c, err := range h.commits.Walk(ctx, l.Repository, heads, bases) {
			if err := cmp.Or(err, ctx.Err()); err != nil {
				return err
			}
			if g.add(c); g.len() > h.maxCommits {
				return configError("WithMaxCommits: more than %d commits are between the deployments of service %.100q in the window; "+
					"raise it, or choose a shorter window", h.maxCommits, h.scope.Service)
			}
		}
	}
	g.link()
	for _, base := range bases {
		g.visit(base, nil)
	}
	l.each(func(i, previous int) {
		if h.counts(l.items[i]) {
			h.bring(l, i, previous, g)
		}
	})
	return nil
}

// bring finds what one deployment was the first to bring from a repository.
func (h *history) bring(l *lineage, i, previous int, g *graph) {
	d := l.items[i]
	none := func(r Reason) { d.LeftOut = append(d.LeftOut, LeftOut{RepositoryURL: l.URL, Reason: r}) }
	head := l.commits[i]
	switch {
	case i == 0:
		none(ReasonFirst)
		return
	case l.same(i, previous):
		none(ReasonRedeployment)
		return
	case !head.Known:
		none(ReasonGap)
		return
	case i != l.earliest && g.visited(head.ID):
		none(ReasonGoingBack)
		return
	}
	gap := !l.commits[previous].Known
	changes, merges := 0, 0
	start, negative := len(d.leads), d.negative
	startChanges := len(d.Changes)
	related := g.visit(head.ID, func(id CommitID, since int64, merge bool) {
		if merge {
			merges++
			return
		}
		changes++
		lead := d.LiveAt.UnixMicro() - since
		d.Changes = append(d.Changes, Change{RepositoryURL: l.URL, Commit: id, Seconds: seconds(lead)})
		if lead < 0 {
			d.negative++
			return
		}
		d.leads = append(d.leads, lead)
	})
	switch {
	case gap || !related:
		d.leads, d.Changes, d.negative = d.leads[:start], d.Changes[:startChanges], negative
		none(ReasonGap)
	case changes == 0:
		none(ReasonMerges)
	}
}

// same reports whether two items have the same commit.
func (l *lineage) same(i, k int) bool {
	if l.commits[i].Known && l.commits[k].Known {
		return l.commits[i].ID == l.commits[k].ID
	}
	return l.names[i] == l.names[k]
}

func seconds(micros int64) float64 { return float64(micros) / float64(time.Second/time.Microsecond) }
