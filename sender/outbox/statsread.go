package outbox

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// walkedApps is the number of apps whose index the operator's counts walk
// through. No index begins with the state alone.
const walkedApps = 1000

// statsReader counts up to most, which is MaxCount outside tests. Each of its
// statements reads at most one row more of an index, and where necessary the
// row of the table.
type statsReader struct {
	db   *riverdb.DB
	most int64
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
	return `1 = 1`, nil
}

// read counts everything.
func (r *statsReader) read(ctx context.Context, of scope) (Stats, error) {
	now := time.Now()
	s := Stats{AsOf: now.UTC().Round(0), States: map[State]Count{}}
	endpoints := map[owned]*EndpointBacklog{}
	for _, step := range []func() error{
		func() error { return r.readPending(ctx, of, now, &s, endpoints) },
		func() error { return r.readFailed(ctx, of, &s, endpoints) },
		func() error { return r.readInFlight(ctx, of, &s, endpoints) },
		func() error { return r.readStates(ctx, of, &s) },
		func() error { return r.readUnplaced(ctx, of, &s) },
	} {
		if err := step(); err != nil {
			return Stats{}, err
		}
	}
	s.Endpoints = worst(endpoints)
	return s, r.readEndpoints(ctx, s.Endpoints)
}

// group is a part of a sample with the same endpoint.
type group struct {
	key            owned // the ID is that of the endpoint
	n, due, oldest int64
}

// sample reads up to most + 1 deliveries in a state, in the given order.
func (r *statsReader) sample(ctx context.Context, of scope, state State, order string, now time.Time) ([]group, error) {
	where, args := of.where()
	return riverdb.Collect(ctx, r.db.Reader(), func(row riverdb.Row) (g group, err error) {
		return g, row.Scan(&g.key.app, &g.key.id, &g.n, &g.due, &g.oldest)
	}, `SELECT app, endpoint, COUNT(*), COUNT(due_at), COALESCE(MIN(due_at), 0) FROM (
			SELECT d.app, d.endpoint, CASE WHEN d.next_at <= ? THEN d.next_at END AS due_at FROM {schema}outbox_delivery d
			WHERE `+where+` AND d.state = '`+string(state)+`' ORDER BY `+of.id(r.db.Dialect())+` `+order+` LIMIT ?) AS sample
		GROUP BY app, endpoint`, append(append([]any{micros(now)}, args...), r.most+1)...)
}

func (r *statsReader) readPending(ctx context.Context, of scope, now time.Time, s *Stats, endpoints map[owned]*EndpointBacklog) error {
	groups, err := r.sample(ctx, of, Pending, `ASC`, now)
	if err != nil {
		return err
	}
	var n, due int64
	for _, g := range groups {
		n, due = n+g.n, due+g.due
		s.addDue(g.oldest)
	}
	s.Pending, s.Due = r.count(n), r.count(due)
	s.Due.More = s.Pending.More
	for _, g := range groups {
		e := backlogOf(endpoints, g.key)
		e.Pending, e.Due = r.count(g.n), r.count(g.due)
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

func backlogOf(endpoints map[owned]*EndpointBacklog, key owned) *EndpointBacklog {
	e := endpoints[key]
	if e == nil {
		e = &EndpointBacklog{App: key.app, Endpoint: key.id}
		endpoints[key] = e
	}
	return e
}

func (r *statsReader) readFailed(ctx context.Context, of scope, s *Stats, endpoints map[owned]*EndpointBacklog) error {
	groups, err := r.sample(ctx, of, Failed, `DESC`, time.Time{})
	if err != nil {
		return err
	}
	var n int64
	for _, g := range groups {
		n += g.n
	}
	s.States[Failed] = r.count(n)
	for _, g := range groups {
		e := backlogOf(endpoints, g.key)
		e.Failed = r.count(g.n)
		e.Failed.More = s.States[Failed].More
	}
	return nil
}

// readInFlight looks for the deliveries of running jobs. There are as many as
// all processes have workers.
func (r *statsReader) readInFlight(ctx context.Context, of scope, s *Stats, endpoints map[owned]*EndpointBacklog) error {
	delivery := `{schema}outbox_delivery d ON d.id = job.delivery AND d.job = job.id AND d.state = 'pending'`
	if r.db.Dialect() == riverdb.Postgres { // a join could read all deliveries
		delivery = `LATERAL (SELECT app, endpoint FROM {schema}outbox_delivery WHERE id = job.delivery AND outbox_delivery.job = job.id AND state = 'pending' LIMIT 1) d ON true`
	}
	groups, err := riverdb.Collect(ctx, r.db.Reader(), func(row riverdb.Row) (g group, err error) {
		return g, row.Scan(&g.key.app, &g.key.id, &g.n)
	}, `SELECT COALESCE(d.app, ''), COALESCE(d.endpoint, ''), COUNT(*) FROM (SELECT id, args->>'id' AS delivery FROM {schema}river_job
			WHERE state = 'running' AND queue = '`+queueName+`' ORDER BY priority, scheduled_at, id LIMIT ?) AS job
		LEFT JOIN `+delivery+` GROUP BY d.app, d.endpoint`, r.most+1)
	if err != nil {
		return err
	}
	var jobs, n int64
	for _, g := range groups {
		jobs += g.n
	}
	more := jobs > r.most
	for _, g := range groups {
		if g.key.app == "" || of.app != "" && g.key.app != of.app || of.endpoint != "" && g.key.id != of.endpoint {
			continue
		}
		n += g.n
		e := backlogOf(endpoints, g.key)
		e.InFlight = r.count(g.n)
		e.InFlight.More = more
	}
	s.InFlight = r.count(n)
	s.InFlight.More = more
	return nil
}

// readStates counts the states that have no sample.
func (r *statsReader) readStates(ctx context.Context, of scope, s *Stats) error {
	var apps int64
	if of == (scope{}) {
		err := r.db.Reader().QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM {schema}outbox_app LIMIT ?) AS a`, int64(walkedApps+1)).Scan(&apps)
		if err != nil {
			return err
		}
	}
	for _, state := range []State{Delivered, Canceled, Superseded} {
		statement, args := r.countState(of, state)
		var n int64
		if err := r.db.Reader().QueryRow(ctx, statement, args...).Scan(&n); err != nil {
			return err
		}
		c := r.count(n)
		c.More = c.More || apps > walkedApps
		s.States[state] = c
	}
	return nil
}

func (r *statsReader) countState(of scope, state State) (statement string, args []any) {
	in := ` AND d.state = '` + string(state) + `' ORDER BY ` + of.id(r.db.Dialect()) + ` LIMIT ?`
	if of != (scope{}) {
		where, args := of.where()
		return `SELECT COUNT(*) FROM (SELECT 1 FROM {schema}outbox_delivery d WHERE ` + where + in + `) AS n`, append(args, r.most+1)
	}
	apps := `SELECT COUNT(*) FROM (SELECT 1 FROM (SELECT id FROM {schema}outbox_app ORDER BY id LIMIT ?) AS a CROSS JOIN `
	if r.db.Dialect() == riverdb.SQLite {
		return apps + `{schema}outbox_delivery d WHERE d.app = a.id AND d.state = '` + string(state) + `' LIMIT ?) AS n`,
			[]any{int64(walkedApps), r.most + 1}
	}
	return apps + `LATERAL (SELECT 1 FROM {schema}outbox_delivery d WHERE d.app = a.id` + in + `) AS d LIMIT ?) AS n`,
		[]any{int64(walkedApps), r.most + 1, r.most + 1}
}

// readUnplaced counts the events that feed.place has not seen yet.
func (r *statsReader) readUnplaced(ctx context.Context, of scope, s *Stats) error {
	if r.db.Dialect() == riverdb.SQLite || of.endpoint != "" {
		return nil
	}
	var all, own, oldest int64
	err := r.db.Reader().QueryRow(ctx, `SELECT COUNT(*), COUNT(own), COALESCE(MIN(own), 0) FROM (
			SELECT CASE WHEN CAST(? AS text) IN ('', app) THEN created_at END AS own FROM {schema}outbox_event WHERE position = 0
			ORDER BY created_at LIMIT ?) AS e`, of.app, r.most+1).Scan(&all, &own, &oldest)
	s.EventsWithoutPosition, s.OldestWithoutPosition = r.count(own), fromMicros(oldest)
	s.EventsWithoutPosition.More = all > r.most
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
func (r *statsReader) readEndpoints(ctx context.Context, all []EndpointBacklog) error {
	ids, byID := make([]string, len(all)), map[string]*EndpointBacklog{}
	for i := range all {
		ids[i], byID[all[i].Endpoint] = all[i].Endpoint, &all[i]
	}
	in, list := anyOf(r.db, ids)
	_, err := riverdb.Collect(ctx, r.db.Reader(), func(row riverdb.Row) (none struct{}, err error) {
		var id, state string
		var open int64
		if err = row.Scan(&id, &state, &open); err == nil {
			byID[id].State, byID[id].BreakerOpenUntil = EndpointState(state), fromMicros(open)
		}
		return none, err
	}, `SELECT id, state, breaker_open_until FROM {schema}outbox_endpoint WHERE id `+in, list)
	return err
}

// id is the column by which the index of a scope is sorted.
func (s scope) id(riverdb.Dialect) string { return `d.id` }

// copy returns a Stats that shares nothing with s.
func (s Stats) copy() Stats {
	s.States, s.Endpoints = maps.Clone(s.States), slices.Clone(s.Endpoints)
	return s
}
