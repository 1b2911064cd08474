package outbox

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

func TestCount(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Count{
		"0": {}, "999": {N: 999}, "1,000": {N: 1000}, "10,000": {N: MaxCount}, "10,000+": {N: MaxCount, More: true}, "1,234,567": {N: 1234567},
		"12+": {N: 12, More: true},
	} {
		assert.Equal(t, want, c.String())
	}
}

// TestStats_AsCountedOneByOne compares figures with those of a count of all
// rows, with a small limit in place of 10,000.
func TestStats_AsCountedOneByOne(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		random := rand.New(rand.NewPCG(1, 2))
		var ids []string
		apps := []string{"one", "two", "three"}
		for _, app := range apps {
			for range 2 {
				o.endpoint(app, 0)
			}
			require.NoError(t, o.RegisterApp(t.Context(), "idle"))
			for range 8 {
				o.publishOne(app)
			}
		}
		ids, err := jobdb.Collect(t.Context(), o.db, scanText, `SELECT id FROM {schema}outbox_delivery ORDER BY id`)
		require.NoError(t, err)
		require.Len(t, ids, 48)
		for range 12 {
			for _, id := range ids {
				o.shuffle(random, id)
			}
			for _, most := range []int64{3, 20, 48} { // of 48
				r := &statsReader{o.db, most}
				o.requireCounted(r, scope{})
				for _, app := range append(apps, "idle") {
					o.requireCounted(r, scope{app: app})
				}
				o.requireCounted(r, scope{app: "one", endpoint: o.ownerOf("outbox_delivery", ids[0]).firstEndpoint(t)})
			}
		}
	})
}

func (a *App) firstEndpoint(t testing.TB) string {
	t.Helper()
	all, err := a.Endpoints(t.Context())
	require.NoError(t, err)
	return all[0].ID
}

// shuffle gives a delivery a random state.
func (o *inside) shuffle(random *rand.Rand, id string) {
	o.t.Helper()
	states := []State{Pending, Pending, Pending, Delivered, Failed, Canceled, Superseded}
	state := states[random.IntN(len(states))]
	next := time.Now().Add(time.Duration(random.IntN(2000)-1000) * time.Hour)
	claim := []string{"claimed_until = {now} + 3600000000, run_at = 1", "claimed_until = 0, run_at = 2"}[random.IntN(2)] // the oldest are claimed first
	o.exec(`UPDATE {schema}outbox_delivery SET state = ?, next_at = ? WHERE id = ?`, string(state), micros(next), id)
	o.exec(`UPDATE {schema}outbox_job SET `+claim+` WHERE id = (SELECT job FROM {schema}outbox_delivery WHERE id = ?)`, id)
}

// counted is a delivery as the plain count sees it.
type counted struct {
	app, endpoint, state string
	next, running        int64
}

func (o *inside) requireCounted(r *statsReader, of scope) {
	o.t.Helper()
	all, err := jobdb.Collect(o.t.Context(), o.db, func(row jobdb.Row) (c counted, err error) {
		return c, row.Scan(&c.app, &c.endpoint, &c.state, &c.next, &c.running)
	}, `SELECT d.app, d.endpoint, d.state, d.next_at, CASE WHEN j.claimed_until > 0 THEN 1 ELSE 0 END
		FROM {schema}outbox_delivery d JOIN {schema}outbox_job j ON j.id = d.job ORDER BY d.id`)
	require.NoError(o.t, err)
	running := int64(0)
	for _, c := range all {
		running += c.running
	}
	all = slices.DeleteFunc(all, func(c counted) bool {
		return of.app != "" && c.app != of.app || of.endpoint != "" && c.endpoint != of.endpoint
	})
	s, err := r.read(o.t.Context(), of)
	require.NoError(o.t, err)

	byState, backlog := map[State]int64{}, r.plainBacklog(all, s.AsOf)
	endpoints := map[string]bool{}
	for _, c := range all {
		byState[State(c.state)]++
		if c.state == string(Pending) || c.state == string(Failed) {
			endpoints[c.endpoint] = true
		}
	}
	for _, state := range []State{Pending, Delivered, Failed, Canceled, Superseded} {
		require.Equal(o.t, r.count(byState[state]), s.States[state], state)
	}
	if running > r.most { // the sample has other jobs than the plain count
		require.True(o.t, s.InFlight.More)
		require.LessOrEqual(o.t, s.InFlight.N, backlog.InFlight.N)
		backlog.InFlight = s.InFlight
	}
	require.Equal(o.t, backlog, s.Backlog)
	if s.Pending.More || s.States[Failed].More || s.InFlight.More {
		return
	}
	require.Len(o.t, s.Endpoints, len(endpoints))
	require.True(o.t, slices.IsSortedFunc(s.Endpoints, func(a, b EndpointBacklog) int { return b.Due.N - a.Due.N }))
	for _, e := range s.Endpoints {
		own := slices.DeleteFunc(slices.Clone(all), func(c counted) bool { return c.endpoint != e.Endpoint })
		require.Equal(o.t, r.plainBacklog(own, s.AsOf), e.Backlog)
		failed := slices.DeleteFunc(own, func(c counted) bool { return c.state != string(Failed) })
		require.Equal(o.t, r.count(int64(len(failed))), e.Failed)
		require.Equal(o.t, EndpointActive, e.State)
		require.NotEmpty(o.t, e.App)
	}
}

// plainBacklog counts one by one, in the order of the IDs.
func (r *statsReader) plainBacklog(all []counted, now time.Time) (b Backlog) {
	var pending, due, running int64
	for _, c := range all {
		if c.state != string(Pending) {
			continue
		}
		pending++
		running += c.running
		if pending > r.most+1 { // not in the sample
			continue
		}
		if c.next <= micros(now) {
			due++
			b.addDue(c.next)
		}
	}
	b.Pending, b.Due, b.InFlight = r.count(pending), r.count(due), r.count(running)
	b.Due.More = b.Pending.More
	return b
}

func TestStats(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		ctx := t.Context()
		busy, other := o.endpoint("shop", 0), o.endpoint("rival", 0)
		first := o.publishOne("shop")
		o.publishOne("rival")
		o.exec(`UPDATE {schema}outbox_endpoint SET breaker_open_until = ? WHERE id = ?`, micros(time.UnixMicro(7)), busy)

		all, err := o.Stats(ctx)
		require.NoError(t, err)
		assert.Equal(t, Count{N: 2}, all.Pending)
		assert.Equal(t, Count{N: 2}, all.Due)
		assert.Len(t, all.Endpoints, 2)
		assert.WithinDuration(t, time.Now(), all.AsOf, time.Minute)

		shop, err := o.App("shop").Stats(ctx)
		require.NoError(t, err)
		assert.Equal(t, Count{N: 1}, shop.Pending)
		assert.Equal(t, o.delivery(first).NextAt, shop.OldestDue)
		require.Len(t, shop.Endpoints, 1)
		assert.Equal(t, busy, shop.Endpoints[0].Endpoint)
		assert.Equal(t, "shop", shop.Endpoints[0].App)
		assert.Equal(t, time.UnixMicro(7).UTC(), shop.Endpoints[0].BreakerOpenUntil)

		one, err := o.App("shop").EndpointStats(ctx, busy)
		require.NoError(t, err)
		assert.Equal(t, Count{N: 1}, one.Pending)
		assert.Equal(t, Count{}, one.States[Delivered])
		assert.Equal(t, EndpointActive, one.State)

		// The caller owns what it gets.
		shop.States[Pending] = Count{N: 99}
		shop.Endpoints[0].App = "changed"
		again, err := o.App("shop").Stats(ctx)
		require.NoError(t, err)
		assert.Equal(t, Count{N: 1}, again.States[Pending])
		assert.Equal(t, "shop", again.Endpoints[0].App)

		_, err = o.App("shop").EndpointStats(ctx, other)
		require.ErrorIs(t, err, ErrUnknownEndpoint)
		_, err = o.App("none").Stats(ctx)
		require.ErrorIs(t, err, ErrUnknownApp)
	})
}

func TestStats_EventsWithoutPosition(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		o.endpoint("rival", 0)
		o.publishOne("shop")
		r := &statsReader{o.db, MaxCount}
		for app, want := range map[string]int{"": 1, "shop": 1, "rival": 0} {
			if o.db.Dialect() == jobdb.SQLite {
				want = 0
			}
			s, err := r.read(t.Context(), scope{app: app})
			require.NoError(t, err)
			assert.Equal(t, Count{N: want}, s.EventsWithoutPosition, app)
			assert.Equal(t, want == 0, s.OldestWithoutPosition.IsZero(), app)
		}
		require.NoError(t, o.feed.place(t.Context()))
		s, err := r.read(t.Context(), scope{})
		require.NoError(t, err)
		assert.Equal(t, Count{}, s.EventsWithoutPosition)
	})
}
