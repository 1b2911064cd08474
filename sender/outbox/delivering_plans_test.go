// The race detector makes SQLite about twenty times slower, and these tests
// have large tables. The gate also runs them without it.

//go:build !race

package outbox

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPlans_DeliveringReadsOwnEndpoints checks that publishing and delivering
// read no endpoints of other apps. Without the index of an app's endpoints they
// would.
func TestPlans_DeliveringReadsOwnEndpoints(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		g := grow(o, 200)
		g.growOperator(20_000)
		all := slices.DeleteFunc(slices.Concat(publishing(), delivering(), admitting()), func(o operation) bool {
			return o.rows > 600 || o.name == "erase" // they read more deliveries, or one that is missing here
		})
		require.Empty(t, g.tooLarge(t, c, all), "without statistics")
		g.exec(`VACUUM`)
		g.exec(`ANALYZE`)
		require.Empty(t, g.tooLarge(t, c, all), "with statistics")
		g.exec(`DROP INDEX {schema}outbox_endpoint_app`)
		require.NotEmpty(t, g.tooLarge(t, c, all))
	}, WithSupersession())
}

// admitting are the statements about one endpoint that workers run before and
// after an attempt.
func admitting() []operation {
	return []operation{
		{name: "unseal", run: func(t *testing.T, g *grown) {
			_, err := g.endpoints.readUnsealed(t.Context(), g.db, g.big[0])
			require.NoError(t, err)
		}},
		{name: "take a rate slot", run: func(t *testing.T, g *grown) {
			slots := &rateSlots{g.db, g.big[0]}
			taken, _, err := slots.Take(t.Context(), 0)
			require.NoError(t, err)
			require.True(t, taken)
			_, err = slots.untilNext(t.Context())
			require.NoError(t, err)
		}},
		{name: "open a breaker and recover", run: func(t *testing.T, g *grown) {
			const waiting = 7 // to the endpoint that is down
			d := g.loaded(g.id(waiting))
			g.write(d.failed(time.Now(), time.Now().Add(time.Hour)))
			g.health.storeOpenBreaker(t.Context(), d, time.Now().Add(time.Hour))
			require.NotZero(t, g.loaded(d.id).breakerOpenUntil)
			g.write(d.delivered(time.Now()))
			require.Zero(t, g.loaded(d.id).breakerOpenUntil)
		}},
	}
}

// sequenced are the statements of workers that keep the order of a deployment.
// The large deployment has 2,500 waiting deliveries to one endpoint, every
// fortieth from the 24th. Each call ends the oldest of them.
func sequenced() []operation {
	const begin, every = 23, 40
	ended := 0
	nth := func(g *grown, n int) *loaded { return g.loaded(g.id(begin + n*every)) }
	blocked := func(g *grown, id string) (yes bool) {
		require.NoError(g.t, g.db.QueryRow(g.t.Context(), `SELECT blocked = 1 FROM {schema}outbox_delivery WHERE id = ?`, id).Scan(&yes))
		return yes
	}
	return []operation{
		{name: "load in order", run: func(t *testing.T, g *grown) {
			require.Equal(t, g.id(begin+ended*every), nth(g, g.n/every-1).older)
			require.Empty(t, nth(g, ended).older)
		}},
		{name: "block and unblock", run: func(t *testing.T, g *grown) {
			older, newer := nth(g, ended), nth(g, ended+1)
			g.write(&result{id: newer.id, job: newer.job, blockedBy: newer.older, nextAt: time.Now().Add(time.Hour)})
			require.True(t, blocked(g, newer.id))
			g.write(older.delivered(time.Now()))
			require.False(t, blocked(g, newer.id))
			ended++
		}},
	}
}

// TestPlans_Ordering checks what workers read with WithOrdering, and that they
// read too much without the index of a deployment's waiting deliveries.
func TestPlans_Ordering(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		g := grow(o, o.large(100_000))
		all := sequenced()
		require.Empty(t, g.tooLarge(t, c, all), "without statistics")
		g.exec(`VACUUM`)
		g.exec(`ANALYZE`)
		require.Empty(t, g.tooLarge(t, c, all), "with statistics")
		g.exec(`DROP INDEX {schema}outbox_delivery_order`)
		require.NotEmpty(t, g.tooLarge(t, c, all))
	}, WithOrdering())
}
