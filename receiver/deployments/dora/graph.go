package dora

import (
	"context"
	"encoding/binary"
	"slices"
)

// graph is a part of a history, small enough for a million commits. It only
// grows.
type graph struct {
	index   map[uint64]int32   // by the first 8 bytes, which takes half the time
	twins   map[CommitID]int32 // commits that begin like another one
	nodes   []node
	parents []CommitID // of all nodes
	links   []int32    // the same as places in nodes; outside for others
}

type node struct {
	id    CommitID
	first uint32 // of its parents
	count uint32

	authored, committed int64 // microseconds since 1970
}

// outside is a parent that is not in the graph.
const outside = -1

func newGraph() *graph {
	return &graph{index: make(map[uint64]int32), twins: make(map[CommitID]int32)}
}

// load adds what the source yields, at most limit commits in all. If it fails,
// it adds nothing.
func (g *graph) load(ctx context.Context, source Commits, r Repository, heads, bases []CommitID, limit int) error {
	nodes, parents := g.nodes, g.parents
	for c, err := range source.Walk(ctx, r, heads, bases) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if len(g.nodes) > 0 && g.place(c.ID) != outside {
			continue
		}
		nodes = append(nodes, node{
			id: c.ID, first: uint32(len(parents)), count: uint32(len(c.Parents)),
			authored: c.Authored.UnixMicro(), committed: c.Committed.UnixMicro(),
		})
		parents = append(parents, c.Parents...)
		if len(nodes) > limit {
			return configError("WithMaxCommits: more than %d commits are between the deployments of service %.100q; "+
				"raise it, or choose a shorter window", limit, r.Service)
		}
	}
	known := len(g.nodes)
	g.nodes, g.parents = nodes, parents
	g.link(known)
	return nil
}

// link indexes the nodes from known on, and finds the parents.
func (g *graph) link(known int) {
	if known == 0 {
		g.index = make(map[uint64]int32, len(g.nodes))
	}
	for i := known; i < len(g.nodes); i++ {
		g.index[prefix(g.nodes[i].id)] = int32(i)
	}
	if len(g.index) < len(g.nodes) { // some begin alike, and the last one has the place
		for i, n := range g.nodes {
			if g.index[prefix(n.id)] != int32(i) {
				g.twins[n.id] = int32(i)
			}
		}
	}
	for i, at := range g.links { // what was outside may be known now
		if at == outside {
			g.links[i] = g.place(g.parents[i])
		}
	}
	g.links = slices.Grow(g.links, len(g.parents)-len(g.links))
	for i := known; i < len(g.nodes); i++ {
		n := &g.nodes[i]
		for _, id := range g.parents[n.first : n.first+n.count] {
			at := int32(i + 1) // as a rule, a parent is the next one
			if i+1 == len(g.nodes) || g.nodes[at].id != id {
				at = g.place(id)
			}
			g.links = append(g.links, at)
		}
	}
}

// place returns where a commit is, or outside.
func (g *graph) place(id CommitID) int32 {
	at, ok := g.index[prefix(id)]
	switch {
	case !ok:
		return outside
	case g.nodes[at].id == id:
		return at
	}
	if at, ok := g.twins[id]; ok {
		return at
	}
	return outside
}

func prefix(id CommitID) uint64 { return binary.BigEndian.Uint64(id[:]) }

// walker visits each commit of a graph once.
type walker struct {
	*graph
	seen   []uint32 // the visit that met a node first; 0 for none
	visits uint32
	todo   []int32
}

func (g *graph) walker() *walker { return &walker{graph: g, seen: make([]uint32, len(g.nodes))} }

// visited reports whether an earlier deployment contained the commit. What is
// outside was reached from the bases, which are earlier deployments.
func (w *walker) visited(id CommitID) bool {
	at := w.place(id)
	return at == outside || w.seen[at] > 0
}

// visit calls f for all commits that are reachable from id and have not been
// visited. It reports whether it met one that had been, or one outside.
func (w *walker) visit(id CommitID, f func(n *node)) (related bool) {
	at := w.place(id)
	if at == outside || w.seen[at] > 0 {
		return true
	}
	w.visits++
	w.seen[at] = w.visits
	w.todo = append(w.todo[:0], at)
	for len(w.todo) > 0 {
		n := &w.nodes[w.todo[len(w.todo)-1]]
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
