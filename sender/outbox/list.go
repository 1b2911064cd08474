package outbox

import (
	"context"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// scanRows is the number of rows that one step of a scan reads at most.
const scanRows = 1000

// scan reads the deliveries that a filter selects in the order of their IDs.
//
// It walks through ranges of one index. Within each range the index has the
// order of the IDs, so a step reads only what it returns. Conditions that the
// index does not have are checked for each row. A step then reads up to
// scanRows rows, of which perhaps none matches. No step grows with the table.
//
// The statements leave the planner no choice between two indexes. Neither
// database needs statistics to find the right one.
type scan struct {
	none   bool     // nothing can match
	ranges []string // conditions on d that one index has
	args   []any    // of each range
	// unordered means that the index does not have the order of the IDs. There
	// is one range then, and it is small.
	unordered  bool
	primary    bool     // the index is the primary key
	checks     []string // conditions on d that the index does not have
	checkArgs  []any
	bounds     []string // operators on d.id
	boundArgs  []any
	descending bool
}

// selection is a filter for the deliveries of one app or of all.
type selection struct {
	DeliveryFilter

	app      string
	everyApp bool
}

// newScan chooses the index. The most selective field that is given decides.
func (f selection) newScan() (s scan, err error) {
	if _, err := f.states(); err != nil {
		return s, err
	}
	if _, err := f.answers(); err != nil {
		return s, err
	}
	if len(f.States) == 0 && f.Answer != "" && f.Answer != Answer2xx {
		f.States = []State{Pending, Failed, Canceled, Superseded} // Delivered has another answer
	}
	for _, text := range [...]string{f.app, f.Endpoint, f.EventID, string(f.Type), f.DeploymentID, f.Replay} {
		s.none = s.none || !storable(text) // PostgreSQL does not even compare it
	}
	s.none = s.none || f.app == "" && !f.everyApp
	rest := f.DeliveryFilter // what the index does not have
	switch {
	case f.app != "" && f.EventID != "": // outbox_delivery_event
		s.ranges, s.args, s.unordered = []string{`d.app = ? AND d.event = ?`}, []any{f.app, f.EventID}, true
		rest.EventID = ""
	case f.app != "" && f.DeploymentID != "": // outbox_delivery_deployment
		s.ranges, s.args = []string{`d.app = ? AND d.deployment = ?`}, []any{f.app, f.DeploymentID}
		rest.DeploymentID = ""
	case f.Replay != "": // outbox_delivery_replay
		s.eachState(f.States, `d.replay = ? AND d.replay <> ''`, f.Replay)
		rest.Replay, rest.States = "", nil
	case f.Endpoint != "": // outbox_delivery_endpoint
		s.eachState(f.States, `d.endpoint = ?`, f.Endpoint)
		rest.Endpoint, rest.States = "", nil
	case f.app != "": // outbox_delivery_app
		s.eachState(f.States, `d.app = ?`, f.app)
		rest.States = nil
	case onlyWatched(f.States): // outbox_delivery_pending, outbox_delivery_failed
		s.eachState(f.States, `d.size > 0`)
		rest.States = nil
	default: // the primary key
		s.ranges, s.primary = []string{`1 = 1`}, true
	}
	s.checkRest(rest)
	return s, nil
}

// onlyWatched reports whether the states are those for which the operator has
// an index.
func onlyWatched(states []State) bool {
	for _, s := range states {
		if s != Pending && s != Failed {
			return false
		}
	}
	return len(states) > 0
}

// checkRest adds the conditions that the index does not have, and the bounds in
// time.
func (s *scan) checkRest(f DeliveryFilter) {
	for _, c := range [...]struct{ column, value string }{
		{"endpoint", f.Endpoint},
		{"event", f.EventID},
		{"type", string(f.Type)},
		{"deployment", f.DeploymentID},
		{"replay", f.Replay},
	} {
		if c.value != "" {
			s.check(`d.`+c.column+` = ?`, c.value)
		}
	}
	if states, _ := f.states(); states != "" {
		s.check(states)
	}
	if answers, _ := f.answers(); answers != "" {
		s.check(answers)
	}
	if !f.Since.IsZero() {
		s.bound(` >= `, firstID(ceilMilli(f.Since)))
	}
	if !f.Until.IsZero() {
		s.bound(` < `, firstID(ceilMilli(f.Until)))
	}
}

func (s *scan) check(condition string, args ...any) {
	s.checks, s.checkArgs = append(s.checks, condition), append(s.checkArgs, args...)
}

// scan is newScan for a filter that may name an endpoint or a replay of another
// app. Nothing matches then. All deliveries of an endpoint have the same app,
// and so have those of a replay. Any one of them tells the app, which then also
// makes the indexes usable that begin with it.
func (f selection) scan(ctx context.Context, q jobdb.Querier) (scan, error) {
	s, err := f.newScan()
	if err != nil || s.none {
		return s, err
	}
	for _, owned := range [...]struct{ condition, value string }{
		{`endpoint = ?`, f.Endpoint},
		{`replay = ? AND replay <> ''`, f.Replay},
	} {
		if owned.value == "" {
			continue
		}
		apps, err := jobdb.Collect(ctx, q, scanText, `SELECT app FROM {schema}outbox_delivery WHERE `+owned.condition+` LIMIT 1`, owned.value)
		if err != nil {
			return s, err
		}
		if len(apps) == 0 || f.app != "" && f.app != apps[0] {
			return scan{none: true}, nil
		}
		f.app = apps[0]
	}
	return f.newScan()
}

// eachState makes a range for each state. The index has the state in front of
// the ID. Literals match the partial indexes.
func (s *scan) eachState(states []State, condition string, args ...any) {
	if len(states) == 0 {
		states = []State{Pending, Delivered, Failed, Canceled, Superseded}
	}
	sorted := slices.Clone(states)
	slices.Sort(sorted)
	for _, state := range slices.Compact(sorted) {
		s.ranges = append(s.ranges, condition+` AND d.state = '`+string(state)+`'`)
	}
	s.args = args
}

func (s *scan) bound(operator, id string) {
	s.bounds, s.boundArgs = append(s.bounds, operator), append(s.boundArgs, id)
}

// from lets the scan begin after an ID, which may be empty.
func (s *scan) from(id string) {
	switch {
	case id == "":
	case s.descending:
		s.bound(` < `, id)
	default:
		s.bound(` > `, id)
	}
}

// found is the result of one step of a scan.
type found struct {
	ids  []string
	last string // where the next step begins; empty after the last
}

// step returns up to limit matching IDs. There may be more even if it returns
// fewer, or none.
func (s *scan) step(ctx context.Context, d jobdb.Dialect, q jobdb.Querier, limit int) (found, error) {
	var out found
	if s.none {
		return out, nil
	}
	rows := limit + 1
	if len(s.checks) > 0 {
		rows = max(scanRows, rows)
	}
	type row struct {
		id      string
		matches int64
	}
	statement, args := s.statement(d, rows)
	all, err := jobdb.Collect(ctx, q, func(r jobdb.Row) (one row, err error) { return one, r.Scan(&one.id, &one.matches) },
		statement, args...)
	if err != nil {
		return out, err
	}
	for _, one := range all {
		if one.matches == 0 {
			continue
		}
		if len(out.ids) == limit {
			out.last = out.ids[limit-1]
			return out, nil
		}
		out.ids = append(out.ids, one.id)
	}
	if len(all) == rows {
		out.last = all[rows-1].id
	}
	return out, nil
}

// statement selects the next rows of the scan, and whether each matches.
func (s *scan) statement(d jobdb.Dialect, rows int) (text string, args []any) {
	if s.unordered {
		return s.sorted(rows)
	}
	if d == jobdb.Postgres {
		return s.onPostgres(rows)
	}
	var parts []string
	for _, r := range s.ranges {
		parts = append(parts, `SELECT d.id AS id, `+s.matches()+` AS matches FROM {schema}outbox_delivery d WHERE `+r+s.within(`d.id`))
		args = slices.Concat(args, s.checkArgs, s.args, s.boundArgs)
	}
	return strings.Join(parts, ` UNION ALL `) + s.order() + ` LIMIT ?`, append(args, int64(rows))
}

// onPostgres merges the IDs of the ranges and then checks the rows. PostgreSQL
// would read and sort whole ranges if they had no limits of their own, and
// might sort them if it read more of the rows than the IDs.
func (s *scan) onPostgres(rows int) (text string, args []any) {
	id := `d.id COLLATE "POSIX"` // as in the index
	if s.primary {
		id = `d.id`
	}
	var parts []string
	for _, r := range s.ranges {
		parts = append(parts, `SELECT id FROM (SELECT `+id+` AS id FROM {schema}outbox_delivery d WHERE `+r+s.within(id)+s.order()+` LIMIT ?) AS part`)
		args = append(slices.Concat(args, s.args, s.boundArgs), int64(rows))
	}
	text, args = strings.Join(parts, ` UNION ALL `)+s.order()+` LIMIT ?`, append(args, int64(rows))
	if len(s.checks) == 0 {
		return `SELECT id, 1 FROM (` + text + `) AS merged` + s.order(), args
	}
	return `SELECT id, (SELECT ` + s.matches() + ` FROM {schema}outbox_delivery d WHERE d.id = merged.id COLLATE "C") FROM (` + text + `) AS merged` +
		s.order(), slices.Concat(s.checkArgs, args)
}

// sorted reads the whole range first. The planner might otherwise read the
// table in the order of the IDs until it has found enough.
func (s *scan) sorted(rows int) (text string, args []any) {
	return `WITH d AS MATERIALIZED (SELECT * FROM {schema}outbox_delivery d WHERE ` + s.ranges[0] + `)
		SELECT d.id AS id, ` + s.matches() + ` FROM d WHERE 1 = 1` + s.within(`d.id`) + s.order() + ` LIMIT ?`,
		append(slices.Concat(s.args, s.checkArgs, s.boundArgs), int64(rows))
}

func (s *scan) matches() string {
	if len(s.checks) == 0 {
		return `1`
	}
	return `CASE WHEN ` + strings.Join(s.checks, ` AND `) + ` THEN 1 ELSE 0 END`
}

// within is the condition that an ID is within the bounds.
func (s *scan) within(id string) (condition string) {
	for _, operator := range s.bounds {
		condition += ` AND ` + id + operator + `?`
	}
	return condition
}

func (s *scan) order() string {
	if s.descending {
		return ` ORDER BY id DESC`
	}
	return ` ORDER BY id`
}

// deliveries returns a page of a list.
func (o *Outbox) deliveries(ctx context.Context, f selection, p Page) (page Deliveries, err error) {
	limit, before, err := p.parse(idPrefix)
	if err != nil {
		return page, err
	}
	s, err := f.scan(ctx, o.db.Reader())
	if err != nil {
		return page, wrap("reading deliveries", err)
	}
	s.descending = true
	s.from(before)
	found, err := s.step(ctx, o.db.Dialect(), o.db.Reader(), limit)
	if err != nil {
		return page, wrap("reading deliveries", err)
	}
	if found.last != "" {
		page.Next = cursor(found.last)
	}
	if len(found.ids) == 0 {
		return page, nil
	}
	in, list := anyOf(o.db, found.ids)
	all, err := jobdb.Collect(ctx, o.db.Reader(), func(r jobdb.Row) (Delivery, error) { return scanDelivery(r) },
		`SELECT `+deliveryColumns+` FROM {schema}outbox_delivery d WHERE d.id `+in+` ORDER BY d.id DESC`, list)
	for _, d := range all {
		if f.stillMatches(&d) {
			page.Items = append(page.Items, d)
		}
	}
	return page, wrap("reading deliveries", err)
}

// stillMatches checks the state, which can have changed since the scan, and the
// app again. With the app in the statement, PostgreSQL might read all of its
// deliveries.
func (f selection) stillMatches(d *Delivery) bool {
	state := d.State
	if state == Delivering {
		state = Pending
	}
	return (f.everyApp || d.App == f.app) && (len(f.States) == 0 || slices.Contains(f.States, state))
}
