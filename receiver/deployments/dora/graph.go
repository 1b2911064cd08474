package dora

import (
	"context"
	"hash/maphash"
	"math/bits"
	"slices"
)

// graph is a part of a history, small enough for a million commits. It only
// grows.
type graph struct {
	blocks [][]node // of blockSize nodes, because growing one slice copies it
	size   int      // of all blocks
	links  []int32  // places of the parents of all nodes; outside for others
	open   []link   // the links that are outside

	// slots is a hash table of places plus one, at most half full. Zero is free.
	// Unlike a map it needs no copy of the IDs, which takes a third of the time.
	slots []int32
	seed  maphash.Seed // random, because commits can be made for a known hash
}

type node struct {
	id    CommitID
	first uint32 // of its links
	count uint32

	authored, committed int64 // microseconds since 1970
}

// link is the parent that links[at] stands for.
type link struct {
	at     int
	parent CommitID
}

const (
	// outside is a parent that is not in the graph.
	outside = -1
	// nearby is among how many missing parents a new commit is looked for. It only
	// saves time.
	nearby = 8

	blockBits = 12
	blockSize = 1 << blockBits
)

func newGraph() *graph { return &graph{seed: maphash.MakeSeed()} }

func (g *graph) node(place int32) *node { return &g.blocks[place>>blockBits][place&(blockSize-1)] }

// load adds what the source yields, at most limit commits in all. If it fails,
// it adds nothing.
func (g *graph) load(ctx context.Context, source Commits, r Repository, heads, bases []CommitID, limit int) error {
	size, links, open := g.size, g.links, g.open
	for c, err := range source.Walk(ctx, r, heads, bases) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if c.ID == (CommitID{}) || c.Authored.IsZero() {
			return configError("Commits.Walk yielded the commit %s without its ID or the time Authored", c.ID)
		}
		if c.Committed.IsZero() {
			c.Committed = c.Authored
		}
		if g.size > 0 && g.place(c.ID) != outside {
			continue
		}
		if size == limit {
			return configError("WithMaxCommits: more than %d commits are between the deployments of service %.100q; "+
				"raise it, or choose a shorter window", limit, r.Service)
		}
		// As a rule, a commit comes soon after its children.
		for i := len(open) - 1; i >= max(len(g.open), len(open)-nearby); i-- {
			if open[i].parent == c.ID {
				links[open[i].at] = int32(size)
				open = slices.Delete(open, i, i+1)
			}
		}
		if size == len(g.blocks)*blockSize {
			g.blocks = append(g.blocks, make([]node, blockSize))
		}
		*g.node(int32(size)) = node{
			id: c.ID, first: uint32(len(links)), count: uint32(len(c.Parents)),
			authored: c.Authored.UnixMicro(), committed: c.Committed.UnixMicro(),
		}
		size++
		for _, parent := range c.Parents {
			open = append(open, link{len(links), parent})
			links = append(links, outside)
		}
	}
	known := g.size
	g.size, g.links, g.open = size, links, open
	g.connect(known)
	return nil
}

// connect indexes the nodes from known on, and finds the parents that the graph
// has now.
func (g *graph) connect(known int) {
	if 2*g.size > len(g.slots) {
		g.slots = make([]int32, 1<<bits.Len(uint(2*g.size)))
		known = 0
	}
	for place := int32(known); place < int32(g.size); place++ {
		at := g.slot(g.node(place).id)
		for g.slots[at] != 0 {
			at = g.next(at)
		}
		g.slots[at] = place + 1
	}
	g.open = slices.DeleteFunc(g.open, func(l link) bool {
		g.links[l.at] = g.place(l.parent)
		return g.links[l.at] != outside
	})
}

// place returns where a commit is, or outside.
func (g *graph) place(id CommitID) int32 {
	if g.size == 0 {
		return outside
	}
	for at := g.slot(id); g.slots[at] != 0; at = g.next(at) {
		if place := g.slots[at] - 1; g.node(place).id == id {
			return place
		}
	}
	return outside
}

// slot returns where the search for a commit begins.
func (g *graph) slot(id CommitID) uint64 { return g.next(maphash.Bytes(g.seed, id[:])) }

func (g *graph) next(slot uint64) uint64 { return (slot + 1) & uint64(len(g.slots)-1) }

// walker visits each commit of a graph once.
type walker struct {
	*graph
	seen   []uint32 // the visit that met a node first; 0 for none
	visits uint32
	todo   []int32
}

func (g *graph) walker() *walker { return &walker{graph: g, seen: make([]uint32, g.size)} }

// visited reports whether an earlier deployment contained the commit. What is
// outside was reached from the bases, which are earlier deployments.
func (w *walker) visited(place int32) bool { return place == outside || w.seen[place] > 0 }

// visit calls f for all commits that are reachable from a place and have not
// been visited. It reports whether it met one that had been, or one outside.
func (w *walker) visit(place int32, f func(n *node)) (related bool) {
	if w.visited(place) {
		return true
	}
	w.visits++
	w.seen[place] = w.visits
	w.todo = append(w.todo[:0], place)
	for len(w.todo) > 0 {
		n := w.node(w.todo[len(w.todo)-1])
		w.todo = w.todo[:len(w.todo)-1]
		if f != nil {
			f(n)
		}
		for _, parent := range w.links[n.first : n.first+n.count] {
			switch {
			case parent == outside:
				related = true
			case w.seen[parent] == 0:
				w.seen[parent] = w.visits
				w.todo = append(w.todo, parent)
			case w.seen[parent] != w.visits:
				related = true
			}
		}
	}
	return related
}
