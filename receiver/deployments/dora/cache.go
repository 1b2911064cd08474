package dora

import (
	"context"
	"sync"
)

// cache remembers the commits of repositories. A commit never changes, so only
// those between new heads and known commits have to be read.
type cache struct {
	limit int // of commits, in all repositories

	mu      sync.Mutex
	repos   map[Repository]*cached
	commits int
	clock   uint64
}

// cached has the known commits of one repository.
type cached struct {
	mu       sync.RWMutex
	resolved map[string]Resolved
	heads    map[CommitID]bool
	bases    map[CommitID]bool
	*graph

	counted int    // under the cache's mu
	used    uint64 // likewise
}

func newCache(limit int) *cache { return &cache{limit: limit, repos: make(map[Repository]*cached)} }

func (c *cache) repo(r Repository) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	k := c.repos[r]
	if k == nil {
		k = &cached{resolved: make(map[string]Resolved), graph: newGraph()}
		c.repos[r] = k
	}
	k.used = c.clock
	return k
}

// account notes how much a repository has grown, and forgets the one that has
// not been used for longest while there is too much. size was taken under k.mu.
func (c *cache) account(r Repository, k *cached, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.repos[r] != k { // forgotten meanwhile
		return
	}
	c.commits += size - k.counted
	k.counted = size
	for c.commits > c.limit {
		name, oldest := r, k
		for other, o := range c.repos {
			if o != k && (oldest == k || o.used < oldest.used) {
				name, oldest = other, o
			}
		}
		c.commits -= oldest.counted
		delete(c.repos, name)
	}
}

// resolve asks for the names that are not known yet. An abbreviation is asked
// for each time, since a new commit can make it ambiguous.
func (c *cache) resolve(ctx context.Context, source Commits, r Repository, names []string) ([]Resolved, error) {
	k := c.repo(r)
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]Resolved, len(names))
	var missing []string
	var places []int
	for i, name := range names {
		found, ok := k.resolved[name]
		if all[i] = found; !ok {
			missing, places = append(missing, name), append(places, i)
		}
	}
	if len(missing) == 0 {
		return all, nil
	}
	found, err := source.Resolve(ctx, r, missing)
	if err != nil || len(found) != len(missing) {
		return nil, wrongLength(err, len(found), len(missing))
	}
	for i, at := range places {
		all[at] = found[i]
		if found[i].Known && len(names[at]) == 2*len(CommitID{}) {
			k.resolved[names[at]] = found[i]
		}
	}
	c.account(r, k, len(k.nodes)+len(k.resolved))
	return all, nil
}

// wrongLength is the error of a source that returned another number of results.
func wrongLength(err error, got, want int) error {
	if err != nil {
		return err
	}
	return configError("WithCommits: Resolve returned %d results for %d commits", got, want)
}

// walk calls f with a graph of the commits between heads and bases. It can have
// more commits. It does not change while f runs.
func (c *cache) walk(ctx context.Context, source Commits, r Repository, heads, bases []CommitID, f func(*graph)) error {
	k := c.repo(r)
	if err := k.grow(ctx, c, source, r, heads, bases); err != nil {
		return err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if !k.covers(heads, bases) { // another report with other bases came between
		g := newGraph()
		if err := g.load(ctx, source, r, heads, bases, c.limit); err != nil {
			return err
		}
		f(g)
		return nil
	}
	f(k.graph)
	return nil
}

// grow reads the commits between new heads and the known ones.
func (k *cached) grow(ctx context.Context, c *cache, source Commits, r Repository, heads, bases []CommitID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.covers(heads, bases) {
		return nil
	}
	if !k.covers(nil, bases) {
		k.forget(bases)
	}
	err := k.graph.load(ctx, source, r, k.missing(heads), k.known(bases), c.limit)
	if err != nil && len(k.heads) > 0 && ctx.Err() == nil { // what was known may be too much now
		k.forget(bases)
		err = k.graph.load(ctx, source, r, heads, bases, c.limit)
	}
	if err != nil {
		return err
	}
	for _, id := range heads {
		k.heads[id] = true
	}
	c.account(r, k, len(k.nodes)+len(k.resolved))
	return nil
}

func (k *cached) forget(bases []CommitID) {
	k.graph, k.heads, k.bases = newGraph(), make(map[CommitID]bool), make(map[CommitID]bool)
	for _, id := range bases {
		k.bases[id] = true
	}
}

func (k *cached) missing(heads []CommitID) (missing []CommitID) {
	for _, id := range heads {
		if !k.heads[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// known returns bases and all heads that have been read.
func (k *cached) known(bases []CommitID) []CommitID {
	known := append([]CommitID(nil), bases...)
	for id := range k.heads {
		known = append(known, id)
	}
	return known
}

// covers reports whether all heads have been read, and with no other bases than
// these. Otherwise commits could be missing that are now in the window.
func (k *cached) covers(heads, bases []CommitID) bool {
	if k.heads == nil || len(k.missing(heads)) > 0 {
		return false
	}
	now := make(map[CommitID]bool, len(bases))
	for _, id := range bases {
		now[id] = true
	}
	for id := range k.bases {
		if !now[id] {
			return false
		}
	}
	return true
}
