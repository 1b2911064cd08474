package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

// withID calls each method of App that takes an ID. The test fails for a method
// that is missing here.
var withID = map[string]func(ctx context.Context, a *outbox.App, id string) error{
	"Endpoint":       func(ctx context.Context, a *outbox.App, id string) error { return last(a.Endpoint(ctx, id)) },
	"EndpointURL":    func(ctx context.Context, a *outbox.App, id string) error { return last(a.EndpointURL(ctx, id)) },
	"UpdateEndpoint": updateAll,
	"DeleteEndpoint": func(ctx context.Context, a *outbox.App, id string) error { return a.DeleteEndpoint(ctx, id) },
	"Enable": func(ctx context.Context, a *outbox.App, id string) error {
		return a.Enable(ctx, id, outbox.WithMissed())
	},
	"Disable": func(ctx context.Context, a *outbox.App, id string) error { return a.Disable(ctx, id, "test") },
	"RotateSecret": func(ctx context.Context, a *outbox.App, id string) error {
		return last(a.RotateSecret(ctx, id, "", time.Hour))
	},
	"TestEndpoint": func(ctx context.Context, a *outbox.App, id string) error {
		_, _, err := a.TestEndpoint(ctx, id)
		return err
	},
	"Delivery":    func(ctx context.Context, a *outbox.App, id string) error { return last(a.Delivery(ctx, id)) },
	"Attempts":    func(ctx context.Context, a *outbox.App, id string) error { return last(a.Attempts(ctx, id)) },
	"Replay":      func(ctx context.Context, a *outbox.App, id string) error { return a.Replay(ctx, id) },
	"Missed":      func(ctx context.Context, a *outbox.App, id string) error { return last(a.Missed(ctx, id, time.Time{})) },
	"MissedSince": func(ctx context.Context, a *outbox.App, id string) error { return last(a.MissedSince(ctx, id)) },
	"SendMissed": func(ctx context.Context, a *outbox.App, id string) error {
		return last(a.SendMissed(ctx, id, time.Time{}))
	},
	"EndpointStats": func(ctx context.Context, a *outbox.App, id string) error { return last(a.EndpointStats(ctx, id)) },
	"EraseEvent":    func(ctx context.Context, a *outbox.App, id string) error { return a.EraseEvent(ctx, id) },
	"ReplayStatus":  func(ctx context.Context, a *outbox.App, id string) error { return last(a.ReplayStatus(ctx, id)) },
	"CancelReplay":  func(ctx context.Context, a *outbox.App, id string) error { return a.CancelReplay(ctx, id) },
	"VerifyRequest": func(ctx context.Context, a *outbox.App, id string) error {
		_, err := a.VerifyRequest(ctx, id, http.Header{}, nil)
		if errors.Is(err, signer.ErrUnverified) {
			return nil // it knows the delivery
		}
		return err
	},
	"ResumeReplay": func(ctx context.Context, a *outbox.App, id string) error { return last(a.ResumeReplay(ctx, id)) },
}

func last[T any](_ T, err error) error { return err }

func updateAll(ctx context.Context, a *outbox.App, id string) error {
	for _, u := range []outbox.EndpointUpdate{
		{Description: new("changed")},
		{URL: new(sender.NewURL("http://127.0.0.1:1/stolen"))},
		{RateLimit: new(1.0)},
	} {
		if _, err := a.UpdateEndpoint(ctx, id, u); err != nil {
			return err
		}
	}
	return nil
}

// tenant is an app with something of each kind.
type tenant struct {
	*outbox.App
	endpoints, deliveries, replays []string
	// values has an own value for each text of a DeliveryFilter.
	values map[string]string
}

func newTenant(t *testing.T, o *outbox.Outbox, app string) *tenant {
	t.Helper()
	a := &tenant{App: o.App(app), values: map[string]string{}}
	e, _ := create(t, a.App, endpointAt("http://127.0.0.1:1/"+app))
	a.endpoints = append(a.endpoints, e.ID)
	p := publish(t, a.App, event(payload.DeployLive, "dep_of_"+app), outbox.WithEventID("evt_of_"+app))
	d, _, err := a.TestEndpoint(t.Context(), e.ID) // has an attempt, though the outbox was not started
	require.NoError(t, err)
	s, err := a.ReplayRange(t.Context(), outbox.DeliveryFilter{Type: outbox.EventTest})
	require.NoError(t, err)
	require.Equal(t, 1, s.Scheduled)
	_, _, err = a.TestEndpoint(t.Context(), e.ID) // and one that a replay could send
	require.NoError(t, err)
	a.deliveries, a.replays = []string{p.Deliveries[0].ID, d.ID}, []string{s.ID}
	a.values = map[string]string{
		"Endpoint": e.ID, "EventID": "evt_of_" + app, "DeploymentID": "dep_of_" + app, "Replay": s.ID, "Type": "webhook.test",
	}
	return a
}

func (a *tenant) ids() []string {
	return slices.Concat(a.endpoints, a.deliveries, a.replays, []string{a.values["EventID"]})
}

// An ID of another app gets the answer of an ID that never existed, and changes
// nothing.
func TestApp_IDsOfOthersAreUnknown(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		owner, other := newTenant(t, o, "shop"), newTenant(t, o, "blog")
		before := w.dump(t)
		found := methodsWithText(t, reflect.TypeFor[*outbox.App]())
		require.Greater(t, len(found), 10)
		for name := range found {
			call, ok := withID[name]
			require.True(t, ok, "a new method of App takes a text: add %s to withID, or say below why it is not an ID", name)
			for _, intruder := range []*outbox.App{other.App, o.App("nobody"), o.App(""), o.App("\x00"), o.App("SHOP")} {
				for _, id := range owner.ids() {
					never := strings.ReplaceAll(id, id[len(id)-2:], "00")
					got, want := call(t.Context(), intruder, id), call(t.Context(), intruder, never)
					require.Error(t, want, name)
					require.Error(t, got, "%s: %q reaches %s", name, intruder.Name(), id)
					require.Equal(t, strings.ReplaceAll(want.Error(), never, "ID"), strings.ReplaceAll(got.Error(), id, "ID"), name)
					requireUnknown(t, got)
				}
				require.Equal(t, before, w.dump(t), "%s by %q changes something", name, intruder.Name())
			}
		}
		// The same calls by the owner find each of them.
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(withID)), func(name string) bool {
			return name == "EraseEvent" || name == "DeleteEndpoint" // come last
		})
		for _, name := range append(names, "EraseEvent", "DeleteEndpoint") {
			require.NoError(t, owner.Enable(t.Context(), owner.endpoints[0]))
			require.True(t, slices.ContainsFunc(owner.ids(), func(id string) bool {
				return withID[name](t.Context(), owner.App, id) == nil
			}), name)
		}
		require.NotEqual(t, before, w.dump(t))
	})
}

// The operator's view takes no ID, so that no service passes one on to it by
// mistake.
func TestOutbox_TakesNoID(t *testing.T) {
	t.Parallel()
	found := methodsWithText(t, reflect.TypeFor[*outbox.Outbox]())
	require.Equal(t, map[string]bool{"App": true, "RegisterApp": true}, found)
}

func requireUnknown(t *testing.T, err error) {
	t.Helper()
	p := outbox.Problems(err)
	require.Contains(t, []string{"unknown_endpoint", "unknown_delivery", "unknown_replay", "unknown_event"}, p[0].Code, err)
}

// methodsWithText returns the methods of a type that take a text.
func methodsWithText(t *testing.T, of reflect.Type) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for i := range of.NumMethod() {
		m := of.Method(i)
		for in := range m.Type.NumIn() {
			if m.Type.In(in).Kind() == reflect.String {
				found[m.Name] = true
			}
		}
	}
	return found
}

// A filter with another app's values matches nothing, as if there were no such
// values. A cursor from another app's list shows nothing of it either.
func TestApp_FiltersReachOnlyTheApp(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		owner, other := newTenant(t, o, "shop"), newTenant(t, o, "blog")
		filter := reflect.TypeFor[outbox.DeliveryFilter]()
		for i := range filter.NumField() {
			name := filter.Field(i).Name
			if filter.Field(i).Type.Kind() != reflect.String || name == "Type" || name == "Answer" { // these are not an app's own
				continue
			}
			value, ok := owner.values[name]
			require.True(t, ok, "a new field of DeliveryFilter: add an app's own value to newTenant: %s", name)
			var f outbox.DeliveryFilter
			reflect.ValueOf(&f).Elem().Field(i).SetString(value)
			list, err := owner.Deliveries(t.Context(), f, outbox.Page{})
			require.NoError(t, err)
			require.NotEmpty(t, list.Items, name)
			list, err = other.Deliveries(t.Context(), f, outbox.Page{})
			require.NoError(t, err)
			require.Empty(t, list.Items, name)

			before := w.dump(t, "outbox_replay")
			if name == "Endpoint" {
				f.Type = outbox.EventTest // of which one can be sent
			}
			s, err := other.ReplayRange(t.Context(), f)
			require.NoError(t, err)
			require.Zero(t, s.Scheduled+s.Skipped, name)
			require.Equal(t, before, w.dump(t, "outbox_replay"), name)
		}
		requirePagesOf(t, other, owner)
	})
}

// requirePagesOf gives each list of an app a cursor of another app.
func requirePagesOf(t *testing.T, a, of *tenant) {
	t.Helper()
	deliveries, err := of.Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, deliveries.Next)
	deliveries, err = a.Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{Cursor: deliveries.Next})
	require.NoError(t, err)
	for _, d := range deliveries.Items {
		require.Equal(t, a.Name(), d.App)
	}
	_, err = of.ReplayRange(t.Context(), outbox.DeliveryFilter{})
	require.NoError(t, err)
	replays, err := of.Replays(t.Context(), outbox.Page{Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, replays.Next)
	replays, err = a.Replays(t.Context(), outbox.Page{})
	require.NoError(t, err)
	for _, s := range replays.Items {
		require.NotContains(t, of.replays, s.ID)
	}
}

// dump returns the rows of all tables that can change, as text.
func (w *world) dump(t testing.TB, without ...string) map[string][]string {
	t.Helper()
	tables := map[string][]string{}
	collect := func(names []string, rows func(table string) []string) map[string][]string {
		for _, name := range names {
			if !slices.Contains(without, name) && strings.HasPrefix(name, "outbox_") {
				tables[name] = rows(name)
			}
		}
		require.Greater(t, len(tables), 6)
		return tables
	}
	if w.pool != nil {
		names := w.texts(t, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'deployhook_outbox'`)
		return collect(names, func(table string) []string {
			return w.texts(t, `SELECT to_jsonb(r)::text FROM `+w.table(table)+` r ORDER BY 1`)
		})
	}
	names := w.texts(t, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	return collect(names, func(table string) []string { return w.texts(t, `SELECT * FROM `+table) })
}

// texts returns the rows of a query as text, in a stable order.
func (w *world) texts(t testing.TB, query string) (all []string) {
	t.Helper()
	if w.pool != nil {
		rows, err := w.pool.Query(t.Context(), query)
		require.NoError(t, err)
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return all
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: w.path}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		values, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			at[i] = &values[i]
		}
		require.NoError(t, rows.Scan(at...))
		all = append(all, strings.TrimSuffix(fmt.Sprintln(values...), "\n"))
	}
	require.NoError(t, rows.Err())
	slices.Sort(all)
	return all
}
