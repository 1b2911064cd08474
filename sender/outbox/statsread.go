package outbox

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// walkedApps is the number of apps whose index the operator's counts walk
// through. No index begins with the state alone.
const walkedApps = 1000

// statsReader counts up to most, which is MaxCount outside tests. Each of its
// statements reads at most one row more of an index, and where necessary the
// row of the table.
type statsReader struct {
	db   *jobdb.DB
	most int64
}

// plainPlans keeps PostgreSQL from reading and sorting all that matches instead
// of walking along an index, which it prefers if it expects few rows.
const plainPlans = `SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
	set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('jit', 'off', true)`

// read counts everything.
func (r *statsReader) read(ctx context.Context, of scope) (s Stats, err error) {
	if r.db.Dialect() == jobdb.SQLite {
		c := counter{r, r.db.Reader(), of, time.Now(), map[owned]*EndpointBacklog{}}
		return c.read(ctx)
	}
	err = r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		if _, err := tx.Exec(ctx, plainPlans); err != nil {
			return err
		}
		c := counter{r, tx, of, time.Now(), map[owned]*EndpointBacklog{}}
		s, err = c.read(ctx)
		return err
	})
	return s, err
}

// count is the result of a statement that has read n rows.
func (r *statsReader) count(n int64) Count { return Count{N: int(min(n, r.most)), More: n > r.most} }

// scope is what Stats are about: everything, an app, or an endpoint of an app.
type scope struct{ app, endpoint string }

// where returns the condition on outbox_delivery d that an index has in front
// of the state.
func (s scope) where() (condition string, args []any) {
	switch {
	case s.endpoint != "":
		return `d.endpoint = ?`, []any{s.endpoint}
	case s.app != "":
		return `d.app = ?`, []any{s.app}
	}
	return `d.size > 0`, nil // the condition of the operator's indexes
}

// counter makes one Stats.
type counter struct {
	*statsReader
	q         jobdb.Querier
	of        scope
	now       time.Time
	endpoints map[owned]*EndpointBacklog
}

func (c *counter) read(ctx context.Context) (Stats, error) {
	s := Stats{AsOf: c.now.UTC().Round(0), States: map[State]Count{}}
	for _, step := range []func(context.Context, *Stats) error{c.readPending, c.readFailed, c.readInFlight, c.readStates, c.readHealth, c.readUnplaced} {
		if err := step(ctx, &s); err != nil {
			return Stats{}, err
		}
	}
	s.Endpoints = worst(c.endpoints)
	return s, c.readEndpoints(ctx, s.Endpoints)
}

// group is a part of a sample with the same endpoint.
type group struct {
	key            owned // the ID is that of the endpoint
	n, due, oldest int64
}

// readPending reads the deliveries that were published first.
func (c *counter) readPending(ctx context.Context, s *Stats) error {
	where, args := c.of.where()
	groups, err := jobdb.Collect(ctx, c.q, func(row jobdb.Row) (g group, err error) {
		return g, row.Scan(&g.key.app, &g.key.id, &g.n, &g.due, &g.oldest)
	}, `SELECT app, endpoint, COUNT(*), COUNT(due_at), COALESCE(MIN(due_at), 0) FROM (
			SELECT d.app, d.endpoint, CASE WHEN d.next_at <= ? THEN d.next_at END AS due_at FROM {schema}outbox_delivery d
			WHERE `+where+` AND d.state = 'pending' ORDER BY `+c.idOrder()+` LIMIT ?) AS sample
		GROUP BY app, endpoint`, append(append([]any{micros(c.now)}, args...), c.most+1)...)
	if err != nil {
		return err
	}
	var n, due int64
	for _, g := range groups {
		n, due = n+g.n, due+g.due
		s.addDue(g.oldest)
	}
	s.Pending, s.Due = c.count(n), c.count(due)
	s.Due.More = s.Pending.More
	for _, g := range groups {
		e := c.backlogOf(g.key)
		e.Pending, e.Due = c.count(g.n), c.count(g.due)
		e.Pending.More, e.Due.More = s.Pending.More, s.Pending.More
		e.addDue(g.oldest)
	}
	s.States[Pending] = s.Pending
	return nil
}

// addDue takes the time of a due delivery into account, 0 for none.
func (b *Backlog) addDue(at int64) {
	if due := fromMicros(at); at != 0 && (b.OldestDue.IsZero() || due.Before(b.OldestDue)) {
		b.OldestDue = due
	}
}

func (c *counter) backlogOf(key owned) *EndpointBacklog {
	e := c.endpoints[key]
	if e == nil {
		e = &EndpointBacklog{App: key.app, Endpoint: key.id}
		c.endpoints[key] = e
	}
	return e
}

// readFailed reads the latest dead letters. They can be anywhere in a large
// table, so it reads only an index.
func (c *counter) readFailed(ctx context.Context, s *Stats) error {
	groups, err := c.failedGroups(ctx)
	if err != nil {
		return err
	}
	var n int64
	for _, g := range groups {
		n += g.n
	}
	s.States[Failed] = c.count(n)
	for _, g := range groups {
		e := c.backlogOf(g.key)
		e.Failed = c.count(g.n)
		e.Failed.More = s.States[Failed].More
	}
	return nil
}

func (c *counter) failedGroups(ctx context.Context) ([]group, error) {
	if c.of.endpoint != "" { // outbox_delivery_endpoint
		g := group{key: owned{c.of.app, c.of.endpoint}}
		statement, args := c.countState(Failed)
		if err := c.q.QueryRow(ctx, statement, args...).Scan(&g.n); err != nil || g.n == 0 {
			return nil, err
		}
		return []group{g}, nil
	}
	where, args := c.of.where() // outbox_delivery_app_failed, outbox_delivery_failed
	from := `{schema}outbox_delivery d`
	if c.of.app != "" && c.db.Dialect() == jobdb.SQLite {
		from += ` INDEXED BY outbox_delivery_app_failed` // and not outbox_delivery_app
	}
	return jobdb.Collect(ctx, c.q, func(row jobdb.Row) (g group, err error) {
		return g, row.Scan(&g.key.app, &g.key.id, &g.n)
	}, `SELECT app, endpoint, COUNT(*) FROM (SELECT d.app, d.endpoint FROM `+from+`
			WHERE `+where+` AND d.state = 'failed' ORDER BY `+c.idOrder()+` DESC LIMIT ?) AS sample
		GROUP BY app, endpoint`, append(args, c.most+1)...)
}

// readInFlight looks for the deliveries of running jobs. There are as many as
// all processes have workers.
func (c *counter) readInFlight(ctx context.Context, s *Stats) error {
	delivery := `{schema}outbox_delivery d ON d.id = job.ref AND d.job = job.id AND d.state = 'pending'`
	if c.db.Dialect() == jobdb.Postgres { // a join could read all deliveries
		delivery = `LATERAL (SELECT o.app, o.endpoint FROM {schema}outbox_delivery o
			WHERE o.id = job.ref AND o.job = job.id AND o.state = 'pending' LIMIT 1) d ON true`
	}
	groups, err := jobdb.Collect(ctx, c.q, func(row jobdb.Row) (g group, err error) {
		return g, row.Scan(&g.key.app, &g.key.id, &g.n)
	}, `SELECT COALESCE(d.app, ''), COALESCE(d.endpoint, ''), COUNT(*) FROM (`+jobdb.Running(jobTable)+`) AS job
		LEFT JOIN `+delivery+` GROUP BY d.app, d.endpoint`, jobdb.RunningArgs(c.most+1)...)
	if err != nil {
		return err
	}
	var jobs, n int64
	for _, g := range groups {
		jobs += g.n
	}
	more := jobs > c.most
	for _, g := range groups {
		if g.key.app == "" || c.of.app != "" && g.key.app != c.of.app || c.of.endpoint != "" && g.key.id != c.of.endpoint {
			continue
		}
		n += g.n
		e := c.backlogOf(g.key)
		e.InFlight = c.count(g.n)
		e.InFlight.More = more
	}
	s.InFlight = c.count(n)
	s.InFlight.More = more
	return nil
}

// readStates counts the states that have no sample.
func (c *counter) readStates(ctx context.Context, s *Stats) error {
	var apps int64
	if c.of == (scope{}) {
		err := c.q.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM {schema}outbox_app LIMIT ?) AS a`, int64(walkedApps+1)).Scan(&apps)
		if err != nil {
			return err
		}
	}
	for _, state := range []State{Delivered, Canceled, Superseded} {
		statement, args := c.countState(state)
		var n int64
		if err := c.q.QueryRow(ctx, statement, args...).Scan(&n); err != nil {
			return err
		}
		count := c.count(n)
		count.More = count.More || apps > walkedApps
		s.States[state] = count
	}
	return nil
}

func (c *counter) countState(state State) (statement string, args []any) {
	in := ` AND d.state = '` + string(state) + `' ORDER BY ` + c.idOrder() + ` LIMIT ?`
	if c.of != (scope{}) {
		where, args := c.of.where()
		return `SELECT COUNT(*) FROM (SELECT 1 FROM {schema}outbox_delivery d WHERE ` + where + in + `) AS n`, append(args, c.most+1)
	}
	apps := `SELECT COUNT(*) FROM (SELECT 1 FROM (SELECT id FROM {schema}outbox_app ORDER BY id LIMIT ?) AS a CROSS JOIN `
	if c.db.Dialect() == jobdb.SQLite {
		return apps + `{schema}outbox_delivery d WHERE d.app = a.id AND d.state = '` + string(state) + `' LIMIT ?) AS n`,
			[]any{int64(walkedApps), c.most + 1}
	}
	return apps + `LATERAL (SELECT 1 FROM {schema}outbox_delivery d WHERE d.app = a.id` + in + `) AS d LIMIT ?) AS n`,
		[]any{int64(walkedApps), c.most + 1, c.most + 1}
}

// readUnplaced counts the events that feed.place has not seen yet.
func (c *counter) readUnplaced(ctx context.Context, s *Stats) error {
	if c.db.Dialect() == jobdb.SQLite || c.of.endpoint != "" {
		return nil
	}
	var all, own, oldest int64
	err := c.q.QueryRow(ctx, `SELECT COUNT(*), COUNT(own), COALESCE(MIN(own), 0) FROM (
			SELECT CASE WHEN CAST(? AS text) IN ('', app) THEN created_at END AS own FROM {schema}outbox_event WHERE position = 0
			ORDER BY created_at LIMIT ?) AS e`, c.of.app, c.most+1).Scan(&all, &own, &oldest)
	s.EventsWithoutPosition, s.OldestWithoutPosition = c.count(own), fromMicros(oldest)
	s.EventsWithoutPosition.More = all > c.most
	return err
}

// worst returns the endpoints with the largest backlogs.
func worst(endpoints map[owned]*EndpointBacklog) []EndpointBacklog {
	all := make([]EndpointBacklog, 0, len(endpoints))
	for _, e := range endpoints {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b EndpointBacklog) int {
		return cmp.Or(cmp.Compare(b.Due.N, a.Due.N), cmp.Compare(b.Pending.N, a.Pending.N), cmp.Compare(b.Failed.N, a.Failed.N),
			cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return all[:min(len(all), MaxStatsEndpoints)]
}

// readEndpoints adds the state of endpoints that still exist.
func (c *counter) readEndpoints(ctx context.Context, all []EndpointBacklog) error {
	ids, byID := make([]string, len(all)), map[string]*EndpointBacklog{}
	for i := range all {
		ids[i], byID[all[i].Endpoint] = all[i].Endpoint, &all[i]
	}
	in, list := anyOf(c.db, ids)
	_, err := jobdb.Collect(ctx, c.q, func(row jobdb.Row) (none struct{}, err error) {
		var id, state string
		var open int64
		if err = row.Scan(&id, &state, &open); err == nil {
			byID[id].State, byID[id].BreakerOpenUntil = EndpointState(state), fromMicros(open)
		}
		return none, err
	}, `SELECT id, state, breaker_open_until FROM {schema}outbox_endpoint WHERE id `+in, list)
	return err
}

// idOrder is the order of the indexes, see migrations.
func (c *counter) idOrder() string {
	if c.db.Dialect() == jobdb.Postgres {
		return `d.id COLLATE "POSIX"`
	}
	return `d.id`
}

// copy returns a Stats that shares nothing with s.
func (s Stats) copy() Stats {
	s.States, s.Endpoints = maps.Clone(s.States), slices.Clone(s.Endpoints)
	s.EndpointStates = maps.Clone(s.EndpointStates)
	return s
}
