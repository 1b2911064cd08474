package console_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

var (
	manyRows  = flag.Int("console.rows", 2000, "deliveries in the inbox, and deployments in the ledger, whose pages TestPages_AreFast opens")
	pageReads = flag.Int("console.reads", 1, "how often TestPages_AreFast opens each page")
)

// fastPage bounds the 99th percentile with 100,000 rows or more.
const fastPage = 100 * time.Millisecond

// Every page opens, filtered or not, however much there is. With
// -console.rows=1000000 -console.reads=100 it bounds how long that takes. The
// HTML of every page is at most 100 KiB.
func TestPages_AreFast(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) *world{
		"SQLite":   func(t *testing.T) *world { return onSQLite(t) },
		"Postgres": func(t *testing.T) *world { return onPostgres(t) },
	} {
		t.Run(name, func(t *testing.T) { // one after the other, so that they do not slow each other down
			w, begun := open(t), time.Now()
			id := w.crowd(t, *manyRows)
			t.Logf("filled in %v", time.Since(begun).Round(time.Second))
			var slow []string
			for _, path := range w.crowdedPages(t, id) {
				if most := w.as("ann").Measure(path, *pageReads); *manyRows >= 100_000 && most > fastPage {
					slow = append(slow, fmt.Sprintf("%s took %v", path, most))
				}
			}
			require.Empty(t, slow)
		})
	}
}

// crowdedPages are the first pages of all screens, with all of their filters.
func (w *world) crowdedPages(t *testing.T, id int64) (all []string) {
	t.Helper()
	scope := url.Values{"service": {"svc-7"}, "environment": {"production"}}.Encode()
	queries := map[string][]string{
		"/inbox/deliveries": {
			"", "state=dead", "state=pending", "state=handled", "state=superseded", "deployment=dep_7", "deployment=dep_hot", "deployment=none",
			"state=dead&deployment=dep_hot", "state=superseded&deployment=dep_hot", "error=error+7", "error=rare", "error=none", "error=error+7&deployment=dep_hot",
		},
		"/inbox/replay":              {"", "error=error+7", "error=rare", "error=none", "deployment=dep_hot"},
		"/recent":                    {"", "range=1h", "source=platform"},
		"/orgs/{org}/deployments":    {"", "text=svc-1", "text=none"},
		"/orgs/{org}/history":        {scope, "service=none"},
		"/orgs/{org}/deployment":     {"id=first-7"},
		"/orgs/{org}/metrics":        {"", "text=svc-1"},
		"/orgs/{org}/metrics/report": {scope},
	}
	fill := strings.NewReplacer("{org}", "acme", "{delivery}", fmt.Sprint(id))
	for _, screen := range w.handler.Screens() {
		method, path, _ := strings.Cut(screen, " ")
		if method != http.MethodGet || path == "/" {
			continue
		}
		some, ok := queries[path]
		delete(queries, path)
		if !ok {
			some = []string{""}
		}
		for _, query := range some {
			all = append(all, strings.TrimSuffix(fill.Replace(path)+"?"+query, "?"))
		}
	}
	require.Empty(t, queries, "there is no such screen")
	return all
}

// crowd makes n deliveries and n deployments behind the backs of inbox and
// ledger. They are copies of a few. It returns the number of a delivery.
func (w *world) crowd(t *testing.T, n int) (id int64) {
	t.Helper()
	w.fail("dep_first", "rare")
	id = w.receive("dep_first")
	numbers, bytes := fmt.Sprintf(`generate_series(1, %d) AS i`, n), `convert_to(%s, 'UTF8')`
	if w.schema == "" {
		numbers = fmt.Sprintf(`(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s) AS numbers`, n)
		bytes = `CAST(%s AS BLOB)`
	}
	w.copyDeliveries(t, id, numbers, fmt.Sprintf(bytes, `'k' || i`))
	const services = 100
	for i := range services {
		w.deploy("acme", fmt.Sprintf("first-%d", i), payload.StatusSuccess, 1, func(d *payload.Deployment) { d.Service = fmt.Sprintf("svc-%d", i) })
	}
	w.copyDeployments(t, services, numbers, fmt.Sprintf(bytes, `'run-' || i`))
	observe := w.recent.Observer("platform")
	for range 1000 {
		observe(context.WithoutCancel(t.Context()), receiver.Result{Outcome: receiver.Handled})
	}
	if w.schema != "" {
		require.NoError(t, w.execInbox(`VACUUM ANALYZE`))
	}
	list, err := w.inbox.List(t.Context(), inbox.Filter{State: inbox.Dead}, inbox.Page{Limit: 1})
	require.NoError(t, err)
	return list.Items[0].ID
}

// copyDeliveries makes one in a hundred dead, with one of 50 errors. One
// deployment has 1000 deliveries, and the others ten each.
func (w *world) copyDeliveries(t *testing.T, id int64, numbers, key string) {
	t.Helper()
	state := `CASE WHEN i % 100 = 7 THEN 'dead' WHEN i % 100 = 9 THEN 'pending' WHEN i % 1000 = 13 THEN 'superseded' ELSE 'handled' END`
	failed := `CASE WHEN i % 100 = 7 THEN 'error ' || (i / 100 % 50) ELSE '' END`
	table := w.schema + "inbox_delivery"
	require.NoError(t, w.execInbox(`INSERT INTO `+table+` (delivery_key, ordering_key, source, principal, delivery_id, signing_key, signed_at, type, deployment_id,
		event_at, received_at, body, trace, state, round, attempts, retry_at, finished_at, last_error, dead_error)
		SELECT `+key+`, `+key+`, o.source, o.principal, 'whk_' || i, o.signing_key, o.signed_at, o.type,
			CASE WHEN i <= 1000 THEN 'dep_hot' ELSE 'dep_' || (i / 10) END, o.event_at, o.received_at, o.body, '', `+state+`, 1, 1, 0,
			o.received_at, `+failed+`, `+failed+` FROM `+table+` o, `+numbers+` WHERE o.id = `+fmt.Sprint(id)))
}

// copyDeployments spreads copies over the services that there are.
func (w *world) copyDeployments(t *testing.T, services int, numbers, id string) {
	t.Helper()
	const columns = `service, environment, scope, status, started_at, document, reports, previous_given, previous_commits, linked, linked_prs, recorded_at, updated_at`
	require.NoError(t, w.execLedger(`INSERT INTO deployhook_ledger_deployments (organization, id, deployment_id, position_at, succeeded_at, `+columns+`)
		SELECT o.organization, i + 1000, `+id+`, o.position_at - CAST(i AS bigint) * 1000000, o.succeeded_at - CAST(i AS bigint) * 1000000, o.`+strings.ReplaceAll(columns, ", ", ", o.")+`
		FROM deployhook_ledger_deployments o, `+numbers+` WHERE o.id = i % `+fmt.Sprint(services)+` + 1`))
}
