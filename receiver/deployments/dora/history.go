package dora

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// history is all that is known of one scope, in order.
type history struct {
	*config
	organization string
	scope        deployments.Scope
	window       Window

	live      []*item
	notLive   []deployments.Run
	began     bool // there is a record from before the window's end
	byID      map[string]int
	incidents []payload.Incident
	leftOut   []LeftOutIncident
}

// item is a deployment that went live.
type item struct {
	Deployment
	repos    []part // sorted by URL
	own      string // the URL of the deployment's own repository among them
	identity string // of what was deployed
	subject  string
	marked   bool

	ends     []end // what put it right
	tickets  []*payload.Incident
	leads    []int64 // microseconds
	negative int     // changes with a time after it went live
}

// part is what a deployment has of one repository.
type part struct{ url, commit string }

// end is something that put right a failed deployment.
type end struct {
	at time.Time
	by Evidence
}

// read takes the runs, in any order.
func (h *history) read(ctx context.Context, runs iter.Seq2[deployments.Run, error]) error {
	seen := make(map[string]deployments.Run)
	from, to := h.window.From(), h.window.To()
	for r, err := range runs {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		seen[r.DeploymentID] = r // the later one is the newer one
	}
	for _, r := range seen {
		h.began = h.began || r.StartedAt.Before(to)
		switch {
		case !r.LiveAt.IsZero():
			h.live = append(h.live, &item{Deployment: Deployment{Run: r}})
		case !r.EndedAt.IsZero() && !r.EndedAt.Before(from) && r.EndedAt.Before(to):
			h.notLive = append(h.notLive, r)
		}
	}
	slices.SortFunc(h.live, func(a, b *item) int { return deployments.CompareRuns(&a.Run, &b.Run) })
	slices.SortFunc(h.notLive, func(a, b deployments.Run) int { return deployments.CompareRuns(&a, &b) })
	h.byID = make(map[string]int, len(h.live))
	for i, d := range h.live {
		h.byID[d.DeploymentID] = i
	}
	h.setParts()
	return nil
}

// setParts finds the commits of each deployment, by repository. A deployment that
// names no repository has the one that all others name.
func (h *history) setParts() {
	only, several := "", false
	for _, d := range h.live {
		if d.RepositoryURL != "" && only != "" && d.RepositoryURL != only {
			several = true
		}
		only = cmp.Or(only, d.RepositoryURL)
	}
	if several {
		only = ""
	}
	for _, d := range h.live {
		d.own = cmp.Or(d.RepositoryURL, only)
		d.repos = []part{{d.own, d.Commit}}
		for _, c := range d.Commits {
			if !slices.ContainsFunc(d.repos, func(p part) bool { return p.url == c.RepositoryURL }) {
				d.repos = append(d.repos, part{c.RepositoryURL, c.Commit})
			}
		}
		slices.SortFunc(d.repos, func(a, b part) int { return strings.Compare(a.url, b.url) })
	}
	h.expand()
	var text strings.Builder
	for _, d := range h.live {
		text.Reset()
		for _, p := range d.repos {
			text.WriteString(p.url + "\x00" + p.commit + "\x00")
		}
		d.identity = text.String()
	}
}

// expand replaces an abbreviated commit by the one that it abbreviates, if another
// deployment has it in full.
func (h *history) expand() {
	var full []part
	for _, d := range h.live {
		full = append(full, d.repos...)
	}
	slices.SortFunc(full, comparePart)
	full = slices.Compact(full)
	for _, d := range h.live {
		for i, p := range d.repos {
			d.repos[i].commit = longest(full, p)
		}
	}
}

func comparePart(a, b part) int {
	return cmp.Or(strings.Compare(a.url, b.url), strings.Compare(a.commit, b.commit))
}

// longest returns the commit that p abbreviates. Of several it is p's own.
func longest(sorted []part, p part) string {
	if len(p.commit) >= 2*len(CommitID{}) {
		return p.commit
	}
	at, _ := slices.BinarySearchFunc(sorted, p, comparePart)
	found := p.commit
	for _, other := range sorted[at:] {
		if other.url != p.url || !strings.HasPrefix(other.commit, p.commit) {
			break
		}
		if !strings.HasPrefix(other.commit, found) {
			return p.commit
		}
		found = other.commit
	}
	return found
}

// stack finds what is running. Deployments go onto it in order.
type stack []*item

// running returns the last deployment that has not been rolled back at a time. Times
// must not go back.
func (s *stack) running(at time.Time) *item {
	for len(*s) > 0 {
		top := (*s)[len(*s)-1]
		if top.RolledBackAt.IsZero() || top.RolledBackAt.After(at) {
			return top
		}
		*s = (*s)[:len(*s)-1]
	}
	return nil
}

func (s *stack) push(d *item) { *s = append(*s, d) }

// inWindow returns the deployments that went live in [from, to).
func (h *history) inWindow(from, to time.Time) []*item {
	find := func(at time.Time) int {
		i, _ := slices.BinarySearchFunc(h.live, at, func(d *item, at time.Time) int {
			if d.LiveAt.Before(at) {
				return -1
			}
			return 1
		})
		return i
	}
	return h.live[find(from):find(to)]
}
