package outbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// maintaining are the statements that run about once a minute.
func maintaining() []operation {
	pruning := func(change func(g *grown, r *retention)) func(t *testing.T, g *grown) {
		return func(t *testing.T, g *grown) {
			r := *g.retention
			r.eventAge, r.age, r.deadAge = 30*24*time.Hour, 30*24*time.Hour, 30*24*time.Hour
			change(g, &r)
			_, err := r.prune(t.Context(), &walks{})
			require.NoError(t, err)
		}
	}
	// They write in batches.
	all := []operation{
		{name: "maintain", run: func(t *testing.T, g *grown) { g.retention.maintain(t.Context()) }},
		{name: "prune nothing", run: pruning(func(*grown, *retention) {})},
		{name: "prune deliveries", run: pruning(func(g *grown, r *retention) { r.age = time.Since(g.at(700)) })},
		{name: "prune old dead letters", run: pruning(func(g *grown, r *retention) { r.deadAge = time.Since(g.at(2000)) })},
		{name: "keep events with deliveries", run: pruning(func(_ *grown, r *retention) { r.eventAge = time.Hour })},
		{name: "keep bodies", run: pruning(func(g *grown, r *retention) { r.bodyAge = time.Since(g.at(1200)) })},
		{name: "measure", run: pruning(func(_ *grown, r *retention) { r.maxBytes = 1 << 40 })},
		{name: "prune by size", run: pruning(func(g *grown, r *retention) { r.maxBytes = int64(g.n) * 1140 })},
		{name: "cancel", run: func(t *testing.T, g *grown) {
			g.exec(`UPDATE {schema}outbox_endpoint SET state = 'disabled' WHERE id = ?`, g.big[3])
			require.NoError(t, g.retention.cancelForgotten(t.Context()))
			require.NoError(t, g.health.cancelPending(t.Context(), owned{"big", g.big[3]}, "x"))
			require.NoError(t, g.App("big").Enable(t.Context(), g.big[3]))
		}},
	}
	for i := range all {
		all[i].rows, all[i].pages = 12_000, 30_000
	}
	return all
}
