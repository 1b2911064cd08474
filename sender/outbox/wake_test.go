package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// runsIn returns in what time the job of a delivery runs, by the clock of the
// database.
func (o *inside) runsIn(id string) time.Duration {
	o.t.Helper()
	var left int64
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `SELECT j.run_at - {now} FROM {schema}outbox_delivery d
		JOIN {schema}outbox_job j ON j.id = d.job WHERE d.id = ?`, id).Scan(&left))
	return micro(left)
}

// jobs counts the jobs that a delivery has.
func (o *inside) jobs(id string) (n int64) {
	o.t.Helper()
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `SELECT count(*) FROM {schema}outbox_delivery d
		JOIN {schema}outbox_job j ON j.id = d.job WHERE d.id = ?`, id).Scan(&n))
	return n
}

// sleeps puts the jobs of deliveries to sleep for an hour.
func (o *inside) sleeps(ids ...string) {
	o.t.Helper()
	for _, id := range ids {
		o.exec(`UPDATE {schema}outbox_job SET run_at = {now} + 3600000000 WHERE id = ?`, o.loaded(id).job)
	}
}

// setJob changes a column of a delivery's job.
func (o *inside) setJob(id, column, value string) {
	o.t.Helper()
	o.exec(`UPDATE {schema}outbox_job SET `+column+` = `+value+` WHERE id = ?`, o.loaded(id).job)
}

func (o *inside) search(endpoint, after string, most int) admission.Found {
	o.t.Helper()
	f, err := o.waker.search(o.t.Context(), admission.Search{Endpoint: endpoint, After: after, Most: most})
	require.NoError(o.t, err)
	return f
}

// A search wakes up the jobs of due deliveries, the oldest first. It leaves
// alone what waits for something else.
func TestWaker_SearchFindsSleepingJobs(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		var ids []string
		for range 8 {
			ids = append(ids, o.publishOne("shop"))
		}
		o.sleeps(ids...)
		other := o.endpoint("other", 0)
		foreign := o.publishOne("other")
		o.sleeps(foreign)
		o.write(o.loaded(ids[1]).failed(time.Now(), time.Now().Add(time.Hour)))
		o.setJob(ids[2], "claimed_until", "{now} + 60000000")
		o.setJob(ids[3], "failures", "1")
		o.write(o.loaded(ids[4]).delivered(time.Now()))

		f := o.search(e, "", 2)
		require.Equal(t, 2, f.Woken)
		require.Equal(t, ids[5], f.Next)
		f = o.search(e, f.Next, 2)
		require.Equal(t, 2, f.Woken)
		f = o.search(e, f.Next, 2)
		require.Equal(t, admission.Found{}, f)
		for i, id := range ids {
			switch {
			case i == 4: // its job has ended with it
				require.Zero(t, o.jobs(id))
			case i == 0 || i > 4:
				require.LessOrEqual(t, o.runsIn(id), time.Duration(0), i)
			default:
				require.Greater(t, o.runsIn(id), 30*time.Minute, i)
			}
		}
		require.Greater(t, o.runsIn(foreign), 30*time.Minute)
		o.setJob(ids[2], "claimed_until", "0")
		require.Equal(t, 1, o.search(e, "", 10).Woken)
		require.Equal(t, 1, o.search(other, "", 10).Woken)
		require.Equal(t, admission.Found{}, o.search("ep_unknown", "", 10))
	})
}

// A search reads a bounded number of deliveries, and the next one goes on where
// it has stopped.
func TestWaker_SearchIsBounded(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		const waiting = 3000
		o.insertPending(e, waiting, time.Now().Add(time.Hour))
		last := o.publishOne("shop")
		o.sleeps(last)
		searches := 0
		for f := (admission.Found{Next: ""}); f.Woken == 0; searches++ {
			require.Less(t, searches, 4)
			f = o.search(e, f.Next, 10)
			if searches == 0 {
				require.NotEmpty(t, f.Next)
			}
		}
		require.Equal(t, 2, searches)
	})
}

// insertPending stores deliveries without jobs that wait until a time.
func (o *inside) insertPending(endpoint string, n int, until time.Time) {
	o.t.Helper()
	template := o.publishOne("shop")
	numbers := `generate_series(1, CAST(? AS bigint)) AS s(n)`
	if o.db.Dialect() == jobdb.SQLite {
		numbers = `(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?) SELECT n FROM s) AS s`
	}
	columns := o.columns("outbox_delivery", "id", "event", "job", "next_at", "endpoint")
	o.exec(`INSERT INTO {schema}outbox_delivery (id, event, job, next_at, endpoint, `+columns+`)
		SELECT 'whk_0' || CAST(1000000 + s.n AS text), CAST(s.n AS text), -s.n, CAST(? AS bigint), ?, `+columns+` FROM {schema}outbox_delivery, `+numbers+` WHERE id = ?`,
		micros(until), endpoint, int64(n), template)
	o.exec(`DELETE FROM {schema}outbox_delivery WHERE id = ?`, template)
}

// columns returns the columns of a table except some, as in a statement.
func (o *inside) columns(table string, except ...string) (list string) {
	o.t.Helper()
	query := `SELECT string_agg(column_name, ', ') FROM information_schema.columns
		WHERE table_schema = '` + o.db.Schema() + `' AND table_name = ? AND NOT column_name = ANY(?)`
	var arg any = except
	if o.db.Dialect() == jobdb.SQLite {
		_, arg = anyOf(o.db, except)
		query = `SELECT group_concat(name, ', ') FROM pragma_table_info(?) WHERE name NOT IN (SELECT value FROM json_each(?))`
	}
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), query, table, arg).Scan(&list))
	return list
}

// A job that another process has locked is left alone, and nobody
// waits. So there can't be a deadlock.
func TestWaker_WaitsForNoLock(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() != jobdb.Postgres {
			return // SQLite has one writer at a time
		}
		e := o.endpoint("shop", 0)
		locked, free := o.publishOne("shop"), o.publishOne("shop")
		o.sleeps(locked, free)
		job := o.loaded(locked).job
		require.NoError(t, o.db.InTx(t.Context(), func(ctx context.Context, tx *jobdb.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE {schema}outbox_job SET ref = ref WHERE id = ?`, job); err != nil {
				return err
			}
			require.Equal(t, 1, o.search(e, "", 10).Woken)
			return nil
		}))
		require.LessOrEqual(t, o.runsIn(free), time.Duration(0))
		require.Greater(t, o.runsIn(locked), 30*time.Minute)
		require.Equal(t, 1, o.search(e, "", 10).Woken)
	})
}

// What lets deliveries be sent earlier is recorded in the same transaction. It
// stays on record until all deliveries were searched after it.
func TestWaker_ChangesAreOnRecord(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e, ctx := o.endpoint("shop", 1.0/3600), t.Context()
		require.False(t, o.isRoused(e))
		update := func(u EndpointUpdate) func() {
			return func() {
				_, err := o.App("shop").UpdateEndpoint(ctx, e, u)
				require.NoError(t, err)
			}
		}
		fast, url := 10.0, sender.NewURL("http://127.0.0.1:1/other")
		update(EndpointUpdate{Description: new("changed")})()
		require.False(t, o.isRoused(e))
		for name, change := range map[string]func(){
			"rate":   update(EndpointUpdate{RateLimit: &fast}),
			"url":    update(EndpointUpdate{URL: &url}),
			"enable": func() { require.NoError(t, o.App("shop").Enable(ctx, e)) },
			"recovered": func() {
				d := o.loaded(o.publishOne("shop"))
				o.health.storeOpenBreaker(ctx, d, time.Now().Add(time.Minute))
				o.write(d.delivered(time.Now()))
			},
		} {
			change()
			require.True(t, o.isRoused(e), name)
			_, err := o.waker.rouse(ctx, "")
			require.NoError(t, err)
			o.sleeps(o.publishOne("shop"), o.publishOne("shop"))
			f := o.search(e, "", 1)
			require.NotEmpty(t, f.Next)
			require.True(t, o.isRoused(e), name)
			require.NoError(t, o.App("shop").Enable(ctx, e)) // another change before the end of the pass
			_, err = o.waker.rouse(ctx, "")
			require.NoError(t, err)
			o.search(e, f.Next, 1000)
			require.True(t, o.isRoused(e), name)
			o.search(e, "", 1000)
			require.True(t, o.isRoused(e), name)
			o.settle()
			o.search(e, "", 1000)
			require.False(t, o.isRoused(e), name)
		}
		d := o.loaded(o.publishOne("shop"))
		o.write(d.delivered(time.Now()))
		require.False(t, o.isRoused(e), "a success as usual")
	})
}

// Another process has just put a job to sleep, for a reason that is no longer
// true, while the endpoint is searched. The endpoint is searched again when
// that pause is on record. The simulation of databases has found this: a limit
// was lifted, and a delivery of seed 25 stayed asleep for an hour.
func TestWaker_SearchesAgainWhenSettled(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e, ctx := o.endpoint("shop", 1.0/3600), t.Context()
		job, fast := o.publishOne("shop"), 10.0
		_, err := o.App("shop").UpdateEndpoint(ctx, e, EndpointUpdate{RateLimit: &fast})
		require.NoError(t, err)
		_, err = o.waker.rouse(ctx, "")
		require.NoError(t, err)
		require.Zero(t, o.search(e, "", 10).Woken)
		o.sleeps(job)
		require.False(t, o.waker.noted(e, 1), "it has not settled")
		require.True(t, o.isRoused(e))
		o.settle()
		require.Equal(t, 1, o.search(e, "", 10).Woken)
		require.False(t, o.isRoused(e))
	})
}

// settle lets the time pass until changes have settled, and looks for them.
func (o *inside) settle() {
	o.t.Helper()
	now := o.waker.now
	o.waker.now = func() time.Time { return now().Add(settled) }
	_, err := o.waker.rouse(o.t.Context(), "")
	require.NoError(o.t, err)
}

func (o *inside) isRoused(endpoint string) bool {
	o.t.Helper()
	var n int64
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `SELECT count(*) FROM {schema}outbox_endpoint WHERE id = ? AND wake > woken`, endpoint).Scan(&n))
	return n > 0
}

// All endpoints are found that have changed, however many there are.
func TestWaker_RousesAllPages(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		const endpoints = rousePage + 1
		for range endpoints {
			o.endpoint("shop", 0)
		}
		o.exec(`UPDATE {schema}outbox_endpoint SET wake = 1`)
		next, err := o.waker.rouse(t.Context(), "")
		require.NoError(t, err)
		require.NotEmpty(t, next)
		next, err = o.waker.rouse(t.Context(), next)
		require.NoError(t, err)
		require.Empty(t, next)
		require.Len(t, o.waker.roused, endpoints)
	}, WithMaxEndpoints(100))
}
