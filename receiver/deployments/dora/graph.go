package dora

// graph is a part of a history, small enough for a million commits.
type graph struct {
	committer bool
	index     map[CommitID]int32
	nodes     []node
	parents   []CommitID // of all nodes, until link
	links     []int32    // the same as places in nodes; outside for others
	todo      []int32
	visits    uint32
}

type node struct {
	id    CommitID
	first uint32 // of its parents
	count uint16
	seen  uint32 // the visit that met it first; 0 for none
	since int64  // microseconds since 1970
}

// outside is a parent that is not in the graph.
const outside = -1

func newGraph(committer bool) *graph {
	return &graph{committer: committer, index: make(map[CommitID]int32)}
}

func (g *graph) len() int { return len(g.nodes) }

// add takes a commit, once.
func (g *graph) add(c Commit) {
	if _, again := g.index[c.ID]; again {
		return
	}
	since := c.Authored
	if g.committer {
		since = c.Committed
	}
	g.index[c.ID] = int32(len(g.nodes))
	g.nodes = append(g.nodes, node{
		id: c.ID, first: uint32(len(g.parents)), count: uint16(min(len(c.Parents), 1<<16-1)), since: since.UnixMicro(),
	})
	g.parents = append(g.parents, c.Parents[:min(len(c.Parents), 1<<16-1)]...)
}

// link finds the parents, after all commits have been added.
func (g *graph) link() {
	g.links = make([]int32, len(g.parents))
	for i, id := range g.parents {
		at, ok := g.index[id]
		if !ok {
			at = outside
		}
		g.links[i] = at
	}
	g.parents = nil
}

// visited reports whether an earlier deployment contained the commit. What is
// outside was reached from the bases, which are earlier deployments.
func (g *graph) visited(id CommitID) bool {
	at, ok := g.index[id]
	return !ok || g.nodes[at].seen > 0
}

// visit calls f for all commits that are reachable from id and have not been
// visited. It reports whether it met one that had been, or one outside.
func (g *graph) visit(id CommitID, f func(id CommitID, since int64, merge bool)) (related bool) {
	at, ok := g.index[id]
	if !ok || g.nodes[at].seen > 0 {
		return true
	}
	g.visits++
	g.nodes[at].seen = g.visits
	g.todo = append(g.todo[:0], at)
	for len(g.todo) > 0 {
		n := &g.nodes[g.todo[len(g.todo)-1]]
		g.todo = g.todo[:len(g.todo)-1]
		if f != nil {
			f(n.id, n.since, n.count > 1)
		}
		for _, parent := range g.links[n.first : n.first+uint32(n.count)] {
			if parent == outside {
				related = true
				continue
			}
			switch p := &g.nodes[parent]; p.seen {
			case 0:
				p.seen = g.visits
				g.todo = append(g.todo, parent)
			case g.visits:
			default:
				related = true
			}
		}
	}
	return related
}
