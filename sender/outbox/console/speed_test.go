package console_test

import (
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

var (
	manyDeliveries = flag.Int("console.deliveries", 2000, "deliveries in the log whose pages TestPages_AreFast opens")
	pageReads      = flag.Int("console.reads", 1, "how often TestPages_AreFast opens each page")
)

// fastPage bounds the 99th percentile with 100,000 deliveries or more.
const fastPage = 100 * time.Millisecond

// Every page opens, filtered or not, however long the log is. With
// -console.deliveries=1000000 -console.reads=100 it bounds how long that takes.
// The HTML of every page is at most 100 KiB.
func TestPages_AreFast(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) *world{
		"SQLite":   func(t *testing.T) *world { return onSQLite(t) },
		"Postgres": func(t *testing.T) *world { return onPostgres(t) },
	} {
		t.Run(name, func(t *testing.T) { // one after the other, so that they do not slow each other down
			w, begun := open(t), time.Now()
			l := w.fillLog(t, *manyDeliveries)
			t.Logf("filled in %v", time.Since(begun).Round(time.Second))
			var slow []string
			for _, path := range l.pages(t) {
				if most := w.as("operator").Measure(path, *pageReads); *manyDeliveries >= 100_000 && most > fastPage {
					slow = append(slow, fmt.Sprintf("%s took %v", path, most))
				}
			}
			require.Empty(t, slow)
		})
	}
}

// largeLog is an app with a long log, among others.
type largeLog struct {
	endpoint, disabled, delivery, event, replay string
}

// pages are the first pages of all screens, with all of their filters. A screen
// that is missing here is an error.
func (l *largeLog) pages(t *testing.T) (all []string) {
	t.Helper()
	queries := map[string][]string{
		"/":                      {},
		"/endpoints":             {"show=failing", "show=held", "show=disabled", "show=active", "show=all"},
		"/deliveries":            l.filters(false),
		"/apps/{app}/deliveries": l.filters(true),
		"/apps/{app}/deployment": {"id=dep_7", "id=dep_hot", "id=none"},
		"/apps/{app}/resend":     {"", "state=failed", "state=failed&class=5xx", "class=4xx", "endpoint=" + l.endpoint, "type=deploy.failed"},
		"/apps/{app}/endpoints/{endpoint}/missed": {"", "range=30d"},
	}
	fill := strings.NewReplacer("{app}", "shop", "{endpoint}", l.endpoint, "{delivery}", l.delivery, "{event}", l.event, "{replay}", l.replay, "{type}", "deploy.live")
	for _, screen := range console.Screens() {
		if screen.Method != http.MethodGet {
			continue
		}
		some, ok := queries[screen.Path]
		delete(queries, screen.Path)
		if !ok {
			some = []string{""}
		}
		for _, query := range some {
			all = append(all, strings.TrimSuffix(fill.Replace(screen.Path)+"?"+query, "?"))
		}
	}
	require.Empty(t, queries, "there is no such screen")
	return append(all, "/apps/shop/endpoints/"+l.disabled, "/apps/shop/endpoints/"+l.disabled+"/missed")
}

// filters are those of the list of deliveries, and pairs of them.
func (l *largeLog) filters(ofApp bool) (all []string) {
	values := map[string][]string{
		"state": {"failed", "pending", "delivered", "canceled", "superseded"},
		"class": {"2xx", "3xx", "4xx", "5xx", "none"},
		"type":  {"deploy.live", "deploy.failed", "deploy.rolled_back"},
		"range": {"1h", "30d"},
		"until": {"2026-01-01T00:00"},
		"since": {"2026-01-01T00:00"},
	}
	values["deployment"] = []string{"dep_7", "dep_hot", "none"}
	if ofApp {
		values["endpoint"], values["replay"], values["event"] = []string{l.endpoint}, []string{l.replay}, []string{l.event}
	}
	all = []string{""}
	var names []string
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	last := func(name string) string { return values[name][len(values[name])-1] } // the rarest
	for i, name := range names {
		for _, value := range values[name] {
			all = append(all, url.Values{name: {value}}.Encode())
		}
		for _, other := range names[i+1:] {
			all = append(all, url.Values{name: {last(name)}, other: {last(other)}}.Encode())
		}
	}
	for _, class := range values["class"] {
		all = append(all, "state=failed&class="+class)
	}
	return all
}

// fillLog makes n deliveries behind the outbox's back, which are copies of one
// and four days old at most. It makes endpoints and replays for the other
// lists.
func (w *world) fillLog(t *testing.T, n int) *largeLog {
	t.Helper()
	g := newTarget(t, 503)
	var l largeLog
	for i := range 10 {
		e, _ := w.endpointAt("shop", fmt.Sprintf("%s/%d", g.URL, i))
		l.disabled, l.endpoint = cmp.Or(l.disabled, e.ID), e.ID
	}
	p, err := w.App("shop").Publish(t.Context(), eventWith("x"))
	require.NoError(t, err)
	tested, _, err := w.App("shop").TestEndpoint(t.Context(), l.endpoint)
	require.NoError(t, err)
	l.delivery, l.event = tested.ID, p.EventID
	w.copyDeliveries(t, p.Deliveries[0].ID, p.EventID, tested.ID, n)
	w.fillOthers(t)
	w.must(t, `UPDATE `+w.table("outbox_endpoint")+` SET state = 'disabled', disabled_at = 1760000000000000, reason = 'abuse' WHERE id = '`+l.disabled+`'`)
	for range 60 {
		_, err := w.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{EventID: "none"})
		require.NoError(t, err)
	}
	many, err := w.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{EventID: "none"})
	require.NoError(t, err)
	l.replay = many.ID
	w.must(t, `UPDATE `+w.table("outbox_delivery")+` SET replay = '`+l.replay+`' WHERE id LIKE 'whk_%7'`)
	if w.schema != "" {
		w.must(t, `VACUUM ANALYZE`)
	}
	return &l
}

// fillOthers makes endpoints of other apps, of which some fail.
func (w *world) fillOthers(t *testing.T) {
	t.Helper()
	for i := range 200 {
		_, _, err := w.App(fmt.Sprintf("app %03d", i)).CreateEndpoint(t.Context(), outbox.EndpointConfig{
			URL: sender.NewURL("http://127.0.0.1:1/"), Events: []string{string(payload.DeployLive)}, Description: "Endpoint of " + fmt.Sprint(i),
		})
		require.NoError(t, err)
	}
	later := time.Now().Add(time.Hour).UnixMicro()
	w.must(t, fmt.Sprintf(`UPDATE %s SET state = 'failing', failing_since = 1760000000000000, first_error = 'connection refused', breaker_open_until = %d
		WHERE app < 'app 100'`, w.table("outbox_endpoint"), later))
	w.must(t, fmt.Sprintf(`UPDATE %s SET state = 'disabled', disabled_at = 1760000000000000, reason = 'abuse' WHERE app LIKE 'app 15%%'`, w.table("outbox_endpoint")))
}

// must runs a statement behind the outbox's back.
func (w *world) must(t *testing.T, statement string) {
	t.Helper()
	require.NoError(t, w.exec(statement), statement)
}

func (w *world) table(name string) string { return w.schema + name }

// columns returns the names of a table's columns, and their values in a copy of
// row o.
func (w *world) columns(t *testing.T, table string, changed map[string]string) (names, values string) {
	t.Helper()
	query := `SELECT name FROM pragma_table_info('` + table + `')`
	if w.schema != "" {
		query = `SELECT column_name FROM information_schema.columns WHERE table_schema || '.' = '` + w.schema + `' AND table_name = '` + table + `'`
	}
	all, err := w.names(query)
	require.NoError(t, err)
	from := make([]string, len(all))
	for i, name := range all {
		from[i] = "o." + name
		if value, ok := changed[name]; ok {
			from[i] = value
		}
	}
	return strings.Join(all, ", "), strings.Join(from, ", ")
}

// copyDeliveries inserts n copies of a delivery, of its event and its body.
// Each has an attempt, which is that of a tested delivery.
func (w *world) copyDeliveries(t *testing.T, delivery, event, tested string, n int) {
	t.Helper()
	const span = 4 * 24 * time.Hour
	numbers := fmt.Sprintf(`generate_series(1, %d) AS i`, n)
	at := fmt.Sprintf(`(CAST(%d AS bigint) + CAST(i AS bigint) * %d / %d)`, time.Now().Add(-span).UnixMilli(), span.Milliseconds(), n)
	id := `'whk_' || lpad(to_hex(` + at + `), 12, '0') || lpad(CAST(i AS text), 20, '0')`
	if w.schema == "" {
		numbers = fmt.Sprintf(`(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s) AS numbers`, n)
		id = `printf('whk_%012x%020d', ` + at + `, i)`
	}
	state := `CASE WHEN i % 100 = 7 THEN 'failed' WHEN i % 100 = 9 THEN 'pending' WHEN i % 100 = 11 THEN 'canceled' WHEN i % 1000 = 13 THEN 'superseded' ELSE 'delivered' END`
	endpoints, err := w.App("shop").Endpoints(t.Context())
	require.NoError(t, err)
	endpoint := "CASE"
	for i, e := range endpoints {
		endpoint += fmt.Sprintf(" WHEN i %% %d = %d THEN '%s'", len(endpoints), i, e.ID)
	}
	deployment, pending := "CASE WHEN i % 100 = 50 THEN 'dep_hot' ELSE 'dep_' || (i / 10) END", `(`+state+`) = 'pending'`
	for _, c := range []struct {
		table, of string
		changed   map[string]string
	}{
		{"outbox_event", `o.id = '` + event + `'`, map[string]string{
			"position": "1760000000000000 + i", "id": "'evt_' || i", "deployment": deployment, "created_at": at + " * 1000", "type": "'deploy.live'",
		}},
		{"outbox_body", `o.event = '` + event + `'`, map[string]string{"event": "'evt_' || i", "created_at": at + " * 1000", "delivery": "''"}},
		{"outbox_delivery", `o.id = '` + delivery + `'`, map[string]string{
			"id": id, "event": "'evt_' || i", "deployment": deployment, "created_at": at + " * 1000", "endpoint": endpoint + " END", "job": "0", "attempts": "1",
			"next_at": `CASE WHEN ` + pending + ` THEN ` + at + ` * 1000 + 3600000000 ELSE 0 END`,
			"done_at": `CASE WHEN ` + pending + ` THEN 0 ELSE ` + at + ` * 1000 END`, "state": state,
			"type":        `CASE WHEN i % 3 = 0 THEN 'deploy.live' WHEN i % 5000 = 1 THEN 'deploy.failed' ELSE 'deploy.started' END`,
			"last_status": `CASE WHEN i % 200 = 107 THEN 404 WHEN i % 100 IN (7, 9) THEN 503 ELSE 200 END`,
			"last_class":  `CASE WHEN i % 100 IN (7, 9) THEN 'status' ELSE '' END`,
		}},
		{"outbox_attempt", `o.delivery = '` + tested + `'`, map[string]string{"delivery": id}},
	} {
		names, values := w.columns(t, c.table, c.changed)
		w.must(t, `INSERT INTO `+w.table(c.table)+` (`+names+`) SELECT `+values+` FROM `+w.table(c.table)+` o, `+numbers+` WHERE `+c.of)
	}
}
