// The race detector makes SQLite about twenty times slower, and these tests
// have large tables. The gate also runs them without it.

//go:build !race

package outbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// operation is a call whose statements read a bounded number of rows, no matter
// how many there are.
type operation struct {
	name string
	// rows and pages bound what one statement reads on PostgreSQL and SQLite. Zero
	// means 600. A whole table has about 100,000 rows and thousands of pages.
	rows, pages int
	run         func(t *testing.T, g *grown)
}

// scanning are the bounds of a list with a filter that no index has.
func scanning(name string, run func(t *testing.T, g *grown)) operation {
	return operation{name, 2*scanRows + 600, 3000, run}
}

// listOf reads a page of the app's list, or of the operator's if app is empty.
func listOf(app string, f func(g *grown) DeliveryFilter, page Page) func(t *testing.T, g *grown) {
	return func(t *testing.T, g *grown) {
		read := g.Deliveries
		if app != "" {
			read = g.App(app).Deliveries
		}
		_, err := read(t.Context(), f(g), page)
		require.NoError(t, err)
	}
}

func filtered(app string, f DeliveryFilter) func(t *testing.T, g *grown) {
	return listOf(app, func(*grown) DeliveryFilter { return f }, Page{})
}

// lists are the lists of deliveries.
func lists() []operation {
	all := func(*grown) DeliveryFilter { return DeliveryFilter{} }
	return []operation{
		{name: "list app", run: filtered("big", DeliveryFilter{})},
		{name: "list app, later page", run: func(t *testing.T, g *grown) {
			listOf("big", all, Page{Cursor: cursor(g.id(g.n / 2)), Limit: 100})(t, g)
		}},
		{name: "list time", run: listOf("big", func(g *grown) DeliveryFilter { return DeliveryFilter{Since: g.at(100), Until: g.at(200)} }, Page{})},
		{name: "list unknown app", run: filtered("none", DeliveryFilter{})},
		{name: "list rare state", run: filtered("big", DeliveryFilter{States: []State{Superseded}})},
		{name: "list two states", run: filtered("big", DeliveryFilter{States: []State{Superseded, Pending}})},
		{name: "list event", run: filtered("big", DeliveryFilter{EventID: "evt_10000"})},
		{name: "list unknown event", run: filtered("big", DeliveryFilter{EventID: "none"})},
		{name: "list deployment", run: filtered("big", DeliveryFilter{DeploymentID: "dep_500"})},
		{name: "list large deployment", run: filtered("big", DeliveryFilter{DeploymentID: "hot"})},
		{name: "list replay", run: filtered("big", DeliveryFilter{Replay: grownReplay})},
		{name: "list another app's replay", run: filtered("small", DeliveryFilter{Replay: grownReplay})},
		{name: "list endpoint", run: listOf("big", func(g *grown) DeliveryFilter { return DeliveryFilter{Endpoint: g.big[0]} }, Page{})},
		{name: "list another app's endpoint", run: listOf("small", func(g *grown) DeliveryFilter { return DeliveryFilter{Endpoint: g.big[0]} }, Page{})},
		{name: "list everything", run: filtered("", DeliveryFilter{})},
		{name: "list all dead letters", run: filtered("", DeliveryFilter{States: []State{Failed}})},
		{name: "list all that wait", run: filtered("", DeliveryFilter{States: []State{Pending}})},
		scanning("list type", filtered("big", DeliveryFilter{Type: "none"})),
		scanning("list answer", filtered("big", DeliveryFilter{Answer: Answer5xx})),
		scanning("list answer of all", filtered("", DeliveryFilter{Answer: AnswerNone})),
		scanning("list type of all", filtered("", DeliveryFilter{Type: "none"})),
		scanning("list event of all", filtered("", DeliveryFilter{EventID: "none"})),
		scanning("list deployment and state", filtered("big", DeliveryFilter{DeploymentID: "hot", States: []State{Superseded}})),
		scanning("list endpoint and type", listOf("", func(g *grown) DeliveryFilter { return DeliveryFilter{Endpoint: g.big[0], Type: "none"} }, Page{})),
		scanning("list replay and endpoint", listOf("", func(g *grown) DeliveryFilter {
			return DeliveryFilter{Replay: grownReplay, Endpoint: g.big[1]}
		}, Page{})),
	}
}

// histories count by the hour.
func histories() []operation {
	day := func(g *grown, most int) HistorySpan {
		return HistorySpan{From: g.at(g.n / 2), Step: time.Hour, Slots: 24, Most: most}
	}
	return []operation{
		{name: "history of endpoints", rows: 24*5*4*20 + 600, pages: 3000, run: func(t *testing.T, g *grown) {
			all, err := g.App("big").History(t.Context(), g.big, day(g, 20))
			require.NoError(t, err)
			require.Len(t, all, len(g.big))
		}},
		{name: "history of all", rows: 24*50 + 600, pages: 3000, run: func(t *testing.T, g *grown) {
			_, err := g.Outbox.History(t.Context(), day(g, 50))
			require.NoError(t, err)
		}},
	}
}

// tooLarge runs operations and returns the statements that have read too much.
func (g *grown) tooLarge(t *testing.T, c *tracer, all []operation) (offending []string) {
	c.take()
	for _, o := range all {
		o.run(t, g)
		most := o.rows
		if g.db.Dialect() == jobdb.SQLite {
			most = o.pages
		}
		if most == 0 {
			most = 600
		}
		for _, e := range c.take() {
			if e.read > most {
				offending = append(offending, fmt.Sprintf("%s: one statement read %d, more than %d:\n%s\n%s", o.name, e.read, most, e.text, e.plan))
			}
		}
	}
	return offending
}

// TestPlans_Bounded checks what statements really read, before and after the
// database has collected statistics. The tables have 100,000 rows, or on SQLite
// 10,000 without -outbox.full.
func TestPlans_Bounded(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		g := grow(o, o.large(100_000))
		all := slices.Concat(lists(), histories(), searches(), publishing(), delivering(), reading(), maintaining())
		require.Empty(t, g.tooLarge(t, c, all), "without statistics")
		g.exec(`VACUUM`)
		g.exec(`ANALYZE`)
		require.Empty(t, g.tooLarge(t, c, append(all, missing()...)), "with statistics")
	}, WithSupersession())
}

// definition returns the statement that creates an index.
func (g *grown) definition(index string) string {
	query := `SELECT sql FROM sqlite_schema WHERE name = ?`
	if g.db.Dialect() == jobdb.Postgres {
		query = `SELECT indexdef FROM pg_indexes WHERE indexname = ?`
	}
	all, err := jobdb.Collect(g.t.Context(), g.db, scanText, query, index)
	require.NoError(g.t, err)
	require.Len(g.t, all, 1, index)
	return all[0]
}

// TestPlans_NeedEachIndex checks that the statements read too much without any
// one of the indexes.
func TestPlans_NeedEachIndex(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		g := grow(o, 20_000)
		_, err := g.retention.count(t.Context())
		require.NoError(t, err)
		for index, calls := range needing() {
			definition := g.definition(index)
			g.exec(`DROP INDEX {schema}` + index)
			require.NotEmpty(t, g.tooLarge(t, c, calls), index)
			g.exec(definition)
		}
	}, WithSupersession())
}
