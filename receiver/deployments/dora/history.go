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
	from, to     time.Time // of the window
	cache        *cache

	live      []*item
	notLive   []deployments.Run
	began     bool             // there is a record from before the window's end
	byID      map[string]*item // also those that were not live
	incidents []payload.Incident
	leftOut   []LeftOutIncident
}

// item is a deployment that went live.
type item struct {
	Deployment
	place    int    // in history.live
	repos    []part // sorted by URL
	own      string // the URL of the deployment's own repository among them
	identity string // of what was deployed
	subject  string
	marked   bool

	ends    []end // what put it right
	tickets []*payload.Incident
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
	h.byID = make(map[string]*item)
	var room []item
	for r, err := range runs {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		d := h.byID[r.DeploymentID]
		if d == nil {
			if len(room) == 0 {
				room = make([]item, min(max(64, len(h.byID)), 4096))
			}
			d, room = &room[0], room[1:]
			h.byID[r.DeploymentID] = d
			h.live = append(h.live, d)
		}
		d.Run = r // of two, the later one is the newer one
	}
	h.live = slices.DeleteFunc(h.live, func(d *item) bool {
		h.began = h.began || d.StartedAt.Before(h.to)
		if d.LiveAt.IsZero() && !d.EndedAt.IsZero() && !d.EndedAt.Before(h.from) && d.EndedAt.Before(h.to) {
			h.notLive = append(h.notLive, d.Run)
		}
		return d.LiveAt.IsZero()
	})
	slices.SortFunc(h.live, func(a, b *item) int { return deployments.CompareRuns(&a.Run, &b.Run) })
	slices.SortFunc(h.notLive, func(a, b deployments.Run) int { return deployments.CompareRuns(&a, &b) })
	for i, d := range h.live {
		d.place = i
	}
	h.setParts()
	return nil
}

// find returns the place of a deployment that went live.
func (h *history) find(deploymentID string) (place int, ok bool) {
	d := h.byID[deploymentID]
	if d == nil || d.LiveAt.IsZero() {
		return 0, false
	}
	return d.place, true
}

// setParts finds the commits of each deployment, by repository. A deployment
// that names no repository has the one that all others name.
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
		if d.identity = d.repos[0].commit; len(d.repos) == 1 && d.own == only {
			continue
		}
		text.Reset()
		for _, p := range d.repos {
			text.WriteString(p.url + "\x00" + p.commit + "\x00")
		}
		d.identity = text.String()
	}
}

// expand replaces an abbreviated commit by the one that it abbreviates, if
// another deployment has it in full.
func (h *history) expand() {
	abbreviated := func(p part) bool { return len(p.commit) < 2*len(CommitID{}) }
	if !slices.ContainsFunc(h.live, func(d *item) bool { return slices.ContainsFunc(d.repos, abbreviated) }) {
		return
	}
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

// longest returns the commit that p abbreviates. If there are several, it is p
// itself.
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

// stack finds the running deployment. The places of deployments are pushed in
// order.
type stack struct {
	items  []*item
	places []int
}

// running returns the place of the last deployment that has not been rolled
// back at a time, or -1. Times must not go back.
func (s *stack) running(at time.Time) int {
	for len(s.places) > 0 {
		top := s.places[len(s.places)-1]
		if back := s.items[top].RolledBackAt; back.IsZero() || back.After(at) {
			return top
		}
		s.places = s.places[:len(s.places)-1]
	}
	return -1
}

func (s *stack) push(place int) { s.places = append(s.places, place) }

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
