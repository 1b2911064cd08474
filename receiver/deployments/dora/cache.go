package dora

import (
	"context"
	"maps"
	"slices"
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
	resolved map[CommitID]Resolved // those with a whole name
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
		k = &cached{resolved: make(map[CommitID]Resolved), graph: newGraph()}
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

// resolve asks once for each name that is not known yet. An abbreviation is
// asked for each time, since a new commit can make it ambiguous.
func (c *cache) resolve(ctx context.Context, source Commits, r Repository, names []string) ([]Resolved, error) {
	k := c.repo(r)
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]Resolved, len(names))
	var missing []string
	places := make(map[string]int) // in missing
	for i, name := range names {
		if id, whole := wholeID(name); whole {
			all[i] = k.resolved[id]
		}
		if all[i].Known {
			continue
		}
		if _, again := places[name]; !again {
			places[name] = len(missing)
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return all, nil
	}
	found, err := source.Resolve(ctx, r, missing)
	if err != nil || len(found) != len(missing) {
		return nil, wrongLength(err, len(found), len(missing))
	}
	if len(k.resolved) == 0 {
		k.resolved = make(map[CommitID]Resolved, len(missing))
	}
	for i, name := range missing {
		if id, whole := wholeID(name); whole && found[i].Known {
			k.resolved[id] = found[i]
		}
	}
	for i, name := range names {
		if !all[i].Known {
			all[i] = found[places[name]]
		}
	}
	c.account(r, k, k.size+len(k.resolved))
	return all, nil
}

func wholeID(name string) (id CommitID, whole bool) {
	if len(name) != 2*len(id) {
		return id, false
	}
	return ParseCommitID(name)
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
	if wanted, ok := k.wanted(heads, bases); !ok || len(wanted) > 0 { // another report with other bases came between
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

// grow reads the commits that a report needs and that are not known.
func (k *cached) grow(ctx context.Context, c *cache, source Commits, r Repository, heads, bases []CommitID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted, ok := k.wanted(heads, bases)
	if ok && len(wanted) == 0 {
		return nil
	}
	err := error(nil)
	if ok {
		err = k.graph.load(ctx, source, r, wanted, k.known(), c.limit)
	}
	if !ok || err != nil && ctx.Err() == nil { // what was known may be too much now
		wanted = heads
		k.forget(bases)
		err = k.graph.load(ctx, source, r, heads, bases, c.limit)
	}
	if err != nil {
		return err
	}
	if len(k.heads) == 0 {
		k.heads = make(map[CommitID]bool, len(wanted))
	}
	for _, id := range wanted {
		k.heads[id] = true
	}
	c.account(r, k, k.size+len(k.resolved))
	return nil
}

func (k *cached) forget(bases []CommitID) {
	k.graph, k.heads, k.bases = newGraph(), make(map[CommitID]bool), make(map[CommitID]bool)
	for _, id := range bases {
		k.bases[id] = true
	}
}

// known returns what must not be read again. The graph has all commits that are
// reachable from k.heads and not from k.bases.
func (k *cached) known() []CommitID {
	return slices.AppendSeq(slices.Collect(maps.Keys(k.bases)), maps.Keys(k.heads))
}

// wanted returns the commits whose history has to be read for a report. It is
// not ok if nothing is known, or if the report lacks one of the known bases,
// because commits that are reachable from it are missing. A base that is not
// known yet may contain commits of the window, so its history is read like a
// head's.
func (k *cached) wanted(heads, bases []CommitID) (wanted []CommitID, ok bool) {
	known := make(map[CommitID]bool, len(k.bases))
	for _, id := range bases {
		switch {
		case k.bases[id]:
			known[id] = true
		case !k.heads[id]:
			wanted = append(wanted, id)
		}
	}
	for _, id := range heads {
		if !k.heads[id] && !k.bases[id] {
			wanted = append(wanted, id)
		}
	}
	return wanted, len(k.heads) > 0 && len(known) == len(k.bases)
}
