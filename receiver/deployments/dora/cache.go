package dora

import (
	"context"
	"iter"
	"sync"
	"time"
)

// cache remembers the commits of repositories. A commit never changes, so only what
// is between new heads and known ones has to be read.
type cache struct {
	source Commits
	limit  int // of commits, in all repositories

	mu      sync.Mutex
	repos   map[Repository]*cached
	commits int
	clock   uint64
}

// cached is what is known of one repository. mu is held while it grows.
type cached struct {
	mu       sync.Mutex
	resolved map[string]Resolved
	heads    map[CommitID]bool
	bases    map[CommitID]bool
	commits  []stored
	parents  []CommitID

	counted int    // under the cache's mu
	used    uint64 // likewise
}

// stored is a commit without pointers.
type stored struct {
	id                  CommitID
	first, count        uint32
	authored, committed int64
}

func newCache(source Commits, limit int) *cache {
	return &cache{source: source, limit: limit, repos: make(map[Repository]*cached)}
}

func (c *cache) repo(r Repository) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	k := c.repos[r]
	if k == nil {
		k = &cached{resolved: make(map[string]Resolved)}
		c.repos[r] = k
	}
	k.used = c.clock
	return k
}

// account notes how much a repository has grown, and forgets the one that has not
// been used for longest while there is too much.
func (c *cache) account(r Repository, k *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.repos[r] != k { // forgotten meanwhile
		return
	}
	size := len(k.commits) + len(k.resolved)
	c.commits += size - k.counted
	k.counted = size
	for c.commits > c.limit {
		var oldest Repository
		var found *cached
		for name, other := range c.repos {
			if other != k && (found == nil || other.used < found.used) {
				oldest, found = name, other
			}
		}
		if found == nil {
			break
		}
		c.commits -= found.counted
		delete(c.repos, oldest)
	}
	if c.commits > c.limit {
		c.commits -= k.counted
		delete(c.repos, r)
	}
}

// Resolve asks for the names that are not known yet. An abbreviation is asked for
// each time, since a new commit can make it ambiguous.
func (c *cache) Resolve(ctx context.Context, r Repository, names []string) ([]Resolved, error) {
	k := c.repo(r)
	k.mu.Lock()
	defer k.mu.Unlock()
	var missing []string
	for _, name := range names {
		if _, ok := k.resolved[name]; !ok {
			missing = append(missing, name)
		}
	}
	fresh := make(map[string]Resolved, len(missing))
	if len(missing) > 0 {
		found, err := c.source.Resolve(ctx, r, missing)
		if err != nil {
			return nil, err
		}
		if len(found) != len(missing) {
			return found, nil // which the caller reports
		}
		for i, name := range missing {
			fresh[name] = found[i]
			if found[i].Known && len(name) == 2*len(CommitID{}) {
				k.resolved[name] = found[i]
			}
		}
	}
	all := make([]Resolved, len(names))
	for i, name := range names {
		var ok bool
		if all[i], ok = k.resolved[name]; !ok {
			all[i] = fresh[name]
		}
	}
	c.account(r, k)
	return all, nil
}

// Walk yields what is known, after it has read what is missing.
func (c *cache) Walk(ctx context.Context, r Repository, heads, bases []CommitID) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		k := c.repo(r)
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.covers(bases) || len(k.commits) > c.limit {
			k.heads, k.bases, k.commits, k.parents = make(map[CommitID]bool), set(bases), nil, nil
		}
		err := k.grow(ctx, c, r, heads, bases)
		c.account(r, k)
		if err != nil {
			yield(Commit{}, err)
			return
		}
		for _, s := range k.commits {
			one := Commit{
				ID: s.id, Parents: k.parents[s.first : s.first+s.count], Authored: time.UnixMicro(s.authored), Committed: time.UnixMicro(s.committed),
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}

func set(ids []CommitID) map[CommitID]bool {
	s := make(map[CommitID]bool, len(ids))
	for _, id := range ids {
		s[id] = true
	}
	return s
}

// covers reports whether what is known was read with no other bases than these.
// Otherwise commits could be missing that are now in the window.
func (k *cached) covers(bases []CommitID) bool {
	if k.heads == nil {
		return false
	}
	now := set(bases)
	for id := range k.bases {
		if !now[id] {
			return false
		}
	}
	return true
}

// grow reads what is between new heads and what is known. It keeps nothing of a
// read that fails.
func (k *cached) grow(ctx context.Context, c *cache, r Repository, heads, bases []CommitID) error {
	var missing []CommitID
	for _, id := range heads {
		if !k.heads[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	known := append([]CommitID(nil), bases...)
	for id := range k.heads {
		known = append(known, id)
	}
	commits, parents := k.commits, k.parents
	for one, err := range c.source.Walk(ctx, r, missing, known) {
		if err != nil {
			return err
		}
		commits = append(commits, stored{
			id: one.ID, first: uint32(len(parents)), count: uint32(len(one.Parents)),
			authored: one.Authored.UnixMicro(), committed: one.Committed.UnixMicro(),
		})
		parents = append(parents, one.Parents...)
		if len(commits) > c.limit {
			break // which the caller reports
		}
	}
	k.commits, k.parents = commits, parents
	for _, id := range missing {
		k.heads[id] = true
	}
	return nil
}
