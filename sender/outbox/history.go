package outbox

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
)

const (
	// MaxHistorySlots is the maximum of HistorySpan.Slots.
	MaxHistorySlots = 100
	// MaxHistoryEndpoints is the maximum number of endpoints in one call of
	// [App.History].
	MaxHistoryEndpoints = 50

	maxHistoryStep = 366 * 24 * time.Hour
)

// HistorySpan is a time that is divided into slots of the same length.
type HistorySpan struct {
	// From is the start of the first slot. Required.
	From time.Time
	// Step is the length of a slot, from a second to a year of 366 days. Required.
	Step time.Duration
	// Slots is their number, from 1 to 100 ([MaxHistorySlots]). Required.
	Slots int
	// Most is the number up to which the deliveries of a slot are counted, for
	// each state. Zero means 1,000. A negative one and more than 10,000
	// ([MaxCount]) are errors.
	Most int
}

// Slot has the number of deliveries that were published in a part of a
// [HistorySpan], by their present state. [Pending] includes [Delivering].
type Slot struct {
	From   time.Time
	States map[State]Count
}

func (s *HistorySpan) check() error {
	switch {
	case s.Slots < 1 || s.Slots > MaxHistorySlots:
		return fieldError("HistorySpan.Slots", "%d: want 1 to %d", s.Slots, MaxHistorySlots)
	case s.From.IsZero():
		return fieldError("HistorySpan.From", "is required; it is the start of the first slot")
	case s.Step < time.Second || s.Step > maxHistoryStep:
		return fieldError("HistorySpan.Step", "%v: want a second to %v", s.Step, maxHistoryStep)
	case s.Most < 0 || s.Most > MaxCount:
		return fieldError("HistorySpan.Most", "%d: want 1 to %d, or 0 for 1000", s.Most, MaxCount)
	case s.Most == 0:
		s.Most = 1000
	}
	return nil
}

// slots returns empty slots, and the IDs between which their deliveries are.
func (s *HistorySpan) slots() (slots []Slot, bounds []string) {
	for i := range s.Slots + 1 {
		at := s.From.Add(time.Duration(i) * s.Step)
		bounds = append(bounds, firstID(ceilMilli(at)))
		if i < s.Slots {
			slots = append(slots, Slot{From: at, States: map[State]Count{}})
		}
	}
	return slots, bounds
}

// limited is a number that was counted up to one more than most.
func limited(n, most int64) Count { return Count{N: int(min(n, most)), More: n > most} }

// spans is a table b with the columns i, lo and hi, which has a row for each
// slot, and its arguments.
func spans(db *jobdb.DB, bounds []string) (table string, args []any) {
	n := len(bounds) - 1
	if db.Dialect() == jobdb.Postgres {
		return `unnest(?::text[], ?::text[]) WITH ORDINALITY AS b (lo, hi, i)`, []any{bounds[:n], bounds[1:]}
	}
	pairs := make([][2]string, n)
	for i := range pairs {
		pairs[i] = [2]string{bounds[i], bounds[i+1]}
	}
	text, _ := json.Marshal(pairs) // texts always marshal
	return `(SELECT key + 1 AS i, value ->> 0 AS lo, value ->> 1 AS hi FROM json_each(?)) AS b`, []any{string(text)}
}

// History counts the deliveries of some of the app's endpoints by the time of
// their publication and their state. IDs of other apps and of deleted endpoints
// are not in the result. It reads no more than Most deliveries for each number.
func (a *App) History(ctx context.Context, endpoints []string, span HistorySpan) (map[string][]Slot, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	if err := span.check(); err != nil {
		return nil, err
	}
	if len(endpoints) > MaxHistoryEndpoints {
		return nil, fieldError("endpoints", "%d: want at most %d", len(endpoints), MaxHistoryEndpoints)
	}
	all := map[string][]Slot{}
	for _, id := range endpoints {
		if a.of(id).storable() {
			all[id] = nil
		}
	}
	return all, wrap("counting", a.o.endpointHistory(ctx, a.name, all, span))
}

// allStates is a table s with the states.
const allStates = `(SELECT 'pending' AS state UNION ALL SELECT 'delivered' UNION ALL SELECT 'failed' UNION ALL SELECT 'canceled'
	UNION ALL SELECT 'superseded') AS s`

// slotCount is the number of one state in one slot, which counts from 1.
type slotCount struct {
	endpoint, state string
	slot, n         int64
}

func scanSlot(r jobdb.Row) (c slotCount, err error) {
	return c, r.Scan(&c.endpoint, &c.state, &c.slot, &c.n)
}

// endpointHistory fills the slots of endpoints, and removes those that the app
// does not have. The index outbox_delivery_endpoint has all that it reads. The
// order keeps PostgreSQL from reading a whole slot before it counts.
func (o *Outbox) endpointHistory(ctx context.Context, app string, all map[string][]Slot, span HistorySpan) error {
	_, bounds := span.slots()
	in, list := anyOf(o.db, slices.Collect(maps.Keys(all)))
	table, args := spans(o.db, bounds)
	id := `d.` + byID(o.db.Dialect())
	counts, err := jobdb.Collect(ctx, o.db.Reader(), scanSlot, `SELECT u.id, s.state, b.i, (SELECT count(*) FROM (SELECT 1 AS found
			FROM {schema}outbox_delivery d WHERE d.endpoint = u.id AND d.state = s.state AND `+id+` >= b.lo AND `+id+` < b.hi ORDER BY `+id+` LIMIT ?) AS bounded)
		FROM (SELECT id FROM {schema}outbox_endpoint WHERE app = ? AND id `+in+`) AS u, `+allStates+`, `+table,
		append([]any{int64(span.Most + 1), app, list}, args...)...)
	for _, c := range counts {
		if all[c.endpoint] == nil {
			all[c.endpoint], _ = span.slots()
		}
		all[c.endpoint][c.slot-1].States[State(c.state)] = limited(c.n, int64(span.Most))
	}
	maps.DeleteFunc(all, func(_ string, slots []Slot) bool { return slots == nil })
	return err
}

// History counts the deliveries of all apps by the time of their publication.
// It is for the operator. [Delivered] includes [Canceled] and [Superseded],
// since no index of all apps tells them apart.
func (o *Outbox) History(ctx context.Context, span HistorySpan) ([]Slot, error) {
	if err := o.open(); err != nil {
		return nil, err
	}
	if err := span.check(); err != nil {
		return nil, err
	}
	slots, bounds := span.slots()
	table, args := spans(o.db, bounds)
	id, most := `d.`+byID(o.db.Dialect()), int64(span.Most+1)
	part := func(state, id, condition string) string {
		return `SELECT '' AS endpoint, '` + state + `' AS state, b.i, (SELECT count(*) FROM (SELECT 1 AS found FROM {schema}outbox_delivery d
			WHERE ` + condition + id + ` >= b.lo AND ` + id + ` < b.hi ORDER BY ` + id + ` LIMIT ?) AS bounded) FROM ` + table
	}
	var counts []slotCount
	for _, statement := range []string{
		part("", `d.id`, ``), // the primary key
		part(string(Pending), id, `d.state = 'pending' AND d.size > 0 AND `),
		part(string(Failed), id, `d.state = 'failed' AND d.size > 0 AND `),
	} {
		some, err := jobdb.Collect(ctx, o.db.Reader(), scanSlot, statement, append([]any{most}, args...)...)
		if err != nil {
			return nil, wrap("counting", err)
		}
		counts = append(counts, some...)
	}
	for _, c := range counts {
		slots[c.slot-1].States[State(c.state)] = limited(c.n, most-1)
	}
	for _, s := range slots {
		all := s.States[""]
		delete(s.States, "")
		s.States[Delivered] = Count{N: max(0, all.N-s.States[Pending].N-s.States[Failed].N), More: all.More}
	}
	return slots, nil
}
