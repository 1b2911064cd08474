package dora

import (
	"context"
	"errors"
	"maps"
	"slices"
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

// each calls f for each item with the place of the one that was running before.
// If all had been rolled back, that is the last one.
func (l *lineage) each(f func(i, previous int)) {
	s := stack{items: l.items}
	for i, d := range l.items {
		previous := s.running(d.LiveAt)
		if previous < 0 {
			previous = i - 1
		}
		f(i, previous)
		s.push(i)
	}
}

// counts reports whether a deployment went live in the window.
func (h *history) counts(d *item) bool { return !d.LiveAt.Before(h.from) && d.LiveAt.Before(h.to) }

// resolve looks up the commits of a lineage, each once.
func (h *history) resolve(ctx context.Context, l *lineage) error {
	if h.commits == nil {
		return ErrNoHistory
	}
	commits, err := h.cache.resolve(ctx, h.commits, l.Repository, l.names)
	if err != nil {
		return err
	}
	l.commits = commits
	l.earliest = len(l.items)
	for i := range l.commits {
		if d := l.items[i]; l.URL == d.own {
			d.subject = l.commits[i].Subject
		}
		if l.commits[i].Known {
			l.earliest = min(l.earliest, i)
		}
	}
	return nil
}

// attribute walks the history once. Each commit belongs to the first deployment
// that contains it.
func (h *history) attribute(ctx context.Context, l *lineage) error {
	var heads, bases []CommitID
	for i, d := range l.items {
		switch {
		case !l.commits[i].Known || !d.LiveAt.Before(h.to):
		case i == l.earliest || d.LiveAt.Before(h.from):
			bases = append(bases, l.commits[i].ID)
		default:
			heads = append(heads, l.commits[i].ID)
		}
	}
	return h.cache.walk(ctx, h.commits, l.Repository, heads, bases, func(g *graph) {
		w := g.walker()
		for _, base := range bases {
			w.visit(w.place(base), nil)
		}
		var scratch []Change
		l.each(func(i, previous int) {
			if h.counts(l.items[i]) {
				scratch = h.bring(l, i, previous, w, scratch[:0])
			}
		})
	})
}

// bring finds what one deployment was the first to bring from a repository. It
// returns the changes for their room to be used again.
func (h *history) bring(l *lineage, i, previous int, w *walker, changes []Change) []Change {
	d, head := l.items[i], l.commits[i]
	place := w.place(head.ID)
	none := func(r Reason) { d.LeftOut = append(d.LeftOut, LeftOut{RepositoryURL: l.URL, Reason: r}) }
	switch {
	case i == 0:
		none(ReasonFirst)
		return changes
	case l.same(i, previous):
		none(ReasonRedeployment)
		return changes
	case !head.Known:
		none(ReasonGap)
		return changes
	case i != l.earliest && w.visited(place):
		none(ReasonGoingBack)
		return changes
	}
	live := d.LiveAt.UnixMicro()
	related := w.visit(place, func(n *node) {
		if n.count > 1 { // a merge
			return
		}
		since := n.authored
		if h.committerTime {
			since = n.committed
		}
		changes = append(changes, Change{RepositoryURL: l.URL, Commit: n.id, Seconds: float64(live-since) / 1e6})
	})
	switch {
	case !related || !l.commits[previous].Known:
		none(ReasonGap)
	case len(changes) == 0:
		none(ReasonMerges)
	default:
		d.Changes = slices.Concat(d.Changes, changes)
	}
	return changes
}

// same reports whether two items have the same commit.
func (l *lineage) same(i, k int) bool {
	if l.commits[i].Known && l.commits[k].Known {
		return l.commits[i].ID == l.commits[k].ID
	}
	return l.names[i] == l.names[k]
}
